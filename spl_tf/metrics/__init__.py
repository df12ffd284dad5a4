"""What is reported."""

from spl_tf.metrics.accuracy import TopKAccuracy

__all__ = ["TopKAccuracy"]
