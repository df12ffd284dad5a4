"""A network of `spl_tf.models`, for `benchmarks.model_step`; run by it.

On the backend that `KERAS_BACKEND` names: the steps are a `tf.function` on TensorFlow,
and compiled by XLA on JAX.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The rival lives on the same GPU.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import keras
import numpy as np
from keras import ops

from benchmarks.worker import peak_bytes, serve, timed
from spl_tf.models import build_model, summarize

_CLASSES = 400


def _mean_loss(labels, logits):
    losses = keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )
    return ops.mean(losses)


class TensorFlowSteps:
    """A training step and a forward pass."""

    def __init__(self, model: keras.Model, optimizer, clip, labels):
        import tensorflow as tf

        clip, labels = tf.constant(clip), tf.constant(labels)

        @tf.function
        def train():
            with tf.GradientTape() as tape:
                loss = _mean_loss(labels, model(clip, training=True))
            variables = [variable.value for variable in model.trainable_variables]
            gradients = tape.gradient(loss, variables)
            optimizer.apply(gradients, model.trainable_variables)
            return loss

        self._tf = tf
        self.train = train
        self.infer = tf.function(lambda: model(clip, training=False))

    def peak(self) -> int:
        """Bytes of the device, or of the process on a CPU."""
        if not self._tf.config.list_physical_devices("GPU"):
            return peak_bytes()
        return self._tf.config.experimental.get_memory_info("GPU:0")["peak"]

    def device(self) -> str:
        """What it runs on: `cpu` or `gpu`."""
        return "gpu" if self._tf.config.list_physical_devices("GPU") else "cpu"


class JaxSteps:
    """The steps of `TensorFlowSteps`, without state inside of compiled functions."""

    def __init__(self, model: keras.Model, optimizer, clip, labels):
        import jax

        optimizer.build(model.trainable_variables)
        groups = (model.trainable_variables, model.non_trainable_variables)
        self._values = [
            [jax.device_put(variable.value) for variable in group]
            for group in (*groups, optimizer.variables)
        ]

        def loss_of(trained, fixed, clip, labels):
            logits, fixed = model.stateless_call(trained, fixed, clip, training=True)
            return _mean_loss(labels, logits), fixed

        def train(values, clip, labels):
            trained, fixed, moments = values
            differentiate = jax.value_and_grad(loss_of, has_aux=True)
            (loss, fixed), gradients = differentiate(trained, fixed, clip, labels)
            trained, moments = optimizer.stateless_apply(moments, gradients, trained)
            return loss, [list(trained), list(fixed), list(moments)]

        def infer(values, clip):
            return model.stateless_call(*values[:2], clip, training=False)[0]

        self._jax = jax
        self._batch = jax.device_put((clip, labels))
        self._train = jax.jit(train, donate_argnums=0)
        self._infer = jax.jit(infer)

    def train(self):
        """Takes one training step, and gives its loss."""
        loss, self._values = self._train(self._values, *self._batch)
        return loss

    def infer(self):
        """Logits of the batch."""
        return self._infer(self._values, self._batch[0])

    def peak(self) -> int:
        """Bytes of the device, or of the process on a CPU."""
        statistics = self._jax.local_devices()[0].memory_stats() or {}
        return statistics.get("peak_bytes_in_use") or peak_bytes()

    def device(self) -> str:
        """What it runs on: `cpu` or `gpu`."""
        return self._jax.default_backend()


_STEPS = {"tensorflow": TensorFlowSteps, "jax": JaxSteps}


class Contender:
    """The network, an optimizer and one batch."""

    def __init__(self, network: str, dtype: str, path: str, recompute: bool):
        with np.load(path) as batch:
            clip, labels = batch["clip"], batch["labels"]
        keras.utils.set_random_seed(0)
        keras.mixed_precision.set_global_policy(
            "mixed_bfloat16" if dtype == "bfloat16" else dtype
        )
        shape, options = clip.shape[1:], {"dropout": 0.0, "recompute": recompute}
        self.model = build_model(network, _CLASSES, shape, **options)
        self._randomize_norms()
        self._backend = keras.backend.backend()
        if self._backend not in _STEPS:
            raise ValueError(
                f"KERAS_BACKEND is {self._backend!r}, expected one of {list(_STEPS)}"
            )
        optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
        self._steps = _STEPS[self._backend](self.model, optimizer, clip, labels)

    def _randomize_norms(self) -> None:
        """Else every branch would end in zeros, and the comparison would be empty."""
        generator = np.random.default_rng(0)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                gamma = generator.uniform(0.2, 0.6, layer.gamma.shape)
                layer.gamma.assign(gamma.astype(np.float32))

    def describe(self) -> str:
        """Backend, its version and the device."""
        version = sys.modules[self._backend].__version__
        return f"Keras on {self._backend} {version} on {self._steps.device()}"

    def save(self, path: str) -> None:
        """Writes the weights, an array per `<layer>/<weight>`."""
        weights = {
            f"{layer.name}/{weight.name}": weight.numpy()
            for layer in self.model.layers
            for weight in layer.weights
        }
        np.savez(path, **weights)

    def count(self) -> tuple[int, int]:
        """Trained parameters, and the statistics of batch normalisation."""
        model = self.model
        return tuple(
            int(sum(np.prod(weight.shape) for weight in weights))
            for weights in (model.trainable_weights, model.non_trainable_weights)
        )

    def flop(self) -> int:
        """Operations of one clip's forward pass; a multiply-add is two."""
        return 2 * sum(stage.multiply_adds for stage in summarize(self.model))

    def train(self, steps: int) -> tuple[tuple[float, float], list[float]]:
        """Seconds of some training steps, and their losses."""

        def work():
            losses = [self._steps.train() for _ in range(steps)]
            return [float(loss) for loss in losses]

        return timed(work)

    def infer(self, steps: int) -> tuple[tuple[float, float], list[float]]:
        """Seconds of some forward passes, and the first clip's logits."""

        def work():
            for _ in range(steps):
                logits = self._steps.infer()
            return np.asarray(logits)[0].tolist()

        return timed(work)

    def peak(self) -> int:
        """Bytes of the device, or of the process on a CPU."""
        return self._steps.peak()


def main(network: str, dtype: str, path: str, recompute: str = "") -> None:
    """Serves `benchmarks.model_step` with a network of Keras."""
    contender = Contender(network, dtype, path, recompute == "recompute")
    tasks = ("describe", "save", "count", "flop", "train", "infer", "peak")
    serve({task: getattr(contender, task) for task in tasks})


if __name__ == "__main__":
    main(*sys.argv[1:])
