"""Softmax cross entropy of hard and of soft labels."""

from __future__ import annotations

import keras
from keras import ops

from spl_tf.losses.targets import class_indices, nan_unless, probability_rows


def softmax_cross_entropy(
    labels, logits, label_smoothing: float = 0.0
) -> keras.KerasTensor:
    """Cross entropy of hard or soft labels, per clip, in float32.

    Args:
        labels: Integers [B] in [0, C), or soft targets [B, C]: rows of probabilities,
            as mixing clips makes them.
        logits: float [B, C], of any precision.
        label_smoothing: Share of the target spread evenly over all C classes
            (Szegedy et al., CVPR 2016, section 7).

    Returns:
        float32 [B]. In a graph, where it cannot be an error, a label out of range and a
        row that is no distribution give NaN.

    Raises:
        ValueError: Shapes or dtypes do not fit, or (outside a graph) a label is out of
            range or a row is no distribution.
    """
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    num_classes = log_probabilities.shape[-1]
    if len(ops.shape(labels)) == 2:
        targets, valid = probability_rows(labels, num_classes)
        own = ops.sum(targets * log_probabilities, axis=-1)
    else:
        labels, valid = class_indices(labels, num_classes)
        own = ops.take_along_axis(log_probabilities, labels[:, None], axis=-1)[:, 0]
    if label_smoothing:
        even = ops.mean(log_probabilities, axis=-1)
        own = (1.0 - label_smoothing) * own + label_smoothing * even
    return nan_unless(valid, -own)
