"""Labels by row of an index, once they are known to be classes."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from spl_tf.clips import ClipDataset
from spl_tf.labels import LabelMap
from spl_tf.labels.chunks import first_and_number
from spl_tf.labels.several import SeveralLabels

# Gives the labels of some rows of an index, a slice or int64 of any shape: int32.
LabelOf = Callable[[slice | np.ndarray], np.ndarray]


def several_labels(dataset: ClipDataset) -> SeveralLabels:
    """All labels of a dataset's clips.

    Raises:
        ValueError: A clip has no label, or one that is no class.
    """
    check_labels(dataset, "labels")
    return SeveralLabels(dataset.index.labels, dataset.index.label_splits)


def check_one_label(dataset: ClipDataset) -> None:
    """Raises ValueError for labels that are no class, and clips that have several."""
    check_labels(dataset)
    index = dataset.index
    splits = index.added.get("label_splits")
    if splits is None:  # of before there were several: the record's first counts
        return
    first, number = first_and_number(
        len(index), lambda rows: num_labels(splits, rows) > 1
    )
    if number:
        raise ValueError(
            f"{_place(dataset, first)}: it has {index.labels_of(first)} as its labels, "
            f"expected one ({number} such rows of {len(dataset)}). Train with "
            "labels.kind 'one_of', or with 'all' and the loss 'sigmoid_cross_entropy'"
        )


def num_labels(splits: np.ndarray, rows: slice) -> np.ndarray:
    """How many labels each row of a slice has, int64, by a column `label_splits`."""
    return np.diff(splits[rows.start : rows.stop + 1])


def labels_of(dataset: ClipDataset, label_map: LabelMap | None) -> LabelOf:
    """What gives labels by index row, -1 for what has none.

    Args:
        dataset: The dataset whose index is looked at.
        label_map: Gives the labels; None takes those of the index.

    Raises:
        ValueError: A label is no class, map and dataset are of different classes, or
            the map needs the teacher's prediction and the dataset has none.
    """
    index = dataset.index
    if label_map is None:
        check_one_label(dataset)
        return index.label.__getitem__
    ours, theirs = dataset.info.class_names, list(label_map.class_names)
    if ours != theirs:
        raise ValueError(
            f"the label map is for {len(theirs)} classes ({', '.join(theirs[:3])}, "
            f"...), {dataset.directory} has {len(ours)} ({', '.join(ours[:3])}, ...); "
            "names and order must be the same"
        )
    if label_map.strategy == "teacher":  # whatever the weak label
        check_labels(dataset)
    else:
        check_one_label(dataset)
    if label_map.needs_teacher:
        check_predicted(dataset, f"strategy {label_map.strategy!r}")
        check_labels(dataset, "teacher")

    def label_of(rows: slice | np.ndarray) -> np.ndarray:
        weak, teacher = index.label[rows], index.teacher[rows]
        found = label_map.lookup(np.reshape(weak, -1), np.reshape(teacher, -1))
        return found.reshape(np.shape(weak))

    return label_of


def check_predicted(dataset: ClipDataset, who: str) -> None:
    """Raises ValueError for clips that no teacher has seen, which `who` needs."""
    missing = int((dataset.index.teacher < 0).sum())
    if missing:
        raise ValueError(
            f"{dataset.directory} has {missing} clips without a teacher prediction, "
            f"and {who} needs it; run `python -m experiments.predict` on it first"
        )


def check_labels(dataset: ClipDataset, column: str = "label") -> None:
    """Raises ValueError for the first row with one that is no class.

    Args:
        dataset: The dataset whose labels are checked.
        column: "label", "teacher", or "labels": all that a row has, one at least.
    """
    index, num_classes = dataset.index, len(dataset.info.class_names)
    values = index.column(column)

    def is_wrong(rows: slice) -> np.ndarray:
        return (values[rows] < 0) | (values[rows] >= num_classes)

    first, number = first_and_number(len(values), is_wrong)
    found = f"{values[first]}" if number else "none"
    if column == "labels":
        splits = index.label_splits
        first = int(np.searchsorted(splits, first, side="right")) - 1
        if not number:
            first, number = first_and_number(
                len(index), lambda rows: num_labels(splits, rows) == 0
            )
    if number:
        raise ValueError(
            f"{_place(dataset, first)}: its {column} is {found}, expected 0 to "
            f"{num_classes - 1} ({number} such rows). Run `python -m "
            f"tfrecords_tools.inspect_records {dataset.directory} --validate` to see "
            "all that is wrong"
        )


def _place(dataset: ClipDataset, row: int) -> str:
    shard = dataset.index.shard_names[dataset.index.shard[row]]
    return f"{os.path.join(dataset.directory, shard)}, row {row}"
