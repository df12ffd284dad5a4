"""Forward loss correction (Patrini et al., CVPR 2017), the paper's image baseline.

With p = softmax(z) over the true classes and T[i, j] the probability that a clip of
class i has the label j, the loss of label y is -log sum_i p_i T[i, y]: the model learns
the true classes from noisy labels. Inference uses plain logits.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from spl_tf.losses.targets import class_indices, nan_unless

# A label that was never counted for a class must not cost infinity.
_SMALLEST_PROBABILITY = 1e-12


def transition_matrix(counts: ArrayLike) -> np.ndarray:
    """Probabilities of the noisy labels for each true class, from counted pairs.

    Args:
        counts: Numbers [N, N], not negative, laid out as `ConfusionMatrix.counts`: row
            is the noisy label, column the true class (or the teacher's, in its place).

    Returns:
        float32 [N, N], row = true class, column = noisy label; rows add up to 1. A
        class that no pair has keeps its label.

    Raises:
        ValueError: Not square, a negative count, or none at all.
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"counts are {list(counts.shape)}, expected [N, N]")
    if not np.all(counts >= 0) or not counts.any():
        raise ValueError("counts are negative, no numbers, or all 0: no transitions")
    by_class = counts.T.copy()
    unseen = np.flatnonzero(by_class.sum(axis=1) == 0)
    by_class[unseen, unseen] = 1.0
    return (by_class / by_class.sum(axis=1, keepdims=True)).astype(np.float32)


def forward_correction(labels, logits, transition) -> keras.KerasTensor:
    """Cross entropy of noisy labels after the transition, per clip, in float32.

    Args:
        labels: Noisy labels, integers [B] in [0, N).
        logits: float [B, N] of the true classes, of any precision.
        transition: float [N, N], see `transition_matrix`; entries below 1e-12 count as
            that.

    Returns:
        float32 [B]. In a graph, where it cannot be an error, a label out of range gives
        NaN.

    Raises:
        ValueError: The shapes do not fit, or (outside a graph) a label is out of range.
    """
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    size = log_probabilities.shape[-1]
    transition = ops.cast(transition, "float32")
    if tuple(transition.shape) != (size, size):
        raise ValueError(
            f"the transition matrix is {list(transition.shape)}, but the logits have "
            f"{size} classes"
        )
    indices, valid = class_indices(labels, size)
    to_label = ops.take(ops.transpose(transition), indices, axis=0)
    log_transition = ops.log(ops.maximum(to_label, _SMALLEST_PROBABILITY))
    losses = -ops.logsumexp(log_probabilities + log_transition, axis=-1)
    return nan_unless(valid, losses)
