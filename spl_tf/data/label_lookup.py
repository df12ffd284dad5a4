"""A `LabelMap` as a lookup table inside the tf.data graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from spl_tf.labels import LabelMap

# Up to this many cells (N = 1,024) the table is one tensor of 4 MB; above, the map's
# rule and its exceptions are computed with.
_DENSE_CELLS = 1 << 20


class LabelLookup:
    """Turns the labels in records into the labels to train on."""

    def __init__(
        self,
        label_map: LabelMap | None,
        num_classes: int,
        assigned: np.ndarray | None = None,
    ):
        """Prepares the table.

        Args:
            label_map: Where the records hold (weak label, teacher prediction); None
                where their label is used as it is.
            num_classes: N, classes of the dataset.
            assigned: int32, the label of each index row, instead of the records'.
        """
        self._assigned = None if assigned is None else tf.constant(assigned, tf.int32)
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
    ) -> tf.Tensor:
        """Looks clips up.

        Args:
            label: int64 [B] or scalar, from the records.
            teacher: int64, likewise, -1 where a record has none.
            clip_id: string, likewise, for errors.
            row: int64, likewise, of the index; for assigned labels.

        Returns:
            int32, likewise, -1 for a clip that the map discards. A label outside
            [0, N) is an `InvalidArgumentError` that names the clip.
        """
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
