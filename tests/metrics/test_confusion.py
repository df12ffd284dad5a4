import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from spl_tf.metrics import EvaluationConfusion, confusion_changes, confusion_scores

NAMES = ("eat", "drink", "dance", "jump", "unseen")


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, (80, 5)).astype(np.float32)  # many ties
    return rng.integers(0, 4, 80), scores, rng.random(80) < 0.8


def counted(batch, parts=1):
    metric = EvaluationConfusion(NAMES)
    for rows in np.array_split(np.arange(80), parts):
        metric.update(*(array[rows] for array in batch))
    return metric


def test_counts_and_class_accuracy_are_those_of_scikit_learn(batch):
    labels, scores, mask = batch
    metric = counted(batch, parts=6)
    truth, predicted = labels[mask], np.argmax(scores, axis=1)[mask]
    expected = sklearn_metrics.confusion_matrix(truth, predicted, labels=range(5))
    np.testing.assert_array_equal(metric.counts, expected)
    recall = sklearn_metrics.recall_score(
        truth, predicted, labels=range(4), average=None
    )
    accuracy = metric.class_accuracy()
    np.testing.assert_allclose([accuracy[name] for name in NAMES[:4]], recall)
    assert np.isnan(accuracy["unseen"])
    assert metric.result() == {"mean_class_accuracy": pytest.approx(recall.mean())}


def test_parts_give_the_same_in_any_order(batch):
    whole = counted(batch)
    rng = np.random.default_rng(1)
    parts = np.array_split(rng.permutation(80), 7)
    for _ in range(3):
        merged = EvaluationConfusion(NAMES)
        for number in rng.permutation(7):
            part = EvaluationConfusion(NAMES)
            part.update(*(array[parts[number]] for array in batch))
            merged.merge(part)
        np.testing.assert_array_equal(merged.counts, whole.counts)


def test_confusion_scores_are_the_formula_pair_by_pair(batch):
    n = counted(batch).counts
    n[2] = n[:, 2] = n[4] = n[:, 4] = 0  # 2 with 4: nothing was counted
    found = confusion_scores(n)
    for i in range(5):
        for j in range(5):
            confused = n[i, j] + n[j, i]
            total = confused + n[i, i] + n[j, j]
            expected = confused / total if i != j and total else 0
            assert found[i, j] == pytest.approx(expected)


def test_changes_put_the_largest_drop_of_confusion_first():
    def model(predictions):
        metric = EvaluationConfusion("abc")
        metric.update([0, 0, 1, 1, 2, 2], np.eye(3)[predictions])
        return metric

    before, after = model([1, 0, 1, 1, 1, 2]), model([0, 0, 1, 1, 1, 1])
    # a-b: 1/4 then 0/4; b-c: 1/4 then 2/4; a-c: never.
    assert confusion_changes(before, after) == [
        ("a", "b", 0.25, 0.0),
        ("b", "c", 0.25, 0.5),
    ]
