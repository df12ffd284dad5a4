"""Clips with several labels, e.g. the hashtags of a video (IG-65M, section 3.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class SeveralLabels:
    """All labels of all clips, as an index has them.

    Attributes:
        values: int32 [m], the labels of row 0, then those of row 1, and so on.
        splits: int64 [n + 1]; those of row i are from `splits[i]` to the next.
    """

    values: np.ndarray
    splits: np.ndarray

    def __len__(self) -> int:
        return len(self.splits) - 1

    def one_of(
        self, rows: slice | np.ndarray, draw: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """One label of each of some clips, all of a clip's equally likely.

        Args:
            rows: int64 [b], or a slice of b, rows of the index.
            draw: Gives float32 [k], uniform in [0, 1), for rows of several labels.

        Returns:
            int32 [b], a label per clip.
        """
        first, behind = self.splits[:-1][rows], self.splits[1:][rows]
        several = np.flatnonzero(behind - first > 1)
        which = rows.start + several if isinstance(rows, slice) else rows[several]
        places = np.array(first)
        first, behind = first[several], behind[several]
        counts = (behind - first).astype(np.float32)
        # A draw just below 1 may round up to the next clip's.
        drawn = first + (draw(which) * counts).astype(np.int64)
        places[several] = np.minimum(drawn, behind - 1)
        return self.values[places]

    def rows(self, rows: np.ndarray, num_labels: int) -> np.ndarray:
        """Labels of some clips as multi-hot rows.

        Args:
            rows: int64 [b], rows of the index.
            num_labels: C, above every label.

        Returns:
            bool [b, C], True at each label of a row.
        """
        counts = self.splits[rows + 1] - self.splits[rows]
        starts = np.repeat(self.splits[rows] - np.cumsum(counts) + counts, counts)
        hot = np.zeros((len(rows), num_labels), bool)
        values = self.values[starts + np.arange(counts.sum())]
        hot[np.repeat(np.arange(len(rows)), counts), values] = True
        return hot
