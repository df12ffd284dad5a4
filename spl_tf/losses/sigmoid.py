"""Sigmoid cross entropy: each label of its own, for clips with several."""

from __future__ import annotations

import keras
from keras import ops

from spl_tf.losses.targets import nan_unless, probabilities_of_labels


def sigmoid_cross_entropy(targets, logits) -> keras.KerasTensor:
    """Binary cross entropy per clip, the mean over labels (IG-65M, section 3.3).

    Args:
        targets: Numbers [B, C] in [0, 1]; multi-hot rows have 0 and 1.
        logits: float [B, C], of any precision.

    Returns:
        float32 [B]. In a graph, where it cannot be an error, a row with a target out of
        range gives NaN.

    Raises:
        ValueError: Another C, or (outside a graph) a target is out of range.
    """
    logits = ops.cast(logits, "float32")
    targets, valid = probabilities_of_labels(targets, logits.shape[-1])
    # -t log p - (1 - t) log(1 - p), and no overflow.
    losses = ops.softplus(logits) - targets * logits
    return nan_unless(valid, ops.mean(losses, axis=-1))
