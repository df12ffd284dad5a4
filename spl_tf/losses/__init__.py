"""Losses of a batch, one per clip, and how some allow for noisy labels."""

from spl_tf.losses.anchor import anchor_loss
from spl_tf.losses.cross_entropy import softmax_cross_entropy
from spl_tf.losses.data_parameters import DataParameters, TemperatureSettings
from spl_tf.losses.forward_correction import forward_correction, transition_matrix
from spl_tf.losses.sigmoid import sigmoid_cross_entropy

__all__ = [
    "DataParameters",
    "TemperatureSettings",
    "anchor_loss",
    "forward_correction",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "transition_matrix",
]
