"""The confusion matrix of weak labels and teacher predictions (paper, section 3.2)."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from spl_tf.labels import storage
from spl_tf.labels.checks import check_class_names, check_pairs
from spl_tf.labels.tally import matrix_of_keys, new_tally

_KIND = "confusion_matrix"
_VERSION = 1


class ConfusionMatrix:
    """Counts how often the teacher predicts each class for clips of each weak label.

    Rows are weak labels, columns are teacher predictions: `C[l, T(x)] += 1` for every
    clip x. For large N only the cells that occur take memory, so that 10,653 classes
    and 10^8 pairs fit in 2 GB.
    """

    def __init__(self, class_names: Sequence[str]):
        """Makes an empty matrix.

        Args:
            class_names: N distinct names; a class's index is its position.

        Raises:
            TypeError: A name is not a string.
            ValueError: No name, an empty one, or one that occurs twice.
        """
        self._class_names = check_class_names(class_names)
        self._tally = new_tally(len(self._class_names))

    def __repr__(self) -> str:
        return f"ConfusionMatrix({self.num_classes} classes, {self.total} clips)"

    @classmethod
    def from_cells(
        cls,
        class_names: Sequence[str],
        weak: ArrayLike,
        teacher: ArrayLike,
        counts: ArrayLike,
    ) -> "ConfusionMatrix":
        """Makes a matrix from cells, as `cells` returns them.

        Args:
            class_names: N distinct names.
            weak: Row of each cell, integers [cells] in any order.
            teacher: Column of each cell, integers [cells].
            counts: Clips in each cell, integers [cells], not negative. Cells that
                are given twice add up.

        Raises:
            ValueError: What `update` refuses, or counts that are no integers of 0 or
                more.
        """
        confusion = cls(class_names)
        size = confusion.num_classes
        weak, teacher = check_pairs(weak, teacher, size)
        counts = _check_counts(counts, len(weak))
        keys = weak.astype(np.int64) * size + teacher.astype(np.int64)
        keys, inverse = np.unique(keys, return_inverse=True)
        summed = np.zeros(len(keys), np.int64)
        np.add.at(summed, inverse, counts)
        occurs = summed > 0
        cells = matrix_of_keys(keys[occurs], summed[occurs], size)
        confusion._tally.add_cells(cells)
        return confusion

    @property
    def class_names(self) -> tuple[str, ...]:
        """The N class names in index order."""
        return self._class_names

    @property
    def num_classes(self) -> int:
        """N, the number of classes."""
        return len(self._class_names)

    @property
    def total(self) -> int:
        """The number of clips counted so far."""
        return self._tally.total

    @property
    def counts(self) -> sparse.csr_array:
        """The counts, int64 [N, N], row = weak label, column = teacher; a copy."""
        return self._tally.matrix().astype(np.int64)

    @property
    def noise_ratio(self) -> float | None:
        """Off-diagonal clips / all clips (section 4.3); None when there are none.

        It is the share of clips, not of cells, whose teacher disagrees with the
        weak label.
        """
        if not self.total:
            return None
        diagonal = int(self._tally.matrix().diagonal().sum(dtype=np.int64))
        return (self.total - diagonal) / self.total

    def update(self, weak: ArrayLike, teacher: ArrayLike) -> None:
        """Counts one clip per pair.

        Args:
            weak: Weak labels, integers [n] in [0, N).
            teacher: The teacher's predictions, integers [n] in [0, N).

        Raises:
            ValueError: A label out of range or not an integer, not one dimension, or
                unequal lengths. Nothing is counted then.
        """
        self._tally.add_pairs(*check_pairs(weak, teacher, self.num_classes))

    def merge(self, other: "ConfusionMatrix") -> None:
        """Adds the counts of a matrix of the same classes in the same order.

        Raises:
            ValueError: The class names differ. Nothing is added then.
        """
        if other.num_classes != self.num_classes:
            raise ValueError(
                f"cannot merge a matrix of {other.num_classes} classes into one of "
                f"{self.num_classes}"
            )
        for index, (ours, theirs) in enumerate(
            zip(self.class_names, other.class_names, strict=True)
        ):
            if ours != theirs:
                raise ValueError(
                    f"cannot merge: class {index} is {theirs!r} in the other matrix "
                    f"and {ours!r} in this one"
                )
        self._tally.add_cells(other._tally.matrix())

    def cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the non-empty cells, by row and then by column.

        Returns:
            weak (int32 [cells]), teacher (int32 [cells]) and counts (int64 [cells]).
        """
        weak, teacher, counts = cells_view(self)
        return weak, teacher.astype(np.int32), counts.astype(np.int64)

    def cell_lists(self) -> dict[str, list[int]]:
        """Returns `cells` as `dataset.json` has them: lists by name."""
        names = ("weak", "teacher", "count")
        return {n: c.tolist() for n, c in zip(names, self.cells(), strict=True)}

    def save(self, path: str | os.PathLike) -> None:
        """Writes the matrix to one file if path ends in `.npz`, else to a folder.

        What is at path is replaced in one step; see `spl_tf.labels.storage`.
        """
        weak, teacher, counts = self.cells()
        header = {"class_names": self.class_names, "total": self.total}
        arrays = {"weak": weak, "teacher": teacher, "counts": counts}
        storage.save(path, _KIND, _VERSION, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ConfusionMatrix":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: Nothing is there.
            FormatError: Cut short, damaged, another kind or another version.
        """
        header, arrays = storage.load(path, _KIND, _VERSION)
        try:
            confusion = cls.from_cells(
                header["class_names"],
                arrays["weak"],
                arrays["teacher"],
                arrays["counts"],
            )
            total = header["total"]
        except (KeyError, TypeError, ValueError) as error:
            raise storage.FormatError(
                f"{path} is not a valid confusion matrix: {error!r}"
            ) from error
        if confusion.total != total:
            raise storage.FormatError(
                f"{path} holds {confusion.total} clips, but its header says {total}"
            )
        return confusion


def cells_view(
    confusion: ConfusionMatrix,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns `confusion.cells()` without copying, for use inside this package.

    The caller must not change the arrays, and the counts may be int32: sum them with
    `dtype=np.int64`.
    """
    matrix = confusion._tally.matrix()
    rows = np.arange(confusion.num_classes, dtype=np.int32)
    return np.repeat(rows, np.diff(matrix.indptr)), matrix.indices, matrix.data


def _check_counts(counts: ArrayLike, length: int) -> np.ndarray:
    array = np.asarray(counts)
    if array.shape != (length,):
        raise ValueError(
            f"counts has shape {array.shape}, expected one count for each of the "
            f"{length} cells"
        )
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"counts has dtype {array.dtype}, expected integers")
    if array.size and int(array.min()) < 0:
        position = int(np.argmin(array))
        raise ValueError(f"counts[{position}] is {array[position]}, expected 0 or more")
    if array.size and int(array.max()) * length > np.iinfo(np.int64).max:
        raise ValueError(f"counts up to {array.max()} do not fit in 64 bits when added")
    return array.astype(np.int64)
