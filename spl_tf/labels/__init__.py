"""The method itself: confusion matrices and the label maps made from them.

Count (weak label, teacher prediction) pairs into a `ConfusionMatrix`, prune it to a
`LabelMap` with `build_label_map`, and map every clip with `LabelMap.lookup`:

    confusion = ConfusionMatrix(class_names)
    confusion.update(weak, teacher)
    label_map = build_label_map(confusion, "spl_b")
    labels = label_map.lookup(weak, teacher)  # int32, -1 = discard the clip

Only NumPy and SciPy are needed. Source of every definition: "Learning from
Weakly-labeled Web Videos via Exploring Sub-Concepts" (arXiv 2101.03713), section 3.
"""

from spl_tf.labels.class_names import parse_class_names, read_class_names
from spl_tf.labels.confusion import ConfusionMatrix
from spl_tf.labels.mapping import (
    STRATEGIES,
    LabelMap,
    build_label_map,
    choose_num_labels,
)
from spl_tf.labels.rule import DISCARD, LabelRule
from spl_tf.labels.storage import FormatError

__all__ = [
    "DISCARD",
    "STRATEGIES",
    "ConfusionMatrix",
    "FormatError",
    "LabelMap",
    "LabelRule",
    "build_label_map",
    "choose_num_labels",
    "parse_class_names",
    "read_class_names",
]
