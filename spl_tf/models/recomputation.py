"""A network that keeps few activations in training and computes the rest twice."""

from __future__ import annotations

import itertools

import keras
from keras import ops


class RecomputingModel(keras.Model):
    """A functional model whose training step keeps activations at borders alone.

    Between two borders the gradient computes the forward pass again (Chen et al.,
    "Training Deep Nets with Sublinear Memory Cost", 2016). Layers, weights, results and
    moving statistics are those of the plain model.
    """

    @classmethod
    def between(cls, borders: list, name: str) -> RecomputingModel:
        """Makes the model.

        Args:
            borders: Keras tensors: the input, those through each of which all paths
                run, in order, and the output. The part before the output, the head, is
                computed once, so that its dropout stays the same.
            name: The Keras model's name.
        """
        model = cls(borders[0], borders[-1], name=name)
        # Else a mixed policy casts weights before they reach their layers.
        model.dtype_policy = "float32"
        segments = (
            keras.Model(start, end) for start, end in itertools.pairwise(borders)
        )
        # Hidden from Keras: the layers are the model's already.
        object.__setattr__(model, "_segments", tuple(segments))
        return model

    def call(self, inputs, training=None, mask=None):
        """The plain model's result; in training, few activations are kept for it."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        *segments, head = self._segments
        x = inputs
        for segment in segments:
            x = _recomputed(segment, x)
        return head(x, training=True)


def _recomputed(segment: keras.Model, x):
    """The segment's output in training, with its statistics assigned once."""
    trained, kept = segment.trainable_variables, segment.non_trainable_variables
    # Read now: the second pass must not see what the first has assigned.
    kept_values = [ops.stop_gradient(variable.value) for variable in kept]

    def pure(trained_values, x):
        return segment.stateless_call(trained_values, kept_values, x, training=True)

    y, updates = keras.remat(pure)([variable.value for variable in trained], x)
    for variable, value in zip(kept, updates, strict=True):
        variable.assign(value)
    return y
