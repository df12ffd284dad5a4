"""Average precision per class and its mean over classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spl_tf.metrics.checks import (
    check_class_names,
    check_same_classes,
    counted_clips,
)
from spl_tf.text_files import composed


def average_precision(relevant: np.ndarray, scores: np.ndarray) -> float:
    """Step-wise area under the precision-recall curve of one class.

    sum_n (R_n - R_{n-1}) P_n over the distinct scores, highest first: clips of equal
    score enter together, so that their order does not matter. Nothing is interpolated;
    as scikit-learn's `average_precision_score`.

    Args:
        relevant: bool [n], whether the clip is of the class.
        scores: Floats [n], finite.

    Returns:
        In [0, 1]; NaN if no clip is of the class.
    """
    relevant, scores = np.asarray(relevant, bool), np.asarray(scores)
    if not relevant.any():
        return float("nan")
    order = np.argsort(scores, kind="stable")[::-1]
    ranked = scores[order]
    last_of_tie = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    found = np.cumsum(relevant[order])[last_of_tie]
    precision = found / (last_of_tie + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / found[-1])


class MeanAveragePrecision:
    """Mean over classes of the average precision of their scores.

    Every score is kept until the end (n x C floats), because the ranking needs all of
    them; parts that are merged in any order give the same result.
    """

    def __init__(self, class_names: Sequence[str], exclude: Sequence[str] = ()):
        """Starts counting.

        Args:
            class_names: The C names, in index order.
            exclude: Classes left out of the mean, as SoccerNet's background.

        Raises:
            ValueError: A name in exclude is unknown, or no class remains.
        """
        self.class_names = check_class_names(class_names)
        self.excluded = frozenset(map(composed, exclude))
        unknown = sorted(self.excluded - set(self.class_names))
        if unknown:
            raise ValueError(
                f"cannot leave out {', '.join(unknown)}: not among the classes "
                f"{', '.join(self.class_names)}"
            )
        if len(self.excluded) == len(self.class_names):
            raise ValueError("every class is left out of the mean average precision")
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def count(self) -> int:
        """The number of clips counted so far."""
        return sum(len(labels) for labels, _ in self._parts)

    def update(
        self, labels: np.ndarray, scores: np.ndarray, mask: np.ndarray | None = None
    ) -> None:
        """Counts a batch.

        Args:
            labels: Integers [B] in [0, C), or multi-hot rows, bool [B, C].
            scores: Floats [B, C], comparable between clips (probabilities).
            mask: bool [B], False for padding; None counts all.

        Raises:
            ValueError: Shapes do not fit, a label is out of range, or a score is NaN or
                infinite. Nothing is counted then.
        """
        labels, scores = counted_clips(labels, scores, mask, self.class_names)
        # The caller may reuse its buffer.
        self._parts.append((labels, scores.copy()))

    def merge(self, other: MeanAveragePrecision) -> None:
        """Adds what another part of the clips counted.

        Raises:
            ValueError: The classes, or those left out, differ.
        """
        check_same_classes(self.class_names, other.class_names)
        if self.excluded != other.excluded:
            raise ValueError(
                f"cannot merge: the other leaves out {sorted(other.excluded)}, this "
                f"one {sorted(self.excluded)}"
            )
        self._parts += other._parts

    def class_average_precision(self) -> dict[str, float]:
        """Average precision by name, excluded classes too; NaN without clips."""
        if not self.count:
            raise ValueError("no clips were counted")
        labels = np.concatenate([labels for labels, _ in self._parts])
        scores = np.concatenate([scores for _, scores in self._parts])
        return {
            name: average_precision(
                labels[:, index] if labels.ndim == 2 else labels == index,
                scores[:, index],
            )
            for index, name in enumerate(self.class_names)
        }

    def result(self) -> dict[str, float]:
        """`{"mAP": ...}`, in [0, 1], over the classes that have clips.

        Raises:
            ValueError: No clip of a class that counts.
        """
        values = [
            value
            for name, value in self.class_average_precision().items()
            if name not in self.excluded and not np.isnan(value)
        ]
        if not values:
            raise ValueError("no clip is of a class that counts for the mean")
        return {"mAP": float(np.mean(values))}
