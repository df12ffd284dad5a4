import numpy as np
import pytest

from spl_tf.metrics import TopKAccuracy


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (50, 7)).astype(float)  # many ties
    return rng.integers(0, 7, 50), scores, rng.random(50) < 0.7


def test_top_k_counts_what_a_sort_counts(batch):
    labels, scores, mask = batch
    metric = TopKAccuracy((1, 3))
    for part in np.array_split(np.arange(50), 4):
        metric.update(labels[part], scores[part], mask[part])
    order = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 3):
        hits = (order[:, :k] == labels[:, None]).any(axis=1)
        assert metric.result()[f"top_{k}"] == hits[mask].mean()
    assert metric.count == mask.sum()


def test_merged_parts_count_as_one(batch):
    labels, scores, mask = batch
    whole = TopKAccuracy()
    whole.update(labels, scores, mask)
    merged = TopKAccuracy()
    for part in np.array_split(np.arange(50), 4)[::-1]:
        one = TopKAccuracy()
        one.update(labels[part], scores[part], mask[part])
        merged.merge(one)
    assert merged.result() == whole.result()
    assert merged.count == whole.count
    with pytest.raises(ValueError, match=r"k = \[1, 3\] into one of k = \[1, 5\]"):
        merged.merge(TopKAccuracy((1, 3)))


def test_nan_and_nothing_are_errors():
    with pytest.raises(ValueError, match="NaN or infinite"):
        TopKAccuracy().update([0], [[np.nan, 1.0]])
    with pytest.raises(ValueError, match="no clips"):
        TopKAccuracy().result()
