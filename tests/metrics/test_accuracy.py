import numpy as np
import pytest

from spl_tf.metrics import TopKAccuracy


def test_top_k_counts_what_a_sort_counts():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (50, 7)).astype(float)  # many ties
    labels = rng.integers(0, 7, 50)
    mask = rng.random(50) < 0.7
    metric = TopKAccuracy((1, 3))
    for part in np.array_split(np.arange(50), 4):
        metric.update(labels[part], scores[part], mask[part])
    order = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 3):
        hits = (order[:, :k] == labels[:, None]).any(axis=1)
        assert metric.result()[f"top_{k}"] == hits[mask].mean()
    assert metric.count == mask.sum()


def test_nan_and_nothing_are_errors():
    with pytest.raises(ValueError, match="NaN or infinite"):
        TopKAccuracy().update([0], [[np.nan, 1.0]])
    with pytest.raises(ValueError, match="no clips"):
        TopKAccuracy().result()
