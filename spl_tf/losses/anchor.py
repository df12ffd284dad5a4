"""Anchor loss (Ryou, Jeong and Perona, ICCV 2019), as in the authors' code.

A binary cross entropy per class, that grows with how hard the clip is to tell apart.
With p = sigmoid(z), t the label and bce_k the binary cross entropy of class k:

- anchor "negative": bce_t + sum_{k != t} (1 + p_k - a)^gamma bce_k,
  a = max(p_t - slack, 0): another class weighs more as it nears the label's score;
- anchor "positive": (1 - p_t + a)^gamma bce_t + sum_{k != t} bce_k,
  a = min(max_{k != t} p_k + slack, 1).

The anchors a are constants to the gradient, the factors' own p are not. The sum over
classes is about C log 2 at the start, far above a softmax cross entropy, and the
outputs become independent sigmoids.

Form "softmax" is this project's own variant, not the paper's: with q = softmax(z),
-log q_t - sum_{k != t} (1 + q_k - max(q_t - slack, 0))^gamma log(1 - q_k).
"""

from __future__ import annotations

import keras
from keras import ops

from spl_tf.losses.cross_entropy import softmax_cross_entropy
from spl_tf.losses.targets import class_indices, nan_unless

# With a slack of 0 a factor's base may round to 0, where a root has no gradient.
_SMALLEST_BASE = 1e-7


def anchor_loss(
    labels,
    logits,
    epoch=None,
    *,
    gamma: float = 0.5,
    slack: float = 0.05,
    anchor: str = "negative",
    form: str = "sigmoid",
    warm_up_epochs: int = 5,
) -> keras.KerasTensor:
    """Anchor loss per clip, as the module describes it, in float32.

    Args:
        labels: Integers [B] in [0, C).
        logits: float [B, C], of any precision.
        epoch: Number or scalar tensor, epochs trained so far; needed for the warm-up.
        gamma: How strongly a factor changes; 0 gives the plain sum over classes.
        slack: Margin around the anchor, a probability in [0, 1).
        anchor: "negative" or "positive", as in the module's formulas.
        form: "sigmoid" or, with negative anchors only, "softmax".
        warm_up_epochs: While epoch is below, the softmax cross entropy is returned.

    Returns:
        float32 [B]. In a graph, where it cannot be an error, a label out of range gives
        NaN.

    Raises:
        ValueError: An unknown option, a warm-up without an epoch, or (outside a graph)
            a label out of range.
    """
    _check_options(gamma, slack, anchor, form)
    if warm_up_epochs and epoch is None:
        raise ValueError(
            f"anchor loss warms up for {warm_up_epochs} epochs, but no epoch is given; "
            "pass epoch, or warm_up_epochs=0"
        )
    logits = ops.cast(logits, "float32")
    indices, valid = class_indices(labels, logits.shape[-1])
    losses = _anchored(indices, logits, gamma, slack, anchor, form)
    if warm_up_epochs:
        plain = softmax_cross_entropy(labels, logits)
        losses = ops.where(ops.less(epoch, warm_up_epochs), plain, losses)
    return nan_unless(valid, losses)


def _anchored(indices, logits, gamma, slack, anchor, form):
    """The loss after the warm-up, float32 [B]."""
    terms = _softmax_terms if form == "softmax" else _sigmoid_terms
    is_label = ops.one_hot(indices, logits.shape[-1], dtype="bool")
    scores, positive, negative = terms(logits)
    if anchor == "negative":
        negative *= _factor(
            1.0 + scores - _anchor_below(scores, is_label, slack), gamma
        )
    else:
        positive *= _factor(
            1.0 - scores + _anchor_above(scores, is_label, slack), gamma
        )
    return ops.sum(ops.where(is_label, positive, negative), axis=-1)


def _check_options(gamma: float, slack: float, anchor: str, form: str) -> None:
    if gamma < 0 or not 0 <= slack < 1:
        raise ValueError(
            f"anchor loss has gamma {gamma} and slack {slack}, expected gamma >= 0 "
            "and slack in [0, 1)"
        )
    known = [("negative", "sigmoid"), ("positive", "sigmoid"), ("negative", "softmax")]
    if (anchor, form) not in known:
        raise ValueError(
            f"anchor loss has anchor {anchor!r} and form {form!r}, expected one of "
            + ", ".join(f"{a!r} with {f!r}" for a, f in known)
        )


def _sigmoid_terms(logits):
    """Scores, and what each class costs as the label and as another, all [B, C]."""
    return ops.sigmoid(logits), ops.softplus(-logits), ops.softplus(logits)


def _softmax_terms(logits):
    """`_sigmoid_terms` for softmax; log(1 - q) is exact also where q rounds to 1."""
    log_scores = ops.log_softmax(logits, axis=-1)
    scores = ops.exp(log_scores)
    # Only the largest score can be near 1; the rest of it is the others' sum.
    is_top = ops.one_hot(ops.argmax(logits, axis=-1), logits.shape[-1], dtype="bool")
    others = ops.where(is_top, ops.full_like(logits, -1e30), log_scores)
    rest = ops.logsumexp(others, axis=-1, keepdims=True)
    small = ops.log1p(-ops.where(is_top, ops.zeros_like(scores), scores))
    return scores, -log_scores, -ops.where(is_top, rest, small)


def _anchor_below(scores, is_label, slack):
    """The label's score less the slack, at least 0, float32 [B, 1], constant."""
    own = ops.sum(
        ops.where(is_label, scores, ops.zeros_like(scores)), -1, keepdims=True
    )
    return ops.stop_gradient(ops.maximum(own - slack, 0.0))


def _anchor_above(scores, is_label, slack):
    """The best other score plus the slack, at most 1, float32 [B, 1], constant."""
    others = ops.where(is_label, ops.zeros_like(scores), scores)
    return ops.stop_gradient(
        ops.minimum(ops.max(others, axis=-1, keepdims=True) + slack, 1.0)
    )


def _factor(base, gamma):
    return ops.power(ops.maximum(base, _SMALLEST_BASE), gamma)
