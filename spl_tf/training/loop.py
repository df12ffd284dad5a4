"""The loop of a training: from its parts to a trained model and its metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from spl_tf import data
from spl_tf.distribution.interruption import TrainingStopped, on_sigterm
from spl_tf.distribution.strategies import is_chief, spread_batches, wait_for_all
from spl_tf.inference.scores import write_class_table
from spl_tf.progress import Progress
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import RunCheckpoints, model_state
from spl_tf.runs.metrics_log import MetricsLog
from spl_tf.training.assembly import Parts
from spl_tf.training.step import loss_names, make_train_call

CONFUSION = "confusion.npz"
_IDS_SHOWN = 8


class Loop:
    """A training run in its workdir."""

    def __init__(self, parts: Parts, workdir: str, strategy: tf.distribute.Strategy):
        """Builds everything and restores the newest checkpoint, if there is one.

        Args:
            parts: What is trained, on what, and how.
            workdir: Path of the run's folder.
            strategy: Where it runs; the same in all processes.
        """
        self._parts, self._workdir, self._strategy = parts, workdir, strategy
        keras.utils.set_random_seed(parts.seed)
        # Outside of the scope: each process has its own.
        stop = tf.Variable(0.0, trainable=False)
        with self._strategy.scope():
            self.state = parts.make_state(stop)
            writes = is_chief(strategy)
            names = loss_names(parts.step.sources)
            self._log = MetricsLog(workdir, parts.step.batch_size, writes, names)
            self._checkpoints = RunCheckpoints(
                workdir,
                self.state.optimizer.iterations,
                parts.keep_checkpoints,
                writes,
                model=model_state(self.state.model),
                dropout=_dropout_states(self.state.model),
                optimizer=self.state.optimizer,
                objective=self.state.objective,
                average=self.state.average,
                log=self._log,
            )
            if not self._checkpoints.restore():
                parts.initialize(self.state)

    @property
    def step(self) -> int:
        """The number of steps that are done."""
        return int(self.state.optimizer.iterations.numpy())

    def train(self) -> dict[str, Any]:
        """Trains to the last step; the model then has the weights to hand on."""
        parts, total = self._parts, self._parts.schedule.total_steps
        self._log.open(self.step)
        call = make_train_call(self._strategy, self.state, parts.step)
        iterator = iter(self._batches(self.step, total))
        progress = Progress(total, "step", "training", initial=self.step)
        stop = self.state.stop
        with progress, on_sigterm(lambda: stop.assign(1.0)):
            while self.step < total:
                before = self.step
                # Calls end at multiples of `steps_per_call`, also after a restart.
                steps = parts.steps_per_call - before % parts.steps_per_call
                report = call(iterator, tf.constant(min(steps, total - before)))
                self._take(report, before)
                step = self.step
                progress.update_to(step)
                if step % parts.log_every_steps == 0 or step == total:
                    self._write_line(step, progress)
                if report["stop"].numpy() and step < total:
                    self._checkpoints.save()
                    wait_for_all(self._strategy)
                    raise TrainingStopped(
                        f"stopped at step {step} of {total} and saved; the same "
                        "command continues"
                    )
                if step % parts.checkpoint_every_steps == 0 or step == total:
                    self._checkpoints.save()
        self.state.average.put_into_model()
        return {
            "steps": total,
            "clips": parts.step.clips_per_epoch,
            "labels": len(parts.sources.label_names),
            "train_loss": self._log.last["loss"],
            "train_accuracy": self._log.last["accuracy"],
        }

    def _write_line(self, step: int, progress: Progress) -> None:
        line = self._log.write(
            step,
            float(self._parts.schedule(step)),
            self.state.objective.label_counts.take(),
        )
        progress.show(
            {
                "loss": f"{line['loss']:.3f}",
                "accuracy": f"{line['accuracy']:.1%}",
                "clips/s": f"{line['clips_per_second']:.1f}",
                "waiting": f"{line['input_wait']:.0%}",
            }
        )

    def _batches(self, start_step: int, stop_step: int):
        sources, accumulation = self._parts.sources, self._parts.step.accumulation_steps
        return spread_batches(
            self._strategy,
            lambda worker, num_workers, replicas: data.train_batches(
                sources.inputs,
                sources.sizes,
                start_step=start_step,
                stop_step=stop_step,
                worker=worker,
                num_workers=num_workers,
                replicas=replicas * accumulation,
                mixup_across=sources.mixup_across,
            ),
        )

    def _take(self, report: Mapping[str, tf.Tensor], before: int) -> None:
        """Puts what a call reports into the log; stops at a step that is not finite."""
        values = {name: report[name].numpy() for name in self._log.metrics}
        finite = np.isfinite([values["loss"], values["gradient_norm"]]).all(axis=0)
        if not finite.all():
            place = int(np.argmin(finite))
            step = before + place
            if is_chief(self._strategy):
                run_folder.note_not_finite(self._workdir, step)
            raise FloatingPointError(
                f"the loss of step {step} is {values['loss'][place]}, the norm of its "
                f"gradient {values['gradient_norm'][place]}; its clips are "
                f"{self._clip_ids(step)}. The last checkpoint is from before. Lower "
                "config.optimizer.learning_rate, lengthen config.schedule.warmup, or "
                "set config.optimizer.clip_norm, and give the same command with that: "
                "this run goes on with it, in its workdir"
            )
        self._log.add(values, float(report["waited"]))

    def _clip_ids(self, step: int) -> str:
        ids, parts = [], self._parts
        for batch in data.train_batches(
            parts.sources.inputs,
            parts.sources.sizes,
            start_step=step,
            stop_step=step + 1,
            replicas=parts.step.batch_size // sum(parts.sources.sizes),
        ):
            ids += [i.decode(errors="replace") for i in batch["id"].numpy()]
        more = f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else ""
        return ", ".join(map(repr, ids[:_IDS_SHOWN])) + more

    def evaluate(self) -> dict[str, float]:
        """Metrics on the validation set, if there is one; its classes' files."""
        if self._parts.evaluate is None:
            return {}
        evaluation = self._parts.evaluate(self.state.model, self._strategy)
        metrics = {k: v for k, v in evaluation.metrics.items() if k != "clips"}
        self._log.write_evaluation(self.step, metrics, evaluation.class_accuracy())
        if is_chief(self._strategy):
            path = os.path.join(self._workdir, "per_class.csv")
            write_class_table(path, evaluation.classes)
            if evaluation.confusion is not None:
                confusion = evaluation.confusion_matrix()
                confusion.save(os.path.join(self._workdir, CONFUSION))
        return metrics


def _dropout_states(model: keras.Model) -> list[tf.Variable]:
    """The states of random layers, which Keras keeps out of a model's checkpoint."""
    weights = {id(weight) for weight in model.non_trainable_weights}
    others = [v for v in model.non_trainable_variables if id(v) not in weights]
    return [variable.value for variable in others]
