import numpy as np
import pytest
import tensorflow as tf

from spl_tf.losses import softmax_cross_entropy


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(scale=5, size=(6, 4)).astype(np.float32)


LABELS = np.array([0, 1, 2, 3, 3, 0], np.int32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_numpy(logits, smoothing):
    targets = np.eye(4)[LABELS] * (1 - smoothing) + smoothing / 4
    expected = -(targets * log_softmax(logits)).sum(axis=1)
    found = softmax_cross_entropy(LABELS, logits, smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_soft_targets_are_weighted_by_their_probabilities(logits, smoothing):
    rows = np.random.default_rng(1).dirichlet(np.ones(4), 6)
    targets = rows * (1 - smoothing) + smoothing / 4
    expected = -(targets * log_softmax(logits)).sum(axis=1)
    found = softmax_cross_entropy(rows, logits, smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_half_precision_logits_are_computed_in_float32(logits):
    half = tf.cast(logits, tf.bfloat16)
    found = softmax_cross_entropy(LABELS, half)
    assert found.dtype == tf.float32
    expected = -log_softmax(tf.cast(half, tf.float32))[np.arange(6), LABELS]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_out_of_range_is_an_error_and_in_a_graph_nan(logits, label):
    labels = np.where(np.arange(6) == 2, label, LABELS)
    for given in (labels, tf.constant(labels)):
        with pytest.raises(ValueError, match=f"label {label} at position 2"):
            softmax_cross_entropy(given, logits)
    for jit_compile in (False, True):
        call = tf.function(softmax_cross_entropy, jit_compile=jit_compile)
        found = call(tf.constant(labels), tf.constant(logits)).numpy()
        assert np.isnan(found).tolist() == (np.arange(6) == 2).tolist()
        expected = softmax_cross_entropy(LABELS, logits)
        np.testing.assert_allclose(np.delete(found, 2), np.delete(expected, 2), 1e-6)


def test_rows_that_are_no_distributions_are_refused(logits):
    rows = np.full((6, 4), 0.25)
    rows[3] = [0.5, 0.7, -0.2, 0.0]
    with pytest.raises(ValueError, match="row 3 of the soft targets"):
        softmax_cross_entropy(rows, logits)
    call = tf.function(softmax_cross_entropy)
    found = call(tf.constant(rows), tf.constant(logits)).numpy()
    assert np.isnan(found).tolist() == (np.arange(6) == 3).tolist()
    with pytest.raises(ValueError, match="the logits have 4 classes"):
        softmax_cross_entropy(np.full((6, 5), 0.2), logits)


def test_labels_of_another_shape_or_dtype_are_refused(logits):
    with pytest.raises(ValueError, match=r"labels are float32 \[6\], expected integ"):
        softmax_cross_entropy(LABELS.astype(np.float32), logits)
