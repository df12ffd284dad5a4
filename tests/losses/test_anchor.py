import numpy as np
import pytest
import tensorflow as tf

from spl_tf.losses import anchor_loss, softmax_cross_entropy

VARIANTS = [("negative", "sigmoid"), ("positive", "sigmoid"), ("negative", "softmax")]
LABELS = np.array([0, 3, 2, 1, 4], np.int32)


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(scale=2, size=(5, 5))


def scores_of(z, form):
    if form == "sigmoid":
        return 1 / (1 + np.exp(-z))
    return np.exp(z) / np.exp(z).sum()


def anchor_of(z, t, slack, anchor, form):
    p = scores_of(z, form)
    if anchor == "negative":
        return max(p[t] - slack, 0)
    return min(np.delete(p, t).max() + slack, 1)


def loss_of_a_clip(z, t, a, gamma, anchor, form):
    """The formula of one clip, class by class, at a given anchor."""
    p = scores_of(z, form)
    total = 0.0
    for k in range(len(z)):
        if k == t:
            factor = (1 - p[k] + a) ** gamma if anchor == "positive" else 1
            total -= factor * np.log(p[k])
        else:
            factor = (1 + p[k] - a) ** gamma if anchor == "negative" else 1
            total -= factor * np.log(1 - p[k])
    return total


@pytest.mark.parametrize(("anchor", "form"), VARIANTS)
@pytest.mark.parametrize(("gamma", "slack"), [(0.5, 0.05), (2.0, 0.3), (0.0, 0.05)])
def test_loss_is_the_formula(logits, anchor, form, gamma, slack):
    expected = [
        loss_of_a_clip(z, t, anchor_of(z, t, slack, anchor, form), gamma, anchor, form)
        for z, t in zip(logits, LABELS, strict=True)
    ]
    found = anchor_loss(
        LABELS,
        logits.astype(np.float32),
        gamma=gamma,
        slack=slack,
        anchor=anchor,
        form=form,
        warm_up_epochs=0,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("anchor", "form"), VARIANTS)
def test_gradient_holds_the_anchor_but_not_the_factor_constant(logits, anchor, form):
    expected, step = np.zeros_like(logits), 1e-6
    for i, (z, t) in enumerate(zip(logits, LABELS, strict=True)):
        a = anchor_of(z, t, 0.05, anchor, form)
        for k in range(5):
            up, down = z.copy(), z.copy()
            up[k] += step
            down[k] -= step
            expected[i, k] = (
                loss_of_a_clip(up, t, a, 0.5, anchor, form)
                - loss_of_a_clip(down, t, a, 0.5, anchor, form)
            ) / (2 * step)
    z = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        losses = anchor_loss(LABELS, z, anchor=anchor, form=form, warm_up_epochs=0)
    np.testing.assert_allclose(tape.gradient(losses, z), expected, rtol=1e-3, atol=1e-5)


def test_softmax_cross_entropy_until_the_warm_up_ends(logits):
    z = tf.constant(logits, tf.float32)
    call = tf.function(
        lambda epoch: anchor_loss(LABELS, z, epoch, warm_up_epochs=5), jit_compile=True
    )
    plain = softmax_cross_entropy(LABELS, z)
    anchored = anchor_loss(LABELS, z, warm_up_epochs=0)
    for epoch, expected in ((0.0, plain), (4.99, plain), (5.0, anchored)):
        np.testing.assert_allclose(call(tf.constant(epoch)), expected, rtol=1e-5)
        eager = anchor_loss(LABELS, z, epoch, warm_up_epochs=5)
        np.testing.assert_allclose(eager, expected, rtol=1e-5)
    assert not np.allclose(plain, anchored)
    assert call.experimental_get_tracing_count() == 1
    with pytest.raises(ValueError, match="no epoch is given"):
        anchor_loss(LABELS, z)


@pytest.mark.parametrize(("anchor", "form"), VARIANTS)
def test_extreme_logits_have_finite_losses_and_gradients(anchor, form):
    z = tf.constant([[200.0, -200.0, -200.0], [-200.0, 200.0, -200.0]])
    with tf.GradientTape() as tape:
        tape.watch(z)
        losses = anchor_loss([0, 0], z, 9, slack=0.0, anchor=anchor, form=form)
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(losses, z)).all()
    # The label and the wrong class cost 200 each, with a factor of 2 ** 0.5 on one of
    # them; 400 and 400 - log(2) in the softmax.
    expected = 200 + 2**0.5 * 200
    if form == "softmax":
        expected = 400 + 2**0.5 * (400 - np.log(2))
    np.testing.assert_allclose(losses, [0, expected], rtol=1e-5, atol=1e-3)


def test_bad_options_and_labels_are_errors(logits):
    for options in ({"anchor": "pos"}, {"form": "softmax", "anchor": "positive"}):
        with pytest.raises(ValueError, match="expected one of 'negative' with"):
            anchor_loss(LABELS, logits, 0, **options)
    with pytest.raises(ValueError, match=r"slack 1\.5"):
        anchor_loss(LABELS, logits, 0, slack=1.5)
    with pytest.raises(ValueError, match="label 5 at position 0"):
        anchor_loss(LABELS + 5, logits, 0)
    call = tf.function(lambda labels: anchor_loss(labels, logits, warm_up_epochs=0))
    found = call(tf.constant([0, 3, 5, 1, -1]))
    assert np.isnan(found).tolist() == [False, False, True, False, True]
