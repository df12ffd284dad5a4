"""A `LabelMap` as a lookup table inside the tf.data graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from spl_tf.labels import LabelMap
from spl_tf.labels.several import SeveralLabels

# Up to this many cells (N = 1,024) the table is one tensor of 4 MB; above, the map's
# rule and its exceptions are computed with.
_DENSE_CELLS = 1 << 20
_ALIGNMENT = 64  # bytes, of TensorFlow's memory


class LabelLookup:
    """Turns the labels in records into the labels to train on."""

    def __init__(
        self,
        label_map: LabelMap | None,
        num_classes: int,
        assigned: np.ndarray | None = None,
        several: SeveralLabels | None = None,
        num_outputs: int = 0,
        draws: bool = True,
    ):
        """Prepares the table.

        Args:
            label_map: Where the records hold (weak label, teacher prediction); None
                where their label is used as it is.
            num_classes: N, the number of the dataset's classes.
            assigned: int32, the label of each index row, instead of the records'.
            several: The labels of each index row, of which one is drawn, or all are
                taken.
            num_outputs: C, for multi-hot rows instead of labels; else 0.
            draws: Whether one of several is drawn; all are taken as multi-hot rows.
        """
        self._assigned = None if assigned is None else _shared(assigned)
        self._several = several and tuple(
            map(_shared, (several.values, several.splits))
        )
        self._takes_all = several is not None and not draws
        self._num_outputs = num_outputs
        self._map = label_map
        self._num_classes = num_classes
        self._table = None
        if label_map is not None and num_classes**2 <= _DENSE_CELLS:
            self._table = label_map.dense_table().reshape(-1)

    def __call__(
        self,
        label: tf.Tensor,
        teacher: tf.Tensor,
        clip_id: tf.Tensor,
        row: tf.Tensor | None = None,
        draw: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Looks clips up.

        Args:
            label: int64 [B] or scalar, the records' labels.
            teacher: int64 [B] or scalar, the teacher's choices, -1 where a record has
                none.
            clip_id: string [B] or scalar, the clips' ids, for errors.
            row: int64 [B] or scalar, rows of the index; for assigned and for several
                labels.
            draw: float32 [B] or scalar, uniform in [0, 1); for one of several labels.

        Returns:
            int32, likewise, -1 for a clip that the map discards; or multi-hot rows,
            float32 [B, C]. A label outside [0, N) is an `InvalidArgumentError` that
            names the clip.
        """
        if self._takes_all:
            return self._all_of(row)
        found = self._one(label, teacher, clip_id, row, draw)
        return tf.one_hot(found, self._num_outputs) if self._num_outputs else found

    def _all_of(self, row) -> tf.Tensor:
        values, splits = self._several
        places = tf.ragged.range(tf.gather(splits, row), tf.gather(splits, row + 1))
        labels = tf.cast(tf.gather(values, places.values), tf.int64)
        cells = tf.stack([places.value_rowids(), labels], axis=1)
        rows = tf.zeros([tf.shape(row)[0], self._num_outputs])
        return tf.tensor_scatter_nd_max(rows, cells, tf.ones_like(labels, rows.dtype))

    def _one_of(self, row, draw) -> tf.Tensor:
        values, splits = self._several
        first, end = tf.gather(splits, row), tf.gather(splits, row + 1)
        drawn = tf.cast(draw * tf.cast(end - first, tf.float32), tf.int64)
        # A draw just below 1 may round up to the next clip's.
        return tf.gather(values, tf.minimum(first + drawn, end - 1))

    def _one(self, label, teacher, clip_id, row, draw) -> tf.Tensor:
        if self._several is not None:
            return self._one_of(row, draw)
        if self._assigned is not None:
            return tf.gather(self._assigned, row)
        checks = [self._check("label", label, clip_id)]
        if self._map is not None and self._map.needs_teacher:
            checks.append(self._check("teacher's prediction", teacher, clip_id))
        with tf.control_dependencies(checks):
            label, teacher = tf.identity(label), tf.identity(teacher)
        if self._map is None:
            return tf.cast(label, tf.int32)
        if not self._map.needs_teacher:
            teacher = label  # not looked at, but it must be a place in the table
        key = label * self._num_classes + teacher
        if self._table is not None:
            return tf.gather(self._table, key)
        return self._by_rule(label, teacher, key)

    def _check(self, what: str, value: tf.Tensor, clip_id: tf.Tensor) -> tf.Operation:
        outside = (value < 0) | (value >= self._num_classes)
        outside = tf.reshape(outside, [-1])
        bad = [
            tf.boolean_mask(tf.reshape(tensor, [-1]), outside)
            for tensor in (clip_id, value)
        ]
        return tf.debugging.Assert(
            ~tf.reduce_any(outside),
            [f"the {what} of clip", bad[0], "is", bad[1]]
            + [f"expected 0 to {self._num_classes - 1}"],
        )

    def _by_rule(self, weak, teacher, key) -> tf.Tensor:
        rule = self._map.rule
        # Where the rule discards, this is -1.
        label = rule.weak_factor * weak + rule.teacher_factor * teacher + rule.offset
        label = tf.where(weak == teacher, rule.diagonal_factor * weak, label)
        cells = rule.cells
        if len(cells):
            place = tf.searchsorted(cells, tf.reshape(key, [-1]), out_type=tf.int64)
            place = tf.reshape(tf.minimum(place, len(cells) - 1), tf.shape(key))
            exception = tf.cast(tf.gather(rule.cell_ids, place), tf.int64)
            label = tf.where(tf.gather(cells, place) == key, exception, label)
        return tf.cast(label, tf.int32)


def _shared(array: np.ndarray) -> tf.Tensor:
    """A tensor, without a copy where TensorFlow can take the array's memory as it is.

    So columns that are mapped from a file stay there.
    """
    if len(array) and array.flags.c_contiguous and not array.ctypes.data % _ALIGNMENT:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)
