"""What is minimised."""

from spl_tf.losses.cross_entropy import softmax_cross_entropy

__all__ = ["softmax_cross_entropy"]
