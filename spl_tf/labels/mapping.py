"""Label maps: sub-pseudo labels and the baselines (paper, sections 3.2 and 3.3).

| strategy | label of a clip | labels |
| --- | --- | --- |
| `spl` | N * weak + teacher (equation 2) | N * N |
| `spl_m` | weak; own id if its cell is selected | num_labels |
| `spl_d` | the same, but clips of cells not selected are discarded | num_labels |
| `spl_b` | weak if the teacher agrees, else N + weak | 2 N |
| `weak` | weak | N |
| `teacher` | teacher | N |
| `agreement` | weak if the teacher agrees, else discarded | N |

Ids below N are the diagonal cells in class order (not for `spl`). The selected
off-diagonal cells, the `num_labels` - N most frequent ones of the whole matrix, have
the ids from N on by frequency; of equal counts the lower row, then the lower column
comes first. Empty cells are never selected.
"""

import dataclasses
import functools
import os
import warnings

import numpy as np
from numpy.typing import ArrayLike

from spl_tf.labels import storage
from spl_tf.labels.cell_selection import choose_num_labels, select_cells
from spl_tf.labels.checks import (
    INT32_MAX,
    check_class_names,
    check_labels,
    check_pairs,
)
from spl_tf.labels.confusion import ConfusionMatrix, cells_view
from spl_tf.labels.names import LabelNames
from spl_tf.labels.rule import (
    DENSE_TABLE_CELLS,
    DISCARD,
    LabelRule,
    rule_for,
    take_ids,
)

__all__ = ["STRATEGIES", "LabelMap", "build_label_map", "choose_num_labels"]

STRATEGIES = ("spl", "spl_m", "spl_d", "spl_b", "weak", "teacher", "agreement")

# The strategies whose number of labels is the caller's choice.
SIZED_STRATEGIES = ("spl_m", "spl_d")

# Cells of a confusion matrix whose clips are added up at once.
_CELLS_AT_ONCE = 1 << 20

_KIND = "label_map"
_VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LabelMap:
    """Gives every clip its label for pre-training, or discards it.

    Made by `build_label_map` from the clips of one confusion matrix, and then fixed:
    applied to other clips, a cell that was not selected stays unselected.

    Attributes:
        class_names: The N class names in index order.
        strategy: Name of the rule, one of `STRATEGIES`.
        rule: What a lookup needs, for those who build their own table.
        num_labels: Size of the label space: ids are in [0, num_labels).
        requested_num_labels: What the caller asked for; None if the strategy fixes it.
        total: Clips in the confusion matrix.
        num_diagonal: Clips whose teacher agrees with the weak label.
        num_covered: Clips of the cells with a label of their own.
        num_kept: Clips that the map does not discard.
        used_labels: Ids with at least one clip, int32, ascending.
        used_label_counts: int64, clips of each used label.
    """

    class_names: tuple[str, ...]
    strategy: str
    rule: LabelRule
    num_labels: int
    requested_num_labels: int | None
    total: int
    num_diagonal: int
    num_covered: int
    num_kept: int
    used_labels: np.ndarray
    used_label_counts: np.ndarray

    def __repr__(self) -> str:
        return (
            f"LabelMap({self.strategy!r}, {len(self.class_names)} classes, "
            f"{self.num_labels} labels, keeps {self.num_kept} of {self.total} clips)"
        )

    @property
    def needs_teacher(self) -> bool:
        """Whether `lookup` needs the teacher's predictions; False only for `weak`."""
        return self.strategy != "weak"

    @property
    def cells(self) -> np.ndarray:
        """Flat keys N * weak + teacher of the selected cells, int64, ascending."""
        return self.rule.cells

    @property
    def cell_ids(self) -> np.ndarray:
        """The label of each of `cells`, int32."""
        return self.rule.cell_ids

    @property
    def label_names(self) -> LabelNames:
        """Readable names: `a` (diagonal), `a ~ b` (cell), `a ~ other` (`spl_b`)."""
        return LabelNames(self.class_names, self.strategy, self.rule)

    @property
    def label_counts(self) -> np.ndarray:
        """Clips per label, int64 [num_labels] (the paper's Figure 7).

        Of `spl` this is an array of N * N; `used_labels` and `used_label_counts` hold
        the same in less memory.
        """
        counts = np.zeros(self.num_labels, np.int64)
        counts[self.used_labels] = self.used_label_counts
        return counts

    @property
    def sample_cover_ratio(self) -> float | None:
        """Share of the clips whose cell has a label of its own (section 4.3).

        The diagonal and selected cells for `spl_m` and `spl_d`; all for `spl` and
        `spl_b`; the diagonal for `weak`, `teacher` and `agreement`. None without clips.
        """
        return self.num_covered / self.total if self.total else None

    @property
    def kept_ratio(self) -> float | None:
        """Share of the clips that are not discarded; None without clips."""
        return self.num_kept / self.total if self.total else None

    @property
    def noise_ratio(self) -> float | None:
        """Share of clips whose teacher disagrees with the weak label; None without."""
        return (self.total - self.num_diagonal) / self.total if self.total else None

    def lookup(self, weak: ArrayLike, teacher: ArrayLike | None = None) -> np.ndarray:
        """Returns the label of each clip, int32 [n]; -1 means: discard the clip.

        Args:
            weak: Weak labels, integers [n] in [0, N).
            teacher: The teacher's predictions, integers [n] in [0, N). Not used, and
                not needed, by the strategy `weak`.

        Raises:
            ValueError: What `ConfusionMatrix.update` refuses, or no teacher where one
                is needed.
        """
        size = len(self.class_names)
        if not self.needs_teacher:
            return check_labels(weak, size, "weak").astype(np.int32)
        if teacher is None:
            raise ValueError(
                f"strategy {self.strategy!r} needs the teacher's predictions; only "
                "'weak' works without"
            )
        weak, teacher = check_pairs(weak, teacher, size)
        if size**2 > DENSE_TABLE_CELLS:
            return self.rule.apply(weak, teacher)
        return take_ids(self._flat_table, weak, teacher, size)

    def dense_table(self) -> np.ndarray:
        """Returns the id of every cell, int32 [N, N], row = weak, column = teacher.

        Raises:
            ValueError: N * N is more than 2^24 (N = 4,096), a table of 64 MB.
        """
        return self.rule.dense_table()

    @functools.cached_property
    def _flat_table(self) -> np.ndarray:
        return self.rule.dense_table().reshape(-1)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the map to one file if path ends in `.npz`, else to a folder.

        What is at path is replaced in one step; see `spl_tf.labels.storage`.
        """
        header = {name: getattr(self, name) for name in _HEADER_FIELDS}
        arrays = {
            "cells": self.rule.cells,
            "cell_ids": self.rule.cell_ids,
            "used_labels": self.used_labels,
            "used_label_counts": self.used_label_counts,
        }
        storage.save(path, _KIND, _VERSION, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LabelMap":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: Nothing is there.
            FormatError: Cut short, damaged, another kind or another version.
        """
        header, arrays = storage.load(path, _KIND, _VERSION)
        try:
            fields = {name: header[name] for name in _HEADER_FIELDS}
            fields["class_names"] = check_class_names(fields["class_names"])
            rule = rule_for(
                fields["strategy"],
                len(fields["class_names"]),
                arrays["cells"],
                arrays["cell_ids"],
            )
            label_map = cls(
                rule=rule,
                used_labels=arrays["used_labels"],
                used_label_counts=arrays["used_label_counts"],
                **fields,
            )
            _check_loaded(label_map)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise storage.FormatError(
                f"{path} is not a valid label map: {error!r}"
            ) from error
        return label_map


_HEADER_FIELDS = (
    "strategy",
    "num_labels",
    "requested_num_labels",
    "total",
    "num_diagonal",
    "num_covered",
    "num_kept",
    "class_names",
)


def build_label_map(
    confusion: ConfusionMatrix, strategy: str, num_labels: int | None = None
) -> LabelMap:
    """Prunes the cells of a confusion matrix to a label space (section 3.3).

    Args:
        confusion: Counts of the clips to pre-train on.
        strategy: One of `STRATEGIES`; the module's table says what each one does.
        num_labels: Size of the label space of `spl_m` and `spl_d`, K * N in the paper
            for a K that need not be whole; default 2 * N, its smallest setting.

    Raises:
        ValueError: Unknown strategy; num_labels below N, or given to a strategy whose
            size is fixed; more ids than int32 holds.

    Warns:
        UserWarning: num_labels is above N * N, or there are too few non-empty cells
            to use all ids.
    """
    if strategy not in STRATEGIES:
        raise ValueError(
            f"unknown strategy {strategy!r}, expected one of {', '.join(STRATEGIES)}"
        )
    size = confusion.num_classes
    requested = _check_num_labels(num_labels, strategy, size)
    rule = rule_for(strategy, size)
    if strategy in SIZED_STRATEGIES:
        weak, teacher, counts = cells_view(confusion)
        quota = min(requested, size**2) - size
        # A cell with 0 clips is no candidate: that leaves the diagonal out.
        picked, rank = select_cells(np.where(weak != teacher, counts, 0), quota)
        cells = weak[picked].astype(np.int64) * size + teacher[picked]
        rule = rule_for(strategy, size, cells, (size + rank).astype(np.int32))
        _warn_of_empty_cells(strategy, requested, size, len(cells), quota)
    return _apply_to_cells(rule, strategy, requested, confusion)


def _apply_to_cells(
    rule: LabelRule, strategy: str, requested: int | None, confusion: ConfusionMatrix
) -> LabelMap:
    num_labels = len(LabelNames(confusion.class_names, strategy, rule))
    weak, teacher, counts = cells_view(confusion)
    num_diagonal = int(counts[weak == teacher].sum(dtype=np.int64))
    if strategy == "spl":
        # Every cell is a label of its own, and the cells are in order of their ids.
        used_labels, used_counts = rule.apply(weak, teacher), counts.astype(np.int64)
    else:
        sums = _sum_by_label(rule, num_labels, weak, teacher, counts)
        used_labels = np.flatnonzero(sums).astype(np.int32)
        used_counts = sums[used_labels]
    num_covered = num_diagonal
    if strategy in SIZED_STRATEGIES:
        num_covered += int(used_counts[used_labels >= confusion.num_classes].sum())
    elif strategy in ("spl", "spl_b"):
        num_covered = confusion.total
    return LabelMap(
        class_names=confusion.class_names,
        strategy=strategy,
        rule=rule,
        num_labels=num_labels,
        requested_num_labels=requested,
        total=confusion.total,
        num_diagonal=num_diagonal,
        num_covered=num_covered,
        num_kept=int(used_counts.sum()),
        used_labels=used_labels,
        used_label_counts=used_counts,
    )


def _check_num_labels(num_labels: int | None, strategy: str, size: int) -> int | None:
    if strategy not in SIZED_STRATEGIES:
        if num_labels is not None:
            raise ValueError(
                f"strategy {strategy!r} fixes the number of labels; num_labels "
                f"({num_labels}) is only for {' and '.join(SIZED_STRATEGIES)}"
            )
        return None
    if num_labels is None:
        return min(2 * size, size**2)
    if isinstance(num_labels, bool) or not isinstance(num_labels, (int, np.integer)):
        raise ValueError(f"num_labels is {num_labels!r}, expected an integer")
    if num_labels < size:
        raise ValueError(
            f"num_labels is {num_labels}, expected at least the {size} classes, whose "
            "diagonal cells always have a label"
        )
    if min(num_labels, size**2) > INT32_MAX:
        raise ValueError(f"num_labels is {num_labels}, more ids than int32 holds")
    return int(num_labels)


def _warn_of_empty_cells(
    strategy: str, requested: int, size: int, found: int, quota: int
) -> None:
    if requested > size**2:
        warnings.warn(
            f"{strategy}: num_labels {requested} is more than the {size} x {size} = "
            f"{size**2} cells; using {size + found} labels",
            stacklevel=3,
        )
    elif found < quota:
        warnings.warn(
            f"{strategy}: only {found} off-diagonal cells hold clips; using "
            f"{size + found} labels instead of {requested}",
            stacklevel=3,
        )


def _sum_by_label(
    rule: LabelRule,
    num_labels: int,
    weak: np.ndarray,
    teacher: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """Returns the clips of each label, int64 [num_labels], from cells [cells] each."""
    sums = np.zeros(num_labels, np.int64)
    # In parts: there may be 10^8 cells, and each takes bytes for its id and its place.
    for start in range(0, len(counts), _CELLS_AT_ONCE):
        part = slice(start, start + _CELLS_AT_ONCE)
        ids = rule.apply(weak[part], teacher[part])
        kept = ids != DISCARD
        np.add.at(sums, ids[kept], counts[part][kept])
    return sums


def _check_loaded(label_map: LabelMap) -> None:
    size = len(label_map.class_names)
    cells, cell_ids = label_map.rule.cells, label_map.rule.cell_ids
    labels, counts = label_map.used_labels, label_map.used_label_counts
    expected_ids = np.arange(size, size + len(cells))
    right = {
        "cells": _ascending_below(cells, size**2),
        "cell_ids": np.array_equal(np.sort(cell_ids), expected_ids),
        "num_labels": label_map.num_labels == len(label_map.label_names),
        "used_labels": _ascending_below(labels, label_map.num_labels),
        "used_label_counts": labels.shape == counts.shape,
        "num_kept": label_map.num_kept == int(counts.sum()),
    }
    wrong = [name for name, is_right in right.items() if not is_right]
    if wrong:
        raise ValueError(f"{' and '.join(wrong)} contradict the rest of the file")


def _ascending_below(values: np.ndarray, limit: int) -> bool:
    if values.ndim != 1 or values.dtype.kind != "i":
        return False
    inside = not values.size or (values[0] >= 0 and values[-1] < limit)
    return bool(inside and np.all(np.diff(values) > 0))
