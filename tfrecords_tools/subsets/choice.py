"""Which media of a manifest a subset takes; NumPy alone.

A medium of several labels counts for the rarest of them, so that the tail is seen as
what it is. Media are in an order that the seed alone decides, and a smaller subset's
are among a larger one's.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from spl_tf.labels.several import SeveralLabels


@dataclasses.dataclass(frozen=True)
class Media:
    """The m media of n rows, which a subset takes whole.

    Attributes:
        of_row: int64 [n], the medium of each row, in [0, m).
        labels: The labels of each row.
        num_labels: C, above every label.
        seed: Decides the order of the media.
    """

    of_row: np.ndarray
    labels: SeveralLabels
    num_labels: int
    seed: int

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """int64 [m], how many rows each has."""
        return np.bincount(self.of_row)

    @functools.cached_property
    def order(self) -> np.ndarray:
        """int64 [m], the place of each in a random order."""
        return np.random.default_rng(self.seed).permutation(len(self.sizes))

    @functools.cached_property
    def label(self) -> np.ndarray:
        """int32 [m], what each counts for: its rarest label, of equals the lower."""
        counts = np.bincount(self.labels.values, minlength=self.num_labels)
        by_rarity = np.argsort(counts, kind="stable").astype(np.int32)
        rarity = np.empty_like(by_rarity)
        rarity[by_rarity] = np.arange(len(by_rarity), dtype=np.int32)
        rarest = np.full(len(self.sizes), self.num_labels, np.int32)
        np.minimum.at(rarest, self._of_value, rarity[self.labels.values])
        return by_rarity[rarest]

    @functools.cached_property
    def first_of_label(self) -> np.ndarray:
        """int64 [k], the first in order of each label that occurs."""
        first = np.full(self.num_labels, len(self.sizes))
        np.minimum.at(first, self.labels.values, self.order[self._of_value])
        return np.argsort(self.order)[first[first < len(self.sizes)]]

    @property
    def _of_value(self) -> np.ndarray:
        """int64 [v], the medium of each value of `labels`."""
        return np.repeat(self.of_row, np.diff(self.labels.splits))


def choose_fraction(media: Media, fraction: float) -> np.ndarray:
    """Takes a fraction of each class's rows, as near to it as whole media allow.

    At least one row of each class is taken.

    Args:
        media: What there is.
        fraction: Above 0 and below 1.

    Returns:
        bool [m], whether a medium is taken.
    """
    by_label = np.lexsort((media.order, media.label))
    labels, sizes = media.label[by_label], media.sizes[by_label]
    rows = np.bincount(labels, sizes, media.num_labels)
    wanted = np.maximum(1, np.floor(fraction * rows + 0.5))
    before = np.cumsum(rows) - rows
    # A medium is taken if its middle row is, in the order of its class.
    middle = np.cumsum(sizes) - sizes / 2 - before[labels]
    taken = np.zeros(len(sizes), bool)
    taken[by_label] = middle <= wanted[labels]
    taken[media.first_of_label] = True
    return taken
