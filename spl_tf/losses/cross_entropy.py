"""Softmax cross entropy."""

from __future__ import annotations

import keras
from keras import ops


def softmax_cross_entropy(
    labels, logits, label_smoothing: float = 0.0
) -> keras.KerasTensor:
    """Cross entropy of hard labels, per clip, in float32.

    Args:
        labels: int32 [B] in [0, C).
        logits: float [B, C].
        label_smoothing: Share of the target spread evenly over all C classes.

    Returns:
        float32 [B].
    """
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    hard = ops.take_along_axis(
        log_probabilities, ops.expand_dims(ops.cast(labels, "int32"), -1), axis=-1
    )[:, 0]
    if not label_smoothing:
        return -hard
    even = ops.mean(log_probabilities, axis=-1)
    return -(1.0 - label_smoothing) * hard - label_smoothing * even
