"""Some rows of a large index, and draws of them, in a bit and less per row. NumPy only.

65 million rows as int64 are 520 MB in every process; as bits they are 8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spl_tf.labels.chunks import in_chunks

_BLOCK = 1024  # rows; chunks begin at multiples of it
_AT_ONCE = 4096  # places whose blocks are looked at together


class RowSet:
    """Some of the rows of an index, in ascending order, as bits.

    Like an array of these rows, it has a length and can be indexed with an array.

    Attributes:
        num_rows: How many rows the index has.
    """

    def __init__(self, num_rows: int, keeps: Callable[[slice], np.ndarray]):
        """Asks for all rows once, a chunk at a time.

        Args:
            num_rows: How many rows the index has.
            keeps: Gives bool, for each row of a slice.
        """
        self.num_rows = num_rows
        num_blocks = -(-num_rows // _BLOCK)
        self._bits = np.zeros((num_blocks, _BLOCK // 8), np.uint8)
        counts = np.zeros(num_blocks + 1, np.int64)
        flat = self._bits.reshape(-1)
        for rows in in_chunks(num_rows):
            kept = keeps(rows)
            packed = np.packbits(kept, bitorder="little")
            flat[rows.start // 8 : rows.start // 8 + len(packed)] = packed
            starts = np.arange(0, len(kept), _BLOCK)
            first = 1 + rows.start // _BLOCK
            counts[first : first + len(starts)] = np.add.reduceat(
                kept, starts, dtype=np.int64
            )
        self._before = np.cumsum(counts)  # how many are in the blocks before each

    def __len__(self) -> int:
        return int(self._before[-1])

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """The rows at some places among them, int64 [n] -> int64 [n]."""
        parts = np.split(places, range(_AT_ONCE, len(places), _AT_ONCE))
        return np.concatenate([self._at(part) for part in parts])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """All of them, int64: eight bytes for each."""
        parts = [
            np.flatnonzero(self.has(r)) + r.start for r in in_chunks(self.num_rows)
        ]
        return np.concatenate([np.zeros(0, np.int64), *parts]).astype(dtype or np.int64)

    def has(self, rows: slice | np.ndarray) -> np.ndarray:
        """Whether some rows of the index are among them, bool.

        Args:
            rows: int64, of any shape; or a slice that begins at a multiple of 8.
        """
        flat = self._bits.reshape(-1)
        if isinstance(rows, slice):
            packed = flat[rows.start // 8 : -(-rows.stop // 8)]
            count = rows.stop - rows.start
            return np.unpackbits(packed, count=count, bitorder="little").view(bool)
        return (flat[rows >> 3] >> (rows & 7).astype(np.uint8) & 1).view(bool)

    def _at(self, places: np.ndarray) -> np.ndarray:
        # Of blocks without a row, the one behind them is meant.
        block = np.searchsorted(self._before, places, side="right") - 1
        bits = np.unpackbits(self._bits[block], axis=1, bitorder="little")
        ranks = np.cumsum(bits, axis=1, dtype=np.int16)
        inside = ranks <= (places - self._before[block])[:, None]
        return block * _BLOCK + np.count_nonzero(inside, axis=1)


class RowDraws:
    """Rows, each as likely as a function says, which is asked again for every draw.

    What is kept is the probability of all rows before each block of rows. The rows
    drawn are those that the cumulative sum over all rows gives, bit for bit.
    """

    def __init__(self, num_rows: int, probability: Callable[[np.ndarray], np.ndarray]):
        """Asks for all rows once, a chunk at a time.

        Args:
            num_rows: How many rows there are, 1 or more.
            probability: Gives float64, what is proportional to the probability, of
                rows: int64, of any shape, or a slice. One row at least has some.
        """
        self._num_rows, self._probability = num_rows, probability
        before = [np.zeros(1)]
        for rows in in_chunks(num_rows):
            # The sum goes on from the last one, in the same order as over all.
            sums = np.cumsum(np.concatenate([before[-1][-1:], probability(rows)]))
            ends = [*range(_BLOCK, len(sums) - 1, _BLOCK), len(sums) - 1]
            before.append(sums[ends])
        self._before = np.concatenate(before)

    def draw(self, draws: np.ndarray) -> np.ndarray:
        """The rows that numbers in [0, 1) stand for, float64 [n] -> int64 [n]."""
        parts = np.split(draws, range(_AT_ONCE, len(draws), _AT_ONCE))
        return np.concatenate([self._draw(part) for part in parts])

    def _draw(self, draws: np.ndarray) -> np.ndarray:
        total = self._before[-1]
        block = np.searchsorted(self._before[1:] / total, draws, side="right")
        block = np.minimum(block, len(self._before) - 2)
        rows = block[:, None] * _BLOCK + np.arange(_BLOCK)
        found = self._probability(np.minimum(rows, self._num_rows - 1))
        found[rows >= self._num_rows] = 0.0
        bounds = np.cumsum(np.column_stack([self._before[block], found]), axis=1)
        inside = np.count_nonzero(bounds[:, 1:] / total <= draws[:, None], axis=1)
        return np.minimum(rows[:, 0] + inside, self._num_rows - 1)
