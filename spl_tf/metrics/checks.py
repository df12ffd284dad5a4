"""The clips of a batch that count, checked."""

from __future__ import annotations

import collections

import numpy as np

from spl_tf.text_files import composed


def counted_clips(
    labels, scores, mask=None, class_names: tuple[str, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of the clips that are no padding.

    Args:
        labels: Integers [B] in [0, C), or multi-hot rows, bool [B, C]; those of padding
            may be anything.
        scores: Floats [B, C], higher is likelier; those of padding may be anything.
        mask: bool [B], False for padding; None counts all.
        class_names: If given, C must be their number.

    Returns:
        labels, int64 [n] or bool [n, C], and scores [n, C].

    Raises:
        ValueError: Shapes or dtypes do not fit, a label is out of range, or a score is
            NaN or infinite.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    multi_hot = labels.dtype == bool and labels.shape == scores.shape
    if not multi_hot and (labels.ndim != 1 or labels.dtype.kind not in "iu"):
        raise ValueError(
            f"labels are {labels.dtype} {list(labels.shape)}, expected integers [B] or "
            "bool [B, C]"
        )
    if scores.ndim != 2 or len(scores) != len(labels):
        raise ValueError(
            f"scores are {list(scores.shape)} for {len(labels)} labels, expected [B, C]"
        )
    if class_names is not None and scores.shape[1] != len(class_names):
        raise ValueError(
            f"scores have {scores.shape[1]} classes, expected {len(class_names)}: "
            f"{', '.join(class_names[:3])}, ..."
        )
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != labels.shape[:1] or mask.dtype != bool:
            raise ValueError(
                f"mask is {mask.dtype} {list(mask.shape)}, expected bool "
                f"{list(labels.shape[:1])}"
            )
        labels, scores = labels[mask], scores[mask]
    if not np.isfinite(scores).all():
        raise ValueError("a score is NaN or infinite: the model has diverged")
    if multi_hot:
        return labels, scores
    wrong = (labels < 0) | (labels >= scores.shape[1])
    if wrong.any():
        raise ValueError(
            f"label {labels[wrong][0]} is out of range, expected 0 to "
            f"{scores.shape[1] - 1}"
        )
    return labels.astype(np.int64), scores


def check_class_names(class_names) -> tuple[str, ...]:
    """The class names, composed (NFC).

    Raises:
        ValueError: There are none, or one occurs twice.
    """
    names = tuple(map(composed, class_names))
    if not names:
        raise ValueError("there are no class names")
    counts = collections.Counter(names)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ValueError(f"class names occur more than once: {', '.join(twice)}")
    return names


def check_same_classes(ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    """Refuses to merge counts of other classes.

    Raises:
        ValueError: The names or their order differ.
    """
    if len(ours) != len(theirs):
        raise ValueError(
            f"cannot merge: {len(theirs)} classes in the other, {len(ours)} in this one"
        )
    for index, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        if own != other:
            raise ValueError(
                f"cannot merge: class {index} is {other!r} in the other, {own!r} in "
                "this one"
            )
