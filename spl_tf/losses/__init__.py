"""What is minimised."""

from spl_tf.losses.anchor import anchor_loss
from spl_tf.losses.cross_entropy import softmax_cross_entropy
from spl_tf.losses.data_parameters import DataParameters, TemperatureSettings

__all__ = [
    "DataParameters",
    "TemperatureSettings",
    "anchor_loss",
    "softmax_cross_entropy",
]
