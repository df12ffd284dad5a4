"""What is reported: exact over batches with padding, over replicas and over parts."""

from spl_tf.metrics.accuracy import TopKAccuracy
from spl_tf.metrics.average_precision import MeanAveragePrecision, average_precision
from spl_tf.metrics.clusters import (
    count_pairs,
    normalized_mutual_information,
    purity,
)
from spl_tf.metrics.confusion import (
    ConfusionChange,
    EvaluationConfusion,
    confusion_changes,
    confusion_scores,
)
from spl_tf.metrics.seeds import Difference, Estimate, estimate, paired_difference

__all__ = [
    "ConfusionChange",
    "Difference",
    "Estimate",
    "EvaluationConfusion",
    "MeanAveragePrecision",
    "TopKAccuracy",
    "average_precision",
    "confusion_changes",
    "confusion_scores",
    "count_pairs",
    "estimate",
    "normalized_mutual_information",
    "paired_difference",
    "purity",
]
