"""Which clip is read when, and with which random draws. NumPy only.

The training order is a permutation per epoch, computed from (seed, epoch), one epoch
after the other without a gap: the place `step * batch size + i` of this endless list
is clip i of the batch of that step. So nothing is dropped, any batch size works, and
step n is known without reading what came before it. With resampling, each place of the
list draws its clip on its own. Where clips are many, nothing is kept that is as long
as they are many: neither a permutation nor probabilities.
"""

from __future__ import annotations

import dataclasses
import threading

import numpy as np

from spl_tf.data.keyed import hashed, mixed, permuted, unit_doubles
from spl_tf.data.row_sets import RowDraws, RowSet

# An order of up to so many clips is stored, 64 MB for an epoch, and of more computed
# for each place anew, which a place takes a few microseconds.
_MOST_STORED = 1 << 23


@dataclasses.dataclass(frozen=True)
class Resampling:
    """How often classes are drawn, by their number of clips N (OmniSource, 3.4).

    Clips are drawn with replacement; those of one class are equally likely, and an
    epoch stays as long as it was.

    Attributes:
        power: Classes are drawn in proportion to N^power: 1 is as they are, 0 makes
            them equal. OmniSource's configs have 0.5.
        limit: Instead, in proportion to min(N, limit).
    """

    power: float | None = None
    limit: int | None = None

    def __post_init__(self):
        if (self.power is None) == (self.limit is None):
            raise ValueError(
                f"resampling has power {self.power} and limit {self.limit}, expected "
                "one of the two"
            )
        if self.power is not None and not 0 <= self.power <= 1:
            raise ValueError(f"resampling power is {self.power}, expected 0 to 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"resampling limit is {self.limit}, expected 1 or more")

    def probabilities(self, labels: np.ndarray) -> np.ndarray:
        """Probability of each clip.

        Args:
            labels: int [n], the clips' classes, 0 or more.

        Returns:
            float64 [n], a probability per clip, of sum 1.
        """
        return self.of_classes(np.bincount(labels))[labels]

    def of_classes(self, sizes: np.ndarray) -> np.ndarray:
        """Probability of each clip of a class, float64 [C], by the clips of classes."""
        sizes = sizes.astype(np.float64)
        if self.power is not None:
            shares = np.where(sizes > 0, sizes**self.power, 0.0)
        else:
            shares = np.minimum(sizes, self.limit)
        shares /= shares.sum() * np.maximum(sizes, 1)
        return shares


class TrainPlan:
    """The endless list of index rows that a training run reads."""

    def __init__(
        self,
        rows: np.ndarray | RowSet,
        batch_size: int,
        seed: int,
        probabilities: np.ndarray | RowDraws | None = None,
        most_stored: int = _MOST_STORED,
    ):
        """Plans training on some rows of an index.

        Args:
            rows: int64 [n], the index rows that take part, n >= 1.
            batch_size: Clips per step, of all workers together.
            seed: With the epoch it decides the order.
            probabilities: float64 [n], draws rows with replacement, or what draws rows
                of the index; None takes each once per epoch.
            most_stored: An epoch of more rows has an order that is not stored.

        Raises:
            ValueError: No rows, or no positive batch size.
        """
        if not len(rows):
            raise ValueError("there are no clips to train on")
        if batch_size < 1:
            raise ValueError(f"batch size is {batch_size}, expected 1 or more")
        self._rows = rows if isinstance(rows, RowSet) else np.asarray(rows, np.int64)
        self._seed = seed
        self._draw = None
        if isinstance(probabilities, RowDraws):
            self._draw = probabilities.draw
        elif probabilities is not None:
            places = RowDraws(len(rows), probabilities.__getitem__)
            self._draw = lambda draws: self._rows[places.draw(draws)]
        self._is_stored = len(rows) <= most_stored
        self._permutations: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()
        self.batch_size = batch_size

    @property
    def num_clips(self) -> int:
        """Number of clips in one epoch."""
        return len(self._rows)

    def batch(
        self, step: int, worker: int = 0, num_workers: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """The clips of one worker in one step.

        The workers' parts, one after the other, are the batch of a single worker.

        Args:
            step: Number of the step, from 0.
            worker: Number of the worker, from 0.
            num_workers: Number of the workers, who share the batch evenly.

        Returns:
            Index rows and their epochs, see `at`; both int64 [batch_size /
            num_workers].
        """
        return self.at(self.places(step, worker, num_workers))

    def places(self, step: int, worker: int = 0, num_workers: int = 1) -> np.ndarray:
        """The places in the list that make up a batch, arguments as for `batch`."""
        if self.batch_size % num_workers:
            raise ValueError(
                f"{num_workers} workers cannot share a batch of {self.batch_size}"
            )
        share = self.batch_size // num_workers
        first = step * self.batch_size + worker * share
        return np.arange(first, first + share, dtype=np.int64)

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is at some places in the list.

        Args:
            places: int64 [n], positions in the endless list, from 0.

        Returns:
            Index rows, and their epochs, for `uniform_draws`; with resampling, where a
            row can come twice in an epoch, the places stand for the epochs. Both are
            int64 [n].
        """
        if self._draw is not None:
            return self._draw(unit_doubles(hashed(self._seed, places))), places
        epochs, positions = np.divmod(places, self.num_clips)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            positions[here] = self._in_order(int(epoch), positions[here])
        return self._rows[positions], epochs

    def _in_order(self, epoch: int, positions: np.ndarray) -> np.ndarray:
        """What an epoch has at some positions: int64 [n], each below `num_clips`."""
        if self._is_stored:
            return self._permutation(epoch)[positions]
        return permuted(positions, self.num_clips, self._seed, epoch)

    def _permutation(self, epoch: int) -> np.ndarray:
        with self._lock:  # of several readers, one computes it
            order = self._permutations.get(epoch)
            if order is None:
                generator = np.random.default_rng([self._seed, epoch])
                # Readers ahead of the current step need the next epoch's, none older.
                for old in [e for e in self._permutations if e < epoch - 1]:
                    del self._permutations[old]
                order = generator.permutation(self.num_clips)
                self._permutations[epoch] = order
            return order


@dataclasses.dataclass(frozen=True)
class MediaRows:
    """The rows of each medium, of which a random one is read (OmniSource, 3.5).

    Attributes:
        media: int64 [m], the numbers of the media in an index.
        rows: int64 [n], rows of the first medium, of the second, and so on.
        splits: int64 [m + 1]; those of medium i are from `splits[i]` to the next.
    """

    media: np.ndarray
    rows: np.ndarray
    splits: np.ndarray

    def __len__(self) -> int:
        return len(self.media)

    @classmethod
    def of(cls, rows: np.ndarray, groups: np.ndarray) -> MediaRows:
        """Groups rows.

        Args:
            rows: int64 [n], rows of an index.
            groups: int64 [n], of which medium each is; a negative one is of none that
                is known, and stays alone.
        """
        groups = np.where(groups < 0, -1 - rows, groups)
        order = np.lexsort((rows, groups))
        media, first = np.unique(groups[order], return_index=True)
        return cls(media, rows[order], np.append(first, len(rows)))

    def draw(self, seed: int, epochs: np.ndarray, places: np.ndarray) -> np.ndarray:
        """A row of each of some media, all of a medium's equally likely.

        Args:
            seed: Seed of the run, as in `uniform_draws`.
            epochs: int64 [b], the epoch of each draw, as in `uniform_draws`.
            places: int64 [b], positions in `media`.

        Returns:
            int64 [b], a row of each of these media.
        """
        draws = uniform_draws(seed, epochs, self.media[places], 1)[:, 0]
        first, behind = self.splits[places], self.splits[places + 1]
        drawn = first + (draws * (behind - first).astype(np.float32)).astype(np.int64)
        return self.rows[np.minimum(drawn, behind - 1)]


def padded_rows(num_clips: int, multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """Every row once, padded to a multiple so that all replicas get full batches.

    Args:
        num_clips: Number of the index's rows.
        multiple: Clips per step, of all replicas together.

    Returns:
        rows int64 [m], padding repeats row 0; mask bool [m], False for padding.
    """
    size = -(-num_clips // multiple) * multiple
    rows = np.zeros(size, np.int64)
    rows[:num_clips] = np.arange(num_clips)
    return rows, np.arange(size) < num_clips


def uniform_draws(
    seed: int, epochs: np.ndarray, rows: np.ndarray, num_draws: int
) -> np.ndarray:
    """Random numbers that depend on nothing but (seed, epoch, row).

    A hash (the finaliser of SplitMix64, applied to each part in turn), so that a clip
    gets the same draws whatever thread or worker reads it, and in whatever order.

    Args:
        seed: What tells the draws of one run from another's.
        epochs: int64 [n], the epoch that each clip is read in.
        rows: int64 [n], the clips' rows in the index.
        num_draws: How many numbers each clip gets.

    Returns:
        float32 [n, num_draws], uniform in [0, 1).
    """
    state = mixed(hashed(seed, epochs) ^ rows.astype(np.uint64))
    counters = np.arange(1, num_draws + 1, dtype=np.uint64)
    bits = mixed(state[:, None] ^ counters[None, :])
    return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
