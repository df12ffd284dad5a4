"""Top-k accuracy, counted exactly over batches with padding."""

from __future__ import annotations

import numpy as np

from spl_tf.metrics.checks import counted_clips


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
            labels: Integers [B] in [0, C).
            scores: Floats [B, C], logits or probabilities.
            mask: bool [B], False for padding; None counts all.

        Raises:
            ValueError: Shapes do not fit, a label is out of range, or a score is NaN or
                infinite. Nothing is counted then.
        """
        labels, scores = counted_clips(labels, scores, mask)
        own = scores[np.arange(len(labels)), labels][:, None]
        before = np.arange(scores.shape[1])[None, :] < labels[:, None]
        rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
        for k in self._correct:
            self._correct[k] += int((rank < k).sum())
        self.count += len(labels)

    def merge(self, other: TopKAccuracy) -> None:
        """Adds what another part of the clips counted.

        Raises:
            ValueError: The other counts for other values of k.
        """
        if other._correct.keys() != self._correct.keys():
            raise ValueError(
                f"cannot merge top-k of k = {sorted(other._correct)} into one of "
                f"k = {sorted(self._correct)}"
            )
        for k, correct in other._correct.items():
            self._correct[k] += correct
        self.count += other.count

    def result(self) -> dict[str, float]:
        """`{"top_1": ..., "top_5": ...}`, shares in [0, 1].

        Raises:
            ValueError: Nothing was counted.
        """
        if not self.count:
            raise ValueError("no clips were counted")
        return {f"top_{k}": n / self.count for k, n in self._correct.items()}
