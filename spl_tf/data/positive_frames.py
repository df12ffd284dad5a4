"""Which frames of an untrimmed video a teacher finds its label in (OmniSource, 3.5)."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np

from spl_tf.clips import ClipDataset
from spl_tf.data.sampling import scale_draw


@dataclasses.dataclass(frozen=True)
class PositiveFrames:
    """The positive frames of a dataset, and items of one of them and negative ones.

    A frame is positive where the teacher's first choice for it is the label.

    Attributes:
        dataset: A dataset that was predicted frame by frame.
        min_confidence: Least probability of the teacher's choice in a positive frame.
    """

    dataset: ClipDataset
    min_confidence: float = 0.0

    def __post_init__(self):
        if self.dataset.index.frame_choices is None:
            raise ValueError(
                f"{self.dataset.directory} does not say what a teacher sees in each "
                "frame; run `python -m experiments.predict --per_frame` on it, with a "
                "2D teacher. If that was done and the index is an older one, "
                "`inspect_records --reindex --overwrite` adds it"
            )

    @functools.cached_property
    def _splits(self) -> np.ndarray:
        """int64 [n + 1]; the frames of row i are from `_splits[i]` to the next."""
        lengths = self.dataset.index.frames
        return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    def counts(self, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """How many positive frames some clips have.

        Args:
            rows: int64 [m], rows of the index.
            labels: int [m], what each is to show.

        Returns:
            int64 [m].
        """
        of_rows = np.full(len(self.dataset), -1, np.int64)
        of_rows[rows] = labels
        chosen, confidence = self.dataset.index.frame_choices
        positive = chosen == of_rows.repeat(self.dataset.index.frames)
        positive &= confidence >= self.min_confidence
        before = np.concatenate([[0], np.cumsum(positive, dtype=np.int64)])
        return before[self._splits[rows + 1]] - before[self._splits[rows]]

    def draw(self, row: int, label: int, draws: np.ndarray) -> np.ndarray:
        """A positive frame of a clip and negative ones, in temporal order.

        None comes twice while there are others: negative ones first and, where these
        are too few, further positive ones.

        Args:
            row: The clip's row in the index, with a positive frame at least.
            label: What positive frames show.
            draws: float32 [T], uniform in [0, 1).

        Returns:
            int64 [T], places of frames in the clip, ascending.
        """
        frames = slice(*self._splits[row : row + 2])
        chosen, confidence = (each[frames] for each in self.dataset.index.frame_choices)
        is_positive = (chosen == label) & (confidence >= self.min_confidence)
        positive = np.flatnonzero(is_positive).tolist()
        first = positive.pop(scale_draw(draws[0], len(positive)))
        negative = np.flatnonzero(~is_positive).tolist()
        pools = itertools.cycle((negative, positive, [first]))
        drawn, pool = [first], []
        for draw in draws[1:]:
            while not pool:
                pool = list(next(pools))
            drawn.append(pool.pop(scale_draw(draw, len(pool))))
        return np.sort(drawn)
