import numpy as np
import pytest

from spl_tf.losses import softmax_cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_numpy(smoothing):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=5, size=(6, 4)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 3, 0], np.int32)
    targets = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -(targets * np.log(probabilities)).sum(axis=1)
    found = softmax_cross_entropy(labels, logits, smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
