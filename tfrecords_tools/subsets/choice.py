"""Which media of a manifest a subset takes; NumPy alone.

A medium of several labels counts for the rarest of them, so that what is in the tail
counts as tail. Media are in an order that the seed alone decides.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from spl_tf.labels.several import SeveralLabels

RANDOM, SQRT, TAIL_PRESERVING = SAMPLINGS = ("random", "sqrt", "tail_preserving")


@dataclasses.dataclass(frozen=True)
class Media:
    """The m media of n rows, which a subset takes whole.

    Attributes:
        of_row: int32 [n], the medium of each row, in [0, m).
        labels: The labels of each row.
        num_labels: C, above every label.
        seed: Decides the order of the media.
        occurrences: int64 [C], how frequent each label is; None for these rows'.
    """

    of_row: np.ndarray
    labels: SeveralLabels
    num_labels: int
    seed: int = 0
    occurrences: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.of_row.max()) + 1

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """int64 [m], how many rows each has."""
        return np.bincount(self.of_row)

    @functools.cached_property
    def order(self) -> np.ndarray:
        """int32 [m], the place of each in a random order."""
        places = np.arange(len(self), dtype=np.int32)
        return np.random.default_rng(self.seed).permutation(places)

    @functools.cached_property
    def label(self) -> np.ndarray:
        """int32 [m], what each counts for: its rarest label, of equals the lower."""
        counts = self.occurrences
        if counts is None:
            counts = np.bincount(self.labels.values, minlength=self.num_labels)
        by_rarity = np.argsort(counts, kind="stable").astype(np.int32)
        rarity = np.empty_like(by_rarity)
        rarity[by_rarity] = np.arange(len(by_rarity), dtype=np.int32)
        rarest = np.full(len(self), self.num_labels, np.int32)
        np.minimum.at(rarest, self._of_value, rarity[self.labels.values])
        return by_rarity[rarest]

    @functools.cached_property
    def of_label(self) -> np.ndarray:
        """int64 [C], how many media count for each label."""
        return np.bincount(self.label, minlength=self.num_labels)

    @functools.cached_property
    def by_label(self) -> np.ndarray:
        """int64 [m], the media of label 0 in their order, then those of label 1, ..."""
        return np.lexsort((self.order, self.label))

    @functools.cached_property
    def ranks(self) -> np.ndarray:
        """int32 [m], how many of its label come before each, as `by_label` has them."""
        before = (np.cumsum(self.of_label) - self.of_label).astype(np.int32)
        places = np.arange(len(self), dtype=np.int32)
        return places - before[self.label[self.by_label]]

    @functools.cached_property
    def first_of_label(self) -> np.ndarray:
        """int64 [k], the first in order of each label that occurs."""
        first = np.full(self.num_labels, len(self))
        np.minimum.at(first, self.labels.values, self.order[self._of_value])
        return np.argsort(self.order)[first[first < len(self)]]

    @property
    def _of_value(self) -> np.ndarray:
        """int32 [v], the medium of each value of `labels`."""
        return np.repeat(self.of_row, np.diff(self.labels.splits))


def choose_fraction(media: Media, fraction: float) -> np.ndarray:
    """Takes a fraction of each class's rows, as near to it as whole media allow.

    At least one row of each class is taken. A smaller fraction's media are among those
    of a larger one.

    Args:
        media: What there is.
        fraction: Above 0 and below 1.

    Returns:
        bool [m], whether a medium is taken.
    """
    labels, sizes = media.label[media.by_label], media.sizes[media.by_label]
    rows = np.bincount(labels, sizes, media.num_labels)
    wanted = np.maximum(1, np.floor(fraction * rows + 0.5))
    before = np.cumsum(rows) - rows
    # A medium is taken if its middle row is, in the order of its class.
    middle = np.cumsum(sizes) - sizes / 2 - before[labels]
    taken = np.zeros(len(media), bool)
    taken[media.by_label] = middle <= wanted[labels]
    taken[media.first_of_label] = True
    return taken


def choose_number(media: Media, number: int, sampling: str) -> np.ndarray:
    """Takes a number of media; a smaller number's are among those of a larger one.

    `random` takes any (IG-65M, Figure 1a). `tail_preserving` takes all of the tail
    and of each head class equally many (4.1.1); `sqrt` takes of each class in
    proportion to the square root of its media, or all (3.1.1). Both take of each class
    at least one, where the number allows it.

    Args:
        media: What there is.
        number: From 1 to m.
        sampling: One of `SAMPLINGS`.

    Returns:
        bool [m], whether a medium is taken.
    """
    if sampling == RANDOM:
        return media.order < number
    weights = np.sqrt(media.of_label) if sampling == SQRT else np.ones(media.num_labels)
    # In these turns, every class's first comes before any class's second; from there on
    # the medium of rank k in a class of weight w comes at about k / w.
    turns = np.random.default_rng([media.seed, 1]).random(len(media))
    turns += media.ranks
    turns[media.ranks == 0] -= 1
    turns /= weights[media.label[media.by_label]]
    taken = np.zeros(len(media), bool)
    taken[media.by_label[np.argpartition(turns, number - 1)[:number]]] = True
    return taken


def choose_per_label(media: Media, numbers: np.ndarray) -> np.ndarray:
    """Takes a number of media of each label, int64 [C], or all: bool [m]."""
    taken = np.zeros(len(media), bool)
    labels = media.label[media.by_label]
    taken[media.by_label] = media.ranks < numbers[labels]
    return taken


def share_out(number: int, counts: np.ndarray) -> np.ndarray:
    """Shares a number out in proportion to counts, by largest remainders: int64 [C]."""
    exact = number * counts / counts.sum()
    shares = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(shares - exact, kind="stable")
    shares[by_remainder[: number - shares.sum()]] += 1
    return shares


def number_in_proportion(counts: np.ndarray, available: np.ndarray) -> int:
    """A number whose shares, see `share_out`, are all available; about the largest."""
    asked = counts > 0
    return int((available[asked] * counts.sum() // counts[asked]).min())
