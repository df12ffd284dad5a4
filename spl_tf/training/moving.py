"""What moves the weights of a network, and their average, in a step."""

from __future__ import annotations

import keras
import tensorflow as tf


class ReducedSGD(keras.optimizers.SGD):
    """SGD that takes gradients already summed over the replicas.

    The step sums them itself, because their norm, and clipping by it, are those of the
    whole batch.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars


class MovingAverage(tf.Module):
    """An exponential moving average of a model's trainable variables."""

    def __init__(self, model: keras.Model, decay: float):
        """Starts at the model's values; under the strategy's scope.

        Args:
            model: The model whose trainable variables are averaged.
            decay: Weight of the former average; 0 for no average at all.
        """
        super().__init__(name="moving_average")
        self.decay = decay
        self._sources = [v.value for v in model.trainable_variables] if decay else []
        self.averages = [
            tf.Variable(source.read_value(), trainable=False)
            for source in self._sources
        ]

    def update(self, strategy: tf.distribute.Strategy) -> None:
        """Takes the variables' values in; outside of replicas."""
        for average, source in zip(self.averages, self._sources, strict=True):
            strategy.extended.update(average, self._blend, args=(source,), group=True)

    def _blend(self, average, value):
        average.assign_sub((1.0 - self.decay) * (average - value))

    def restart(self) -> None:
        """Sets the averages to the variables, after these were loaded."""
        for average, source in zip(self.averages, self._sources, strict=True):
            average.assign(source.read_value())

    def put_into_model(self) -> None:
        """Replaces the model's variables by their averages."""
        for average, source in zip(self.averages, self._sources, strict=True):
            source.assign(average.read_value())
