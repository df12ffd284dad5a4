"""One optimizer step, and several of them in one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

import keras
import tensorflow as tf

from spl_tf.data import Augmentation, augment
from spl_tf.training.moving import MovingAverage, ReducedSGD
from spl_tf.training.objectives import Objective, mean_logits, right

# Columns of a batch that have a row for each clip of an item.
_OF_CLIPS = ("clip", "draws")


def loss_names(sources: Iterable[str]) -> list[str]:
    """What the losses of several sources are called in reports and logs."""
    return [f"loss_{name}" for name in sources]


def mix_pairs(
    clip: tf.Tensor, weight: tf.Tensor, partner: tf.Tensor, views: int
) -> tf.Tensor:
    """Mixes each item of a batch with its partner, clip by clip.

    Args:
        clip: float [B * V, T, H, W, C], the V clips of an item next to each other.
        weight: float32 [B], weight of the item itself, in [0, 1].
        partner: int32 [B], place of each item's partner in the batch.
        views: V, the number of an item's clips.

    Returns:
        The mixed clips, of the shape and dtype of `clip`.
    """
    items = tf.reshape(clip, [-1, views, *clip.shape[1:]])
    weight = tf.reshape(
        tf.cast(weight, clip.dtype), [-1] + [1] * (len(items.shape) - 1)
    )
    mixed = weight * items + (1.0 - weight) * tf.gather(items, partner)
    return tf.reshape(mixed, [-1, *clip.shape[1:]])


@dataclasses.dataclass(frozen=True)
class TrainState:
    """What training moves; made under the strategy's scope.

    Attributes:
        model: The network, which gives logits.
        optimizer: Moves the weights; its step counter is the step of the run.
        objective: The loss, with what it learns and counts itself.
        average: Moving average of the model's trainable variables.
        stop: float32, not 0 to end a call after the step at hand; of this process.
    """

    model: keras.Model
    optimizer: ReducedSGD
    objective: Objective
    average: MovingAverage
    stop: tf.Variable


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """How a step is made.

    Attributes:
        augmentation: Photometric changes of the clips of every batch.
        clips_per_epoch: Clips of an epoch, for losses that depend on it.
        batch_size: Clips of a step, of all replicas and accumulated batches.
        accumulation_steps: Batches whose gradients make one step.
        clip_norm: Greatest norm of the whole batch's gradient; 0 for no limit.
        xla: Compile the step; for one replica, and for TPUs, which always do.
        clips_per_item: Clips of an item, next to each other in a batch.
        sources: Clips of each source in a batch, in their order, where there are
            several.
        per_source: Whether each source passes the network on its own, so that batch
            normalisation has statistics of it alone, as OmniSource's released code has;
            moving averages take them in one source after another.
        step_per_source: Instead, whether each source also moves the weights, by the
            mean loss of its clips, before the next one passes, as that code has it. It
            is one step of the run, with one learning rate.
    """

    augmentation: Augmentation
    clips_per_epoch: int
    batch_size: int
    accumulation_steps: int = 1
    clip_norm: float = 0.0
    xla: bool = False
    clips_per_item: int = 1
    sources: Mapping[str, int] = dataclasses.field(default_factory=dict)
    per_source: bool = False
    step_per_source: bool = False


def make_train_call(
    strategy: tf.distribute.Strategy, state: TrainState, settings: StepSettings
) -> Callable[[Iterator, tf.Tensor], dict[str, tf.Tensor]]:
    """Makes the function that trains for some steps without returning to Python.

    Args:
        strategy: The strategy under which the state was made.
        state: Network, optimizer and loss that training moves.
        settings: What a step is made of.

    Returns:
        `call(iterator, steps)`. It ends early when `state.stop` is set, of any process,
        and at a step whose loss or gradient is not finite, which moves neither weights,
        batch statistics, optimizer nor average. Its result, for the steps that were
        done, that one among them, float32 [done]: `loss` (mean over the step's clips),
        `accuracy` (of its clips), `gradient_norm` (of the step's gradient, before
        clipping), and of each source its loss, by `loss_names`; `waited`, float64
        scalar, the seconds in which the call waited for batches; and `stop`, bool,
        whether it ended because a process wants to.
    """
    replica_steps = _ReplicaSteps(strategy, state, settings)
    parts = settings.accumulation_steps
    names = loss_names(settings.sources)
    width = 4 + len(names)

    @tf.autograph.experimental.do_not_convert
    def make_step(iterator, former_report):
        """Gives the step's report, whether it is finite, and the seconds waited."""
        statistics = strategy.run(replica_steps.statistics)
        report, waited = tf.zeros([width]), tf.zeros([], tf.float64)
        for part in range(parts):
            with tf.control_dependencies([former_report, report]):
                asked = tf.timestamp()
            with tf.control_dependencies([asked]):
                batch = next(iterator)
            with tf.control_dependencies(tf.nest.flatten(batch)[:1]):
                arrived = tf.timestamp()
            waited += arrived - asked
            is_last = part == parts - 1
            run = replica_steps.last if is_last else replica_steps.accumulate
            # Else a single thread may look at the clock when the step is done.
            with tf.control_dependencies([arrived]):
                reports_of_replicas, *update = strategy.run(run, (batch,))
            report += strategy.reduce(
                tf.distribute.ReduceOp.SUM, reports_of_replicas, axis=None
            )

        def move():
            strategy.run(replica_steps.move, update)
            if state.average.decay:
                state.average.update(strategy)
            return True

        def put_back():
            strategy.run(replica_steps.put_back, (statistics,))
            return False

        loss, _, norm = tf.unstack(report[:3])
        is_finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
        return report, tf.cond(is_finite, move, put_back), waited

    @tf.function
    def call(iterator, steps):
        reports = tf.TensorArray(
            tf.float32,
            0,
            dynamic_size=True,
            element_shape=[width],
            clear_after_read=False,
        )
        report = tf.zeros([width])
        waited = tf.zeros([], tf.float64)
        done = tf.constant(0)
        while done < steps:
            report, is_finite, seconds = make_step(iterator, report)
            waited += seconds
            reports = reports.write(done, report)
            done += 1
            if not is_finite or report[3] > 0:
                break
        columns = tf.unstack(reports.stack(), axis=1)
        loss, accuracy, norm, stops, *of_sources = columns
        return {
            **dict(zip(names, of_sources, strict=True)),
            "loss": loss,
            "accuracy": accuracy,
            "gradient_norm": norm,
            "waited": waited,
            "stop": tf.reduce_any(stops > 0),
        }

    return call


class _ReplicaSteps:
    """What one replica does with a batch.

    Reports are float32 [4 + S], loss, accuracy, gradient norm, the wish to stop and the
    loss of each of S sources, and add up over replicas and accumulated batches to those
    of the whole step.
    """

    def __init__(self, strategy, state: TrainState, settings: StepSettings):
        self._state, self._settings = state, settings
        self._parts = strategy.num_replicas_in_sync * settings.accumulation_steps
        self._replicas = strategy.num_replicas_in_sync
        self._sums = []
        if settings.accumulation_steps > 1:
            with strategy.scope():
                self._sums = [
                    tf.Variable(
                        tf.zeros_like(variable.value),
                        trainable=False,
                        synchronization=tf.VariableSynchronization.ON_READ,
                        aggregation=tf.VariableAggregation.SUM,
                    )
                    for variable in state.model.trainable_variables
                ]
        # All that moves before it is known whether the step is finite.
        self._moved = list(state.model.non_trainable_variables)
        if settings.step_per_source:
            self._moved += [
                *state.model.trainable_variables,
                *state.optimizer.variables,
            ]
        self._differentiate = self._gradients
        if settings.xla:
            self._differentiate = tf.function(self._gradients, jit_compile=True)

    def statistics(self) -> list[tf.Tensor]:
        """What forward passes move: batch statistics, states of dropout.

        And where each source moves the weights, those and the optimizer's state.
        """
        return [variable.value.read_value() for variable in self._moved]

    def put_back(self, statistics: list[tf.Tensor]) -> None:
        """Undoes what the forward passes of a step have moved."""
        for variable, value in zip(self._moved, statistics, strict=True):
            variable.value.assign(value)

    @tf.autograph.experimental.do_not_convert
    def accumulate(self, batch) -> tuple[tf.Tensor]:
        """Adds the batch's gradients up; the model does not move yet."""
        gradients, report, logits = self._differentiate(self._numbers(batch))
        for total, gradient in zip(self._sums, gradients, strict=True):
            total.assign_add(gradient)
        self._update_objective(batch, logits)
        return (report,)

    @tf.autograph.experimental.do_not_convert
    def last(self, batch) -> tuple:
        """Ends the step with this batch's gradients and those accumulated before.

        Returns:
            The report, and what `move` takes.
        """
        if self._settings.step_per_source:
            return self._in_turn(self._numbers(batch))
        gradients, report, logits = self._differentiate(self._numbers(batch))
        if self._sums:
            gradients = [g + s for g, s in zip(gradients, self._sums, strict=True)]
        gradients = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, gradients
        )
        norm = tf.linalg.global_norm(gradients)
        for total in self._sums:
            total.assign(tf.zeros_like(total))
        report = self._completed(report, norm)
        return report, gradients, norm, self._numbers(batch), logits

    def _completed(self, report: tf.Tensor, norm: tf.Tensor) -> tf.Tensor:
        """The report with the gradient's norm, and the wish to stop."""
        # All processes must end at the same step, so the wish is summed like the rest.
        stop = self._state.stop.read_value()
        others = [0.0] * len(self._settings.sources)
        return report + tf.stack([0.0, 0.0, norm / self._replicas, stop, *others])

    def _in_turn(self, batch) -> tuple:
        """As `last`, after each source but the last one has moved the weights."""
        state, shares, reports, found = self._state, [], [], []
        gradients, norm, squares = [], tf.zeros([]), tf.zeros([])
        for size, part in self._batches_of_sources(batch):
            if found:
                self._apply(gradients, norm)
                state.optimizer.iterations.assign_sub(1)  # the run's step is the same
            gradients, report, logits = self._differentiate(part)
            gradients = tf.distribute.get_replica_context().all_reduce(
                tf.distribute.ReduceOp.SUM, gradients
            )
            norm = tf.linalg.global_norm(gradients)
            squares += norm**2
            shares.append(size)
            reports.append(report)
            found.append(logits)
        weights = tf.constant(shares, tf.float32) / sum(shares)
        loss, accuracy, _, _ = tf.unstack(
            tf.tensordot(weights, tf.stack(reports), axes=1)
        )
        of_sources = [report[0] for report in reports]
        report = tf.stack([loss, accuracy, 0.0, 0.0, *of_sources])
        report = self._completed(report, tf.sqrt(squares))
        return report, gradients, norm, batch, tf.concat(found, axis=0)

    def _batches_of_sources(self, batch) -> Iterator[tuple[int, dict[str, tf.Tensor]]]:
        """Items of each source, and what the batch has of them."""
        settings, first = self._settings, 0
        for size in settings.sources.values():
            part = {}
            for name, column in batch.items():
                views = settings.clips_per_item if name in _OF_CLIPS else 1
                part[name] = column[first * views : (first + size) * views]
            if "partner" in part:
                part["partner"] -= first
            yield size, part
            first += size

    @tf.autograph.experimental.do_not_convert
    def move(self, gradients, norm, batch, logits) -> None:
        """Moves the model, and what the objective learns and counts."""
        self._apply(gradients, norm)
        self._update_objective(batch, logits)

    def _apply(self, gradients, norm) -> None:
        state, limit = self._state, self._settings.clip_norm
        if limit:
            gradients, _ = tf.clip_by_global_norm(gradients, limit, norm)
        state.optimizer.apply(gradients, state.model.trainable_variables)

    def _numbers(self, batch) -> dict[str, tf.Tensor]:
        """The batch without its strings, which XLA cannot take."""
        return {k: v for k, v in batch.items() if v.dtype != tf.string}

    def _gradients(self, batch):
        state, settings = self._state, self._settings
        clip = augment(batch["clip"], batch["draws"], settings.augmentation)
        views = settings.clips_per_item
        if "mix" in batch:
            clip = mix_pairs(clip, batch["mix"], batch["partner"], views)
        step = tf.cast(state.optimizer.iterations, tf.float32)
        epoch = step * settings.batch_size / settings.clips_per_epoch
        with tf.GradientTape() as tape:
            logits = self._logits(clip)
            logits = tf.reshape(logits, [-1, views, logits.shape[-1]])
            losses = state.objective(batch, logits, epoch)
            loss = tf.reduce_mean(losses)
            penalty = tf.add_n(state.model.losses or [tf.zeros([])])
            total = (loss + tf.cast(penalty, tf.float32)) / self._parts
        gradients = tape.gradient(total, state.model.trainable_variables)
        accuracy = tf.reduce_mean(right(batch["label"], mean_logits(logits)))
        of_sources = []
        if settings.sources and not settings.step_per_source:
            sizes = list(settings.sources.values())
            of_sources = [tf.reduce_mean(x) for x in tf.split(losses, sizes)]
        report = tf.stack([loss, accuracy, 0.0, 0.0, *of_sources]) / self._parts
        return gradients, report, logits

    def _logits(self, clip: tf.Tensor) -> tf.Tensor:
        """Float32 [B * V, C], in training, of clips [B * V, T, H, W, C]."""
        model, settings = self._state.model, self._settings
        if not (settings.per_source and settings.sources):
            return model(clip, training=True)
        sizes = [n * settings.clips_per_item for n in settings.sources.values()]
        parts = [model(part, training=True) for part in tf.split(clip, sizes)]
        return tf.concat(parts, axis=0)

    def _update_objective(self, batch, logits) -> None:
        context = tf.distribute.get_replica_context()
        self._state.objective.update(
            batch,
            logits,
            lambda value: context.all_reduce(tf.distribute.ReduceOp.SUM, value),
        )
