"""Top-k accuracy, counted exactly over batches with padding."""

from __future__ import annotations

import numpy as np


class TopKAccuracy:
    """Share of clips whose label is among the k classes of highest score."""

    def __init__(self, ks: tuple[int, ...] = (1, 5)):
        """Starts counting.

        Args:
            ks: The values of k to report.
        """
        self._correct = dict.fromkeys(ks, 0)
        self.count = 0

    def update(
        self, labels: np.ndarray, scores: np.ndarray, mask: np.ndarray | None = None
    ) -> None:
        """Counts a batch; of equal scores the class with the lower index ranks first.

        Args:
            labels: Integers [B].
            scores: Floats [B, C], logits or probabilities.
            mask: bool [B], False for padding; None counts all.

        Raises:
            ValueError: A score is NaN or infinite.
        """
        labels, scores = np.asarray(labels), np.asarray(scores)
        if mask is not None:
            labels, scores = labels[mask], scores[mask]
        if not np.isfinite(scores).all():
            raise ValueError("a score is NaN or infinite: the model has diverged")
        own = scores[np.arange(len(labels)), labels][:, None]
        before = np.arange(scores.shape[1])[None, :] < labels[:, None]
        rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
        for k in self._correct:
            self._correct[k] += int((rank < k).sum())
        self.count += len(labels)

    def result(self) -> dict[str, float]:
        """`{"top_1": ..., "top_5": ...}`, shares in [0, 1].

        Raises:
            ValueError: Nothing was counted.
        """
        if not self.count:
            raise ValueError("no clips were counted")
        return {f"top_{k}": n / self.count for k, n in self._correct.items()}
