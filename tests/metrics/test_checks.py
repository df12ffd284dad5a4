import numpy as np
import pytest

from spl_tf.metrics import EvaluationConfusion, MeanAveragePrecision, TopKAccuracy

METRICS = [
    TopKAccuracy,
    lambda: EvaluationConfusion("abc"),
    lambda: MeanAveragePrecision("abc"),
]
SCORES = np.full((2, 3), 0.5)


@pytest.mark.parametrize("make", METRICS)
@pytest.mark.parametrize(
    ("labels", "scores", "mask", "message"),
    [
        ([0, 3], SCORES, None, "label 3 is out of range, expected 0 to 2"),
        ([0, -1], SCORES, None, "label -1 is out of range"),
        ([0.0, 1.0], SCORES, None, "expected integers"),
        ([0], SCORES, None, r"scores are \[2, 3\] for 1 labels"),
        ([0, 1], SCORES, [1, 0], "mask is int64"),
        ([0, 1], SCORES, [True], r"expected bool \[2\]"),
        ([0, 1], SCORES * np.inf, None, "NaN or infinite"),
    ],
)
def test_a_bad_batch_is_refused_whole(make, labels, scores, mask, message):
    metric = make()
    with pytest.raises(ValueError, match=message):
        metric.update(labels, scores, mask)
    with pytest.raises(ValueError, match="no clips were counted"):
        metric.result()


@pytest.mark.parametrize("make", METRICS)
def test_what_padding_holds_does_not_matter(make):
    scores = np.array([[0.1, 0.7, 0.2], [np.nan, np.inf, 0.0]])
    padded, plain = make(), make()
    padded.update([1, -1], scores, [True, False])
    plain.update([1], scores[:1])
    assert padded.result() == plain.result()


@pytest.mark.parametrize("make", METRICS[1:])
def test_other_classes_are_refused(make):
    with pytest.raises(ValueError, match="scores have 4 classes, expected 3: a, b, c"):
        make().update([0], np.zeros((1, 4)))
    with pytest.raises(ValueError, match="class 1 is 'x' in the other, 'b' in this"):
        make().merge(type(make())("axc"))
    with pytest.raises(ValueError, match="more than once: a"):
        type(make())("aba")
