"""Counters of cells of an N x N matrix: a dense one, and a sparse one for large N."""

import numpy as np
from scipy import sparse

from spl_tf.labels.checks import INT32_MAX, pair_keys

# Up to this many cells (N = 2,048) all of them are kept, 32 MB; above, only those that
# occur.
DENSE_CELLS = 1 << 22

# Keys that wait before the sparse counter sorts them: 32 MB of them.
PENDING_KEYS = 1 << 22


def new_tally(num_classes: int) -> "DenseTally | SparseTally":
    """Returns an empty counter that suits N classes."""
    dense = num_classes**2 <= DENSE_CELLS
    return DenseTally(num_classes) if dense else SparseTally(num_classes)


class DenseTally:
    """Counts in one int64 array of N * N cells."""

    def __init__(self, num_classes: int):
        self._num_classes = num_classes
        self._counts = np.zeros(num_classes**2, np.int64)
        self.total = 0

    def add_pairs(self, weak: np.ndarray, teacher: np.ndarray) -> None:
        """Counts checked labels, [n] and [n]."""
        for _, keys in pair_keys(weak, teacher, self._num_classes):
            # Faster than bincount: no pass for the range, no second array of N * N.
            np.add.at(self._counts, keys, 1)
        self.total += len(weak)

    def add_cells(self, cells: sparse.csr_array) -> None:
        """Adds a canonical matrix of counts, [N, N]."""
        rows = np.repeat(np.arange(self._num_classes), np.diff(cells.indptr))
        # No cell occurs twice in a canonical matrix.
        self._counts[rows * self._num_classes + cells.indices] += cells.data
        self.total += int(cells.data.sum(dtype=np.int64))

    def matrix(self) -> sparse.csr_array:
        """Returns the counts as a canonical CSR matrix that the caller may keep."""
        shape = (self._num_classes, self._num_classes)
        return sparse.csr_array(self._counts.reshape(shape))


class SparseTally:
    """Counts only the cells that occur, in CSR matrices that are merged as they grow.

    A matrix is merged into the one before it as soon as it is half as large, so that
    every count is copied O(log n) times, and few matrices exist at once.
    """

    def __init__(self, num_classes: int):
        self._num_classes = num_classes
        self._parts: list[sparse.csr_array] = []
        self._pending: list[np.ndarray] = []
        self._num_pending = 0
        self.total = 0

    def add_pairs(self, weak: np.ndarray, teacher: np.ndarray) -> None:
        """Counts checked labels, [n] and [n]."""
        for _, keys in pair_keys(weak, teacher, self._num_classes):
            self._pending.append(keys.copy())
            self._num_pending += len(keys)
            self.total += len(keys)
            if self._num_pending >= PENDING_KEYS:
                self._sort_pending()

    def add_cells(self, cells: sparse.csr_array) -> None:
        """Adds a canonical matrix of counts, [N, N]."""
        self.total += int(cells.data.sum(dtype=np.int64))
        self._parts.append(cells)
        self._merge_parts(ratio=2)

    def matrix(self) -> sparse.csr_array:
        """Returns the counts as a canonical CSR matrix; the caller must not change it.

        Its counts are int32 as long as the total allows that.
        """
        self._sort_pending()
        self._merge_parts(ratio=None)
        if not self._parts:
            return sparse.csr_array((self._num_classes,) * 2, dtype=np.int32)
        return self._parts[0]

    def _sort_pending(self) -> None:
        if not self._num_pending:
            return
        keys = np.concatenate(self._pending)
        self._pending, self._num_pending = [], 0
        keys.sort()
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        counts = np.diff(starts, append=len(keys)).astype(np.int32)
        self._parts.append(matrix_of_keys(keys[starts], counts, self._num_classes))
        self._merge_parts(ratio=2)

    def _merge_parts(self, ratio: int | None) -> None:
        parts = self._parts
        # Four bytes per count are enough for every cell while they are for the total.
        dtype = np.int32 if self.total <= INT32_MAX else np.int64
        while len(parts) > 1 and (
            ratio is None or parts[-2].nnz <= ratio * parts[-1].nnz
        ):
            last = parts.pop()
            parts[-1] = parts[-1].astype(dtype, copy=False) + last


def matrix_of_keys(
    keys: np.ndarray, counts: np.ndarray, num_classes: int
) -> sparse.csr_array:
    """Returns the canonical CSR matrix of sorted, distinct flat cell keys.

    Args:
        keys: N * row + column, int64 [cells], ascending.
        counts: Integers [cells], clips in each cell.
        num_classes: N, rows and columns of the matrix.
    """
    row_starts = np.arange(num_classes + 1, dtype=np.int64) * num_classes
    index_type = np.int32 if len(keys) <= INT32_MAX else np.int64
    matrix = sparse.csr_array(
        (
            counts,
            (keys % num_classes).astype(index_type),
            np.searchsorted(keys, row_starts).astype(index_type),
        ),
        shape=(num_classes, num_classes),
    )
    matrix.has_canonical_format = True
    return matrix
