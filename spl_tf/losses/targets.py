"""Labels as the losses take them: checked where their values are known.

Inside `tf.function` or `jax.jit` values are not known yet. There a clip whose label is
wrong gets a NaN loss, which a training loop notices, and never a silent zero.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

# Rounding to bfloat16 moves a row's sum by up to 0.2 %.
_SUM_TOLERANCE = 5e-3


def class_indices(indices, size: int, name: str = "label"):
    """Indices that are safe to look up, and which clips' own they are.

    Args:
        indices: Integers [B], of labels or of clips.
        size: They must be in [0, size).
        name: What an index is called in errors.

    Returns:
        int32 [B], 0 in place of what is out of range, and bool [B], False there.

    Raises:
        ValueError: Not integers [B], or (values known) one is out of range.
    """
    _check_range(indices, size, name)
    indices = ops.convert_to_tensor(indices)
    dtype = keras.backend.standardize_dtype(indices.dtype)
    if len(indices.shape) != 1 or "int" not in dtype:
        raise ValueError(
            f"{name}s are {dtype} {list(indices.shape)}, expected integers [B]"
        )
    indices = ops.cast(indices, "int32")
    valid = ops.logical_and(indices >= 0, indices < size)
    return ops.where(valid, indices, ops.zeros_like(indices)), valid


def probability_rows(targets, num_classes: int):
    """Soft targets as float32 [B, C], and which rows are probabilities, bool [B].

    Args:
        targets: Numbers [B, C], rows that are not negative and add up to 1.
        num_classes: C, the number of the logits.

    Raises:
        ValueError: Another C, or (values known) a row that is no distribution.
    """
    targets = _rows(targets, num_classes)
    even = ops.abs(ops.sum(targets, axis=-1) - 1.0) <= _SUM_TOLERANCE
    valid = ops.logical_and(even, ops.all(targets >= 0.0, axis=-1))
    _check_rows(targets, valid, "probabilities that add up to 1")
    return targets, valid


def probabilities_of_labels(targets, num_classes: int):
    """Targets of each label on its own, and which rows are such.

    Args:
        targets: Numbers [B, C], each in [0, 1].
        num_classes: C, the number of the logits.

    Returns:
        float32 [B, C], and bool [B].

    Raises:
        ValueError: Another C, or (values known) a target out of range.
    """
    targets = _rows(targets, num_classes)
    valid = ops.all(ops.logical_and(targets >= 0.0, targets <= 1.0), axis=-1)
    _check_rows(targets, valid, "numbers from 0 to 1")
    return targets, valid


def _rows(targets, num_classes: int):
    targets = ops.cast(targets, "float32")
    if len(targets.shape) != 2 or targets.shape[-1] != num_classes:
        raise ValueError(
            f"soft targets are {list(targets.shape)}, but the logits have "
            f"{num_classes} classes"
        )
    return targets


def _check_rows(targets, valid, expected: str) -> None:
    known = _known_values(valid)
    if known is not None and not known.all():
        row = int(np.argmin(known))
        raise ValueError(
            f"row {row} of the soft targets is {_known_values(targets[row])}, expected "
            f"{expected}"
        )


def nan_unless(valid, losses):
    """The losses [B], NaN where valid is False."""
    return ops.where(valid, losses, ops.full_like(losses, float("nan")))


def _check_range(indices, size: int, name: str) -> None:
    values = _known_values(indices)
    if values is None or values.dtype.kind not in "iu":
        return
    wrong = np.flatnonzero((values < 0) | (values >= size))
    if wrong.size:
        raise ValueError(
            f"{name} {values.flat[wrong[0]]} at position {wrong[0]} of the batch is "
            f"out of range, expected 0 to {size - 1}"
        )


def _known_values(tensor) -> np.ndarray | None:
    """The tensor's values, or None while a graph is being traced."""
    try:
        return np.asarray(tensor)
    except (NotImplementedError, TypeError, ValueError):
        # TensorFlow's, JAX's and Keras' symbolic tensors, in this order.
        return None
