"""Which clip is read when, and with which random draws. NumPy only.

The training order is a permutation per epoch, computed from (seed, epoch), one epoch
after the other without a gap: the place `step * batch size + i` of this endless list
is clip i of the batch of that step. So nothing is dropped, any batch size works, and
step n is known without reading what came before it.
"""

from __future__ import annotations

import numpy as np


class TrainPlan:
    """The endless list of index rows that a training run reads."""

    def __init__(self, rows: np.ndarray, batch_size: int, seed: int):
        """Plans training on some rows of an index.

        Args:
            rows: int64 [n], the index rows that take part, n >= 1.
            batch_size: Clips per step, of all workers together.
            seed: With the epoch it decides the order.

        Raises:
            ValueError: No rows, or no positive batch size.
        """
        if not len(rows):
            raise ValueError("there are no clips to train on")
        if batch_size < 1:
            raise ValueError(f"batch size is {batch_size}, expected 1 or more")
        self._rows = np.asarray(rows, np.int64)
        self._seed = seed
        self._permutations: dict[int, np.ndarray] = {}
        self.batch_size = batch_size

    @property
    def num_clips(self) -> int:
        """Clips in one epoch."""
        return len(self._rows)

    def batch(
        self, step: int, worker: int = 0, num_workers: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """The clips of one worker in one step.

        The workers' parts, one after the other, are the batch of a single worker.

        Args:
            step: From 0.
            worker: From 0.
            num_workers: They share the batch evenly.

        Returns:
            Index rows and their epochs, both int64 [batch_size / num_workers].
        """
        if self.batch_size % num_workers:
            raise ValueError(
                f"{num_workers} workers cannot share a batch of {self.batch_size}"
            )
        share = self.batch_size // num_workers
        first = step * self.batch_size + worker * share
        places = np.arange(first, first + share, dtype=np.int64)
        epochs, positions = np.divmod(places, self.num_clips)
        rows = np.empty(share, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            rows[here] = self._epoch_order(int(epoch))[positions[here]]
        return rows, epochs

    def _epoch_order(self, epoch: int) -> np.ndarray:
        order = self._permutations.get(epoch)
        if order is None:
            order = np.random.default_rng([self._seed, epoch]).permutation(self._rows)
            # Readers ahead of the current step need the next epoch's, none older.
            kept = {e: p for e, p in self._permutations.items() if e >= epoch - 1}
            self._permutations = kept | {epoch: order}
        return order


def padded_rows(num_clips: int, multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """Every row once, padded to a multiple so that all replicas get full batches.

    Args:
        num_clips: Rows of the index.
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
        seed: Of the run.
        epochs: int64 [n].
        rows: int64 [n].
        num_draws: Numbers per clip.

    Returns:
        float32 [n, num_draws], uniform in [0, 1).
    """
    state = _mix(np.full(len(rows), seed, np.int64).view(np.uint64))
    state = _mix(state ^ epochs.astype(np.uint64))
    state = _mix(state ^ rows.astype(np.uint64))
    counters = np.arange(1, num_draws + 1, dtype=np.uint64)
    bits = _mix(state[:, None] ^ counters[None, :])
    return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _mix(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # wrapping around is the point
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
