"""Data Parameters: a learned temperature for each class and each training clip.

Saxena, Tuzel and DeCoste, "Data Parameters: A New Family of Parameters for Learning a
Differentiable Curriculum", NeurIPS 2019; details as in the authors' code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import keras
from keras import ops

from spl_tf.losses.cross_entropy import softmax_cross_entropy
from spl_tf.losses.targets import class_indices

MODES = ("class", "instance", "joint")


@dataclasses.dataclass(frozen=True)
class TemperatureSettings:
    """How the temperatures of the classes, or of the clips, are learned.

    Attributes:
        initial: Temperature at the start; clamped only by the first update.
        learning_rate: Step size of the temperature's logarithm.
        weight_decay: The d of `d/2 * log(temperature)^2`, for each clip that it occurs
            in.
    """

    initial: float = 1.0
    learning_rate: float = 0.1
    weight_decay: float = 0.0


# Published: classes and joint mode on ImageNet, instances on noisy CIFAR-100.
_CLASS = TemperatureSettings(1.0, 0.1, 1e-4)
_INSTANCE = TemperatureSettings(1.0, 0.2, 0.0)
_JOINT_INSTANCE = TemperatureSettings(0.001, 0.8, 1e-8)


class DataParameters(keras.layers.Layer):
    """Cross entropy of logits divided by learned temperatures, with its own update.

    The temperature of a clip is that of its label (mode "class"), its own
    ("instance"), or their sum ("joint"). `data_parameters(labels, logits, instances)`
    gives the losses for the model's gradient; `update` then moves the temperatures,
    with gradients in closed form, so that it needs no tape. Inference uses plain
    logits.

    Temperatures (as logarithms) and momentum are non-trainable weights, made once, by
    the constructor (under the strategy's scope, if there is one); a model's optimizer
    never moves them. They are saved like those of any layer: as a part of
    `tf.train.Checkpoint(model=..., data_parameters=...)`, or by `get_weights` and
    `set_weights`. In `jax.jit` call `update` in a `keras.StatelessScope`.
    """

    def __init__(
        self,
        mode: str,
        num_classes: int = 0,
        num_instances: int = 0,
        class_settings: TemperatureSettings | None = None,
        instance_settings: TemperatureSettings | None = None,
        momentum: float = 0.9,
        bounds: tuple[float, float] = (1 / 20, 20.0),
        name: str = "data_parameters",
    ):
        """Creates the temperatures.

        Args:
            mode: Whose temperatures there are: one of `MODES`.
            num_classes: Labels; needed unless the mode is "instance".
            num_instances: Training clips; needed unless the mode is "class".
            class_settings: How those of classes are learned; None takes the published
                ones.
            instance_settings: None takes the published ones of the mode.
            momentum: Share of the former step that the next one keeps.
            bounds: Least and greatest temperature after an update.
            name: The layer's name.

        Raises:
            ValueError: An unknown mode, or a number of temperatures below 1.
        """
        super().__init__(name=name, dtype="float32", trainable=False)
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}, expected one of {', '.join(MODES)}")
        self.mode = mode
        self.classes, self.instances = None, None
        if mode != "instance":
            _check_size("num_classes", num_classes, mode)
            settings = class_settings or _CLASS
            self.classes = _Temperatures(
                "label", num_classes, settings, momentum, bounds
            )
        if mode != "class":
            _check_size("num_instances", num_instances, mode)
            published = _JOINT_INSTANCE if mode == "joint" else _INSTANCE
            settings = instance_settings or published
            self.instances = _Temperatures(
                "instance", num_instances, settings, momentum, bounds
            )
        self.built = True

    def call(self, labels, logits, instances=None):
        """Cross entropy at the clips' temperatures, for the model's gradient.

        The penalty on temperatures is not in it: it has no gradient to the model, and
        `update` has its gradient.

        Args:
            labels: Integers [B] in [0, num_classes).
            logits: float [B, C], of any precision.
            instances: Integers [B] in [0, num_instances): the clips' rows in the
                training set, the same in every epoch. Not looked at in mode "class".

        Returns:
            float32 [B]. In a graph, where it cannot be an error, a label or instance
            out of range gives NaN.

        Raises:
            ValueError: No instances where the mode needs them, or (outside a graph) a
                label or instance out of range.
        """
        parts, valid = self._look_up(labels, instances)
        sigma = sum(part.sigma for part in parts)
        # An instance out of range must not pass as another one.
        sigma = ops.where(valid, sigma, ops.full_like(sigma, float("nan")))
        logits = ops.cast(logits, "float32")
        return softmax_cross_entropy(labels, logits / sigma[:, None])

    def update(
        self,
        labels,
        logits,
        instances=None,
        mask=None,
        sum_replicas: Callable = lambda tensor: tensor,
    ) -> None:
        """Moves the temperatures one step down the batch's mean loss and penalty.

        The objective is mean_b CE_b + sum_b wd/2 log(sigma_b)^2 over the clips of all
        replicas. Temperatures without gradient keep their value and their momentum;
        afterwards all are clamped.

        Args:
            labels: Integers [B] in [0, num_classes).
            logits: float [B, C], from before the model's step.
            instances: Integers [B] in [0, num_instances), see `call`.
            mask: bool [B], False for padding, which counts for nothing; None counts
                all.
            sum_replicas: Adds a tensor up over the replicas, where there are several
                and each calls `update`:
                `lambda x: tf.distribute.get_replica_context().all_reduce("SUM", x)`.

        Raises:
            ValueError: What `call` refuses. In a graph a clip that is out of range
                moves nothing; its loss is NaN.
        """
        logits = ops.cast(logits, "float32")
        parts, valid = self._look_up(labels, instances)
        counted = valid if mask is None else ops.logical_and(valid, mask)
        labels, labels_valid = class_indices(labels, logits.shape[-1])
        counted = ops.logical_and(counted, labels_valid)
        sigma = sum(part.sigma for part in parts)
        own = ops.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
        probabilities = ops.softmax(logits / sigma[:, None], axis=-1)
        slope = (own - ops.sum(probabilities * logits, axis=-1)) / ops.square(sigma)
        count = sum_replicas(ops.sum(ops.cast(counted, "float32")))
        slope = slope / ops.maximum(count, 1.0)
        for part in parts:
            decay = part.temperatures.settings.weight_decay * part.logarithm
            gradient = slope * part.sigma + decay
            gradient = ops.where(counted, gradient, ops.zeros_like(gradient))
            part.temperatures.descend(gradient, part.indices, sum_replicas)

    def _look_up(self, labels, instances):
        """The parts of the clips' temperatures, and bool [B]: nothing out of range."""
        parts = []
        if self.classes is not None:
            parts.append(self.classes.of(labels))
        if self.instances is not None:
            if instances is None:
                raise ValueError(
                    f"data parameters of mode {self.mode!r} need the clips' instances"
                )
            parts.append(self.instances.of(instances))
        valid = parts[0].valid
        for part in parts[1:]:
            valid = ops.logical_and(valid, part.valid)
        return parts, valid


class _Temperatures(keras.layers.Layer):
    """One temperature per class, or per training clip, in log space."""

    def __init__(self, kind, size, settings, momentum, bounds):
        super().__init__(name=f"{kind}_temperatures", dtype="float32", trainable=False)
        self.kind, self.size, self.settings = kind, size, settings
        self.momentum = momentum
        self.log_bounds = tuple(math.log(bound) for bound in bounds)
        self.logarithm = self._make("logarithm", math.log(settings.initial))
        self.velocity = self._make("velocity", 0.0)
        self.built = True

    def _make(self, name, value):
        return self.add_weight(
            name=name,
            shape=(self.size,),
            initializer=keras.initializers.Constant(value),
            trainable=False,
            # Every replica computes the same update.
            aggregation="only_first_replica",
        )

    def of(self, indices) -> _Part:
        """Looks up the temperatures of a batch."""
        indices, valid = class_indices(indices, self.size, self.kind)
        logarithm = ops.take(self.logarithm, indices, axis=0)
        return _Part(self, indices, valid, logarithm, ops.exp(logarithm))

    def descend(self, gradient, indices, sum_replicas) -> None:
        """Sparse momentum step with the gradients [B] of a batch, then the clamp."""
        total = sum_replicas(ops.segment_sum(gradient, indices, self.size))
        moved = ops.not_equal(total, 0.0)
        velocity = self.momentum * self.velocity + total
        velocity = ops.where(moved, velocity, self.velocity.value)
        step = ops.where(moved, velocity, ops.zeros_like(velocity))
        logarithm = self.logarithm - self.settings.learning_rate * step
        self.velocity.assign(velocity)
        self.logarithm.assign(ops.clip(logarithm, *self.log_bounds))


@dataclasses.dataclass
class _Part:
    """What a batch takes from one set of temperatures, all [B]."""

    temperatures: _Temperatures
    indices: keras.KerasTensor
    valid: keras.KerasTensor
    logarithm: keras.KerasTensor
    sigma: keras.KerasTensor


def _check_size(name: str, size: int, mode: str) -> None:
    if size < 1:
        raise ValueError(
            f"{name} is {size}, but data parameters of mode {mode!r} need 1 or more"
        )
