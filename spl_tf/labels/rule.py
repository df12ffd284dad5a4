"""From a clip's two labels to its label id, without a table of N x N entries."""

import dataclasses

import numpy as np

from spl_tf.labels.checks import CHUNK, INT32_MAX, pair_keys

# The id of a clip that is to be left out of training.
DISCARD = -1

# Largest N * N (N = 4,096, 64 MB) for which a table of all cells may be built.
DENSE_TABLE_CELLS = 1 << 24


@dataclasses.dataclass(frozen=True, eq=False)
class LabelRule:
    """How a label map turns (weak, teacher) into an id, for any N in little memory.

    - weak == teacher: `diagonal_factor * weak`;
    - else, if N * weak + teacher is `cells[i]`: `cell_ids[i]`;
    - else: `weak_factor * weak + teacher_factor * teacher + offset`, where (0, 0, -1)
      discards the clip.

    Attributes:
        num_classes: N, the number of classes.
        diagonal_factor: N + 1 for the strategy `spl`, 1 for all others.
        weak_factor: Factor of the weak label in the formula above.
        teacher_factor: Factor of the teacher's choice in the formula above.
        offset: Added last in the formula above; `DISCARD` leaves clips out.
        cells: Flat keys of off-diagonal cells with an id of their own, int64, sorted.
        cell_ids: int32, the id of each of `cells`.
    """

    num_classes: int
    diagonal_factor: int
    weak_factor: int
    teacher_factor: int
    offset: int
    cells: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    cell_ids: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(0, np.int32)
    )

    @property
    def discard(self) -> bool:
        """Whether off-diagonal clips without an id of their own are left out."""
        return self.offset == DISCARD

    def apply(self, weak: np.ndarray, teacher: np.ndarray) -> np.ndarray:
        """Returns the ids, int32 [n], of checked labels, [n] and [n]."""
        ids = np.empty(len(weak), np.int32)
        for start in range(0, len(weak), CHUNK):
            place = slice(start, start + CHUNK)
            ids[place] = self._apply_chunk(weak[place], teacher[place])
        return ids

    def _apply_chunk(self, weak: np.ndarray, teacher: np.ndarray) -> np.ndarray:
        weak = weak.astype(np.int64)
        teacher = teacher.astype(np.int64)
        ids = self.weak_factor * weak + self.teacher_factor * teacher + self.offset
        diagonal = weak == teacher
        ids[diagonal] = self.diagonal_factor * weak[diagonal]
        if len(self.cells):
            keys = weak * self.num_classes + teacher
            nearest = np.searchsorted(self.cells, keys)
            # A key above all cells has no neighbour; compare it with the last cell.
            np.minimum(nearest, len(self.cells) - 1, out=nearest)
            found = np.flatnonzero(self.cells[nearest] == keys)
            ids[found] = self.cell_ids[nearest[found]]
        return ids

    def dense_table(self) -> np.ndarray:
        """Returns the id of every cell, int32 [N, N].

        Raises:
            ValueError: N * N is more than 2^24 (N = 4,096), a table of 64 MB.
        """
        size = self.num_classes
        if size**2 > DENSE_TABLE_CELLS:
            raise ValueError(
                f"a table of {size} x {size} cells is larger than the limit of "
                f"{DENSE_TABLE_CELLS} cells; use LabelMap.lookup or LabelMap.rule"
            )
        index = np.arange(size, dtype=np.int32)
        rows = self.weak_factor * index + np.int32(self.offset)
        table = rows[:, None] + (self.teacher_factor * index)[None, :]
        np.fill_diagonal(table, self.diagonal_factor * index)
        table.reshape(-1)[self.cells] = self.cell_ids
        return table


def take_ids(
    flat_table: np.ndarray, weak: np.ndarray, teacher: np.ndarray, num_classes: int
) -> np.ndarray:
    """Returns the ids, int32 [n], of checked labels from a table of N * N ids."""
    ids = np.empty(len(weak), np.int32)
    for place, keys in pair_keys(weak, teacher, num_classes):
        # Every key is in range; the mode "raise" would copy through a buffer.
        np.take(flat_table, keys, out=ids[place], mode="clip")
    return ids


def rule_for(
    strategy: str,
    num_classes: int,
    cells: np.ndarray | None = None,
    cell_ids: np.ndarray | None = None,
) -> LabelRule:
    """Returns the rule of a strategy (paper, section 3.3), given its selected cells.

    Raises:
        ValueError: The N * N ids of `spl` do not fit in int32.
    """
    size = num_classes
    if strategy == "spl" and size**2 > INT32_MAX:
        raise ValueError(
            f"strategy 'spl' needs {size} x {size} = {size**2} label ids, more than "
            f"int32 holds ({INT32_MAX}); use 'spl_b', or 'spl_m' or 'spl_d' with "
            "fewer labels"
        )
    diagonal, weak, teacher, offset = {
        "spl": (size + 1, size, 1, 0),
        "spl_m": (1, 1, 0, 0),
        "spl_d": (1, 0, 0, DISCARD),
        "spl_b": (1, 1, 0, size),
        "weak": (1, 1, 0, 0),
        "teacher": (1, 0, 1, 0),
        "agreement": (1, 0, 0, DISCARD),
    }[strategy]
    rule = LabelRule(size, diagonal, weak, teacher, offset)
    if cells is None:
        return rule
    return dataclasses.replace(rule, cells=cells, cell_ids=cell_ids)
