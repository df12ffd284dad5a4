import numpy as np
import pytest
import tensorflow as tf

from spl_tf.losses import (
    forward_correction,
    softmax_cross_entropy,
    transition_matrix,
)

LABELS = np.array([0, 1, 2, 2, 1, 0], np.int32)
# Row = true class, column = noisy label.
TRANSITION = np.array([[0.7, 0.3, 0.0], [0.1, 0.5, 0.4], [0.0, 0.2, 0.8]], np.float32)


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(scale=3, size=(6, 3)).astype(np.float32)


def reference(labels, logits):
    """The loss in float64, clip by clip."""
    found = []
    for label, z in zip(labels, logits.astype(np.float64), strict=True):
        p = np.exp(z) / np.exp(z).sum()
        found.append(-np.log((p @ TRANSITION.astype(np.float64))[label]))
    return np.array(found)


def test_the_loss_is_that_of_the_probabilities_of_the_noisy_labels(logits):
    found = forward_correction(LABELS, logits, TRANSITION)
    np.testing.assert_allclose(found, reference(LABELS, logits), rtol=1e-5)
    compiled = tf.function(forward_correction, jit_compile=True)
    found = compiled(tf.constant(LABELS), tf.constant(logits), TRANSITION)
    np.testing.assert_allclose(found, reference(LABELS, logits), rtol=1e-5)


def test_its_gradient_is_the_numeric_one(logits):
    z = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        total = tf.reduce_sum(forward_correction(LABELS, z, TRANSITION))
    expected = np.zeros(logits.shape)
    for place in np.ndindex(*logits.shape):
        step = np.zeros(logits.shape)
        step[place] = 1e-5
        up, down = (reference(LABELS, logits + s).sum() for s in (step, -step))
        expected[place] = (up - down) / 2e-5
    np.testing.assert_allclose(tape.gradient(total, z), expected, atol=1e-4)


def test_without_noise_it_is_cross_entropy(logits):
    found = forward_correction(LABELS, logits, np.eye(3))
    expected = softmax_cross_entropy(LABELS, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_impossible_label_of_a_certain_clip_costs_much_but_not_infinity():
    z = tf.constant([[200.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = forward_correction(np.array([2]), z, TRANSITION)
    np.testing.assert_allclose(loss, -np.log(1e-12), rtol=1e-5)
    assert np.isfinite(tape.gradient(loss, z)).all()


def test_the_best_fit_to_noisy_labels_is_the_true_distribution():
    truth = np.array([0.6, 0.3, 0.1])
    noisy = (truth @ TRANSITION).astype(np.float32)
    z = tf.Variable(np.zeros((1, 3), np.float32))
    optimizer = tf.keras.optimizers.Adam(0.05)
    for _ in range(500):
        with tf.GradientTape() as tape:
            losses = forward_correction(np.arange(3), tf.repeat(z, 3, 0), TRANSITION)
            expected_loss = tf.reduce_sum(noisy * losses)
        optimizer.apply_gradients([(tape.gradient(expected_loss, z), z)])
    np.testing.assert_allclose(tf.nn.softmax(z)[0], truth, atol=5e-3)


def test_the_matrix_is_counted_from_pairs_of_noisy_and_true():
    noisy, true = [0, 0, 1, 1, 1, 3], [0, 0, 0, 1, 1, 1]
    counts = np.zeros((4, 4), int)
    np.add.at(counts, (noisy, true), 1)
    expected = [
        [2 / 3, 1 / 3, 0, 0],
        [0, 2 / 3, 0, 1 / 3],
        [0, 0, 1, 0],  # no clip of these two classes: they keep their label
        [0, 0, 0, 1],
    ]
    found = transition_matrix(counts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.ones((2, 3)), r"counts are \[2, 3\], expected \[N, N\]"),
        (np.zeros((2, 2)), "all 0: no transitions"),
        (np.array([[1, -1], [0, 1]]), "counts are negative"),
        (np.array([[1, np.nan], [0, 1]]), "no numbers"),
    ],
)
def test_counts_that_are_none_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        transition_matrix(counts)


def test_what_does_not_fit_is_an_error_and_in_a_graph_nan(logits):
    with pytest.raises(ValueError, match=r"is \[2, 2\], but the logits have 3 classes"):
        forward_correction(LABELS, logits, np.eye(2))
    labels = np.where(np.arange(6) == 2, 3, LABELS)
    with pytest.raises(ValueError, match="label 3 at position 2"):
        forward_correction(labels, logits, TRANSITION)
    call = tf.function(forward_correction)
    found = call(tf.constant(labels), tf.constant(logits), TRANSITION).numpy()
    assert np.isnan(found).tolist() == (np.arange(6) == 2).tolist()
