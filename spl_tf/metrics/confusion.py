"""Which classes a model takes for which, and what follows from the counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spl_tf.metrics.checks import (
    check_class_names,
    check_same_classes,
    counted_clips,
)


class EvaluationConfusion:
    """Counts label x highest-scored class, and gives the accuracy of each class.

    Dense: N x N x 8 bytes for N classes, 800 MB for 10,000.
    """

    def __init__(self, class_names: Sequence[str]):
        """Starts counting.

        Args:
            class_names: The N names, in index order.
        """
        self.class_names = check_class_names(class_names)
        size = len(self.class_names)
        self._counts = np.zeros((size, size), np.int64)

    @property
    def counts(self) -> np.ndarray:
        """int64 [N, N], row = label, column = prediction; a copy."""
        return self._counts.copy()

    def update(
        self, labels: np.ndarray, scores: np.ndarray, mask: np.ndarray | None = None
    ) -> None:
        """Counts a batch; of equal scores the class with the lower index is predicted.

        Args:
            labels: Integers [B] in [0, N).
            scores: Floats [B, N], logits or probabilities.
            mask: bool [B], False for padding; None counts all.

        Raises:
            ValueError: Shapes do not fit, a label is out of range, or a score is NaN or
                infinite. Nothing is counted then.
        """
        labels, scores = counted_clips(labels, scores, mask, self.class_names)
        np.add.at(self._counts, (labels, scores.argmax(axis=1)), 1)

    def merge(self, other: EvaluationConfusion) -> None:
        """Adds what another part of the clips counted.

        Raises:
            ValueError: The classes differ.
        """
        check_same_classes(self.class_names, other.class_names)
        self._counts += other._counts

    def class_accuracy(self) -> dict[str, float]:
        """Share of each class' clips that were recognised; NaN without clips."""
        totals = self._counts.sum(axis=1)
        correct = self._counts.diagonal()
        return {
            name: float(hits / total) if total else float("nan")
            for name, hits, total in zip(self.class_names, correct, totals, strict=True)
        }

    def result(self) -> dict[str, float]:
        """`{"mean_class_accuracy": ...}`, in [0, 1], over the classes that have clips.

        Raises:
            ValueError: Nothing was counted.
        """
        values = [v for v in self.class_accuracy().values() if not np.isnan(v)]
        if not values:
            raise ValueError("no clips were counted")
        return {"mean_class_accuracy": float(np.mean(values))}


class ConfusionChange(NamedTuple):
    """The confusion scores of a pair of classes under two models."""

    first: str
    second: str
    before: float
    after: float


def confusion_scores(counts: np.ndarray) -> np.ndarray:
    """How much each two classes are taken for each other.

    s_ij = (n_ij + n_ji) / (n_ij + n_ji + n_ii + n_jj) for i != j (Duan et al.,
    "Omni-sourced Webly-supervised Learning for Video Recognition", ECCV 2020, where the
    gain from web data is analysed); 0 where nothing was counted, and on the diagonal.

    Args:
        counts: Integers [N, N], row = label, column = prediction.

    Returns:
        float64 [N, N], symmetric, in [0, 1].
    """
    counts = np.asarray(counts, np.float64)
    confused = counts + counts.T
    np.fill_diagonal(confused, 0.0)
    correct = counts.diagonal()
    total = confused + correct[:, None] + correct[None, :]
    return np.divide(confused, total, out=np.zeros_like(total), where=total > 0)


def confusion_changes(
    before: EvaluationConfusion, after: EvaluationConfusion
) -> list[ConfusionChange]:
    """Pairs of classes by how their confusion score changed, largest drop first.

    Args:
        before: Counts of the model to start from.
        after: Counts of another, of the same classes.

    Returns:
        One entry per pair whose score changed; ties in class order.

    Raises:
        ValueError: The classes differ.
    """
    check_same_classes(before.class_names, after.class_names)
    old, new = confusion_scores(before.counts), confusion_scores(after.counts)
    rows, columns = np.nonzero(np.triu(old != new))
    order = np.argsort((new - old)[rows, columns], kind="stable")
    names = before.class_names
    return [
        ConfusionChange(names[i], names[j], float(old[i, j]), float(new[i, j]))
        for i, j in zip(rows[order], columns[order], strict=True)
    ]
