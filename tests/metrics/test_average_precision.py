import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from spl_tf.metrics import MeanAveragePrecision, average_precision

NAMES = ("Background", "Card", "Goal", "Substitution", "Unseen")


@pytest.fixture
def batch():
    """60 clips with many equal scores; no clip is of the last class."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (60, 5)) / 5
    return rng.integers(0, 4, 60), scores, rng.random(60) < 0.8


def expected_of(labels, scores):
    return [
        sklearn_metrics.average_precision_score(labels == index, scores[:, index])
        for index in range(4)
    ]


@pytest.mark.parametrize("levels", [2, 5, 10**6])
def test_average_precision_is_that_of_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    for _ in range(20):
        relevant = rng.random(30) < 0.3
        relevant[0] = True
        scores = rng.integers(0, levels, 30) / levels
        expected = sklearn_metrics.average_precision_score(relevant, scores)
        assert average_precision(relevant, scores) == pytest.approx(expected, abs=1e-12)


def test_average_precision_by_hand():
    # Scores 3: one of one; 2 (a tie): one of two; 1: none; 0: one of one.
    relevant = [True, False, True, False, True]
    scores = [3, 2, 2, 1, 0]
    expected = (1 / 3) * 1 + (1 / 3) * (2 / 3) + 0 + (1 / 3) * (3 / 5)
    assert average_precision(relevant, scores) == pytest.approx(expected)


def test_nothing_relevant_has_no_average_precision():
    assert np.isnan(average_precision([False, False], [0.1, 0.2]))
    assert np.isnan(average_precision([], []))


def test_mean_is_over_the_classes_with_clips_that_are_not_left_out(batch):
    labels, scores, mask = batch
    metric = MeanAveragePrecision(NAMES, exclude=["Background"])
    for part in np.array_split(np.arange(60), 5):
        metric.update(labels[part], scores[part], mask[part])
    expected = expected_of(labels[mask], scores[mask])
    found = metric.class_average_precision()
    np.testing.assert_allclose([found[name] for name in NAMES[:4]], expected)
    assert np.isnan(found["Unseen"])
    assert metric.result() == {"mAP": pytest.approx(np.mean(expected[1:]))}
    assert metric.count == mask.sum()


def test_parts_give_the_same_in_any_order(batch):
    labels, scores, mask = batch
    whole = MeanAveragePrecision(NAMES)
    whole.update(labels, scores, mask)
    rng = np.random.default_rng(1)
    parts = np.array_split(rng.permutation(60), 7)
    for _ in range(3):
        merged = MeanAveragePrecision(NAMES)
        for number in rng.permutation(7):
            part = MeanAveragePrecision(NAMES)
            rows = parts[number]
            part.update(labels[rows], scores[rows], mask[rows])
            merged.merge(part)
        assert merged.result() == whole.result()


def test_a_buffer_that_is_used_again_does_no_harm():
    buffer = np.array([[0.9, 0.1], [0.2, 0.8]])
    metric = MeanAveragePrecision("ab")
    metric.update([0, 1], buffer)
    buffer[:] = 0.5
    assert metric.result() == {"mAP": 1.0}


def test_wrong_exclusions_are_errors():
    with pytest.raises(
        ValueError, match="cannot leave out Bg: not among the classes B"
    ):
        MeanAveragePrecision(NAMES, exclude=["Bg"])
    with pytest.raises(ValueError, match="every class is left out"):
        MeanAveragePrecision("ab", exclude="ab")
    with pytest.raises(ValueError, match="the other leaves out"):
        MeanAveragePrecision("ab").merge(MeanAveragePrecision("ab", exclude="a"))
    metric = MeanAveragePrecision("ab", exclude="a")
    metric.update([0], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="no clip is of a class that counts"):
        metric.result()


def test_a_class_is_left_out_by_both_unicode_forms_of_its_name():
    names = ["cre\u0302pes", "b"]
    for exclude in (["cr\u00eapes"], ["cre\u0302pes"]):
        assert MeanAveragePrecision(names, exclude).excluded == {"cr\u00eapes"}
