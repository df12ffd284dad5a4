"""Training: from a config to weights, checkpoints and metrics in a workdir."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from ml_collections import config_dict

from spl_tf import data, models
from spl_tf.clips import ClipDataset
from spl_tf.labels import LabelMap
from spl_tf.progress import Progress
from spl_tf.training import runs
from spl_tf.training.checkpoints import RunCheckpoints, load_weights, save_weights
from spl_tf.training.config import check_config
from spl_tf.training.evaluation import evaluate
from spl_tf.training.interruption import TrainingStopped, locked, on_sigterm
from spl_tf.training.metrics_log import STEP_METRICS, MetricsLog
from spl_tf.training.objectives import Objective
from spl_tf.training.schedules import WarmupSchedule, resolve_steps
from spl_tf.training.step import (
    MovingAverage,
    ReducedSGD,
    StepSettings,
    TrainState,
    make_train_call,
)
from spl_tf.training.strategies import is_chief, make_strategy, spread_batches

_IDS_SHOWN = 8


class WorkerLostError(RuntimeError):
    """Another process of the run died."""


def train(config: config_dict.ConfigDict, workdir: str) -> dict[str, Any]:
    """Trains to the end of the schedule; a run that was stopped goes on.

    Args:
        config: See `default_config`.
        workdir: Gets `config.json`, `checkpoints/`, `metrics.jsonl`, `tensorboard/`,
            `weights.npz` and, last, `results.json`.

    Returns:
        The content of `results.json`: `steps`, `clips` (in an epoch), `labels`,
        `train_loss` and `train_accuracy` of the last log interval, `seconds`, and
        with a validation set `top_1` and `top_5`. A finished run returns it at once.

    Raises:
        ValueError: The config or the data is wrong (before any work).
        RuntimeError: Another process works in the workdir.
        FloatingPointError: The loss became NaN or infinite.
        TrainingStopped: SIGTERM came; the run is saved.
        WorkerLostError: Another process of the run died.
        OSError: The disk is full; earlier checkpoints stay.
    """
    check_config(config)
    # First of all: several processes must find each other before TensorFlow does more.
    strategy = make_strategy(config.runtime.strategy, config.runtime.tpu)
    source, label_names = _open_source(config)
    rows = data.labels_kept(source.dataset, source.label_map)
    validation = _open_validation(config, label_names)
    datasets = {"train": runs.dataset_fingerprint(source.dataset)}
    if validation is not None:
        datasets["validation"] = runs.dataset_fingerprint(validation)
    os.makedirs(workdir, exist_ok=True)
    writes = is_chief(strategy)
    with locked(workdir) if writes else contextlib.nullcontext():
        if writes:
            runs.claim_workdir(
                workdir, config, label_names=label_names, datasets=datasets
            )
        finished = runs.read_results(workdir)
        if finished is not None:
            logging.info("%s is finished", workdir)
            return finished
        started = time.time()
        try:
            run = _Run(config, workdir, strategy, source, len(rows), len(label_names))
            results = run.train()
            if validation is not None:
                results |= run.evaluate(validation)
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            raise WorkerLostError(
                "another process of this run cannot be reached any more "
                f"({_cause(error.message)}); start all of them again, the run "
                "continues from its last checkpoint"
            ) from error
        results["seconds"] = round(time.time() - started, 1)
        if writes:
            save_weights(workdir, run.state.model)
            runs.write_results(workdir, results)
    return results


def _cause(message: str) -> str:
    """The line of TensorFlow's message that says what happened."""
    found = re.search(r"(?:aborted by|terminated with): (.*)", message)
    return found.group(1) if found else message.splitlines()[0]


def _open_source(config) -> tuple[data.TrainInput, list[str]]:
    dataset = ClipDataset(config.data.train)
    label_map = LabelMap.load(config.data.label_map) if config.data.label_map else None
    source = data.TrainInput(
        dataset=dataset,
        label_map=label_map,
        sampling=data.ClipSampling(config.data.num_frames, config.data.stride),
        crop_size=config.data.crop_size,
        flip=config.data.flip,
        seed=config.seed,
        short_side=tuple(config.data.short_side) or None,
        resampling=_resampling(config.data.resampling),
        on_bad_record=config.data.on_bad_record,
    )
    names = dataset.info.class_names if label_map is None else label_map.label_names
    return source, list(names)


def _resampling(settings) -> data.Resampling | None:
    if settings.power != 1:
        return data.Resampling(power=settings.power)
    return data.Resampling(limit=settings.limit) if settings.limit else None


def _open_validation(config, label_names: list[str]) -> ClipDataset | None:
    if not config.data.validation:
        return None
    validation = ClipDataset(config.data.validation)
    if validation.info.class_names != label_names:
        raise ValueError(
            f"config.data.validation: {validation.directory} has "
            f"{len(validation.info.class_names)} classes, the model "
            f"{len(label_names)} labels, or their names differ"
        )
    return validation


class _Run:
    """A training run in its workdir."""

    def __init__(
        self,
        config: config_dict.ConfigDict,
        workdir: str,
        strategy: tf.distribute.Strategy,
        source: data.TrainInput,
        clips_per_epoch: int,
        num_labels: int,
    ):
        """Builds everything and restores the newest checkpoint, if there is one."""
        self._config, self._source = config, source
        self._num_clips, self._num_labels = clips_per_epoch, num_labels
        self._strategy = strategy
        # Parts of a step: replicas, and the batches that each accumulates.
        self._parts = (
            self._strategy.num_replicas_in_sync * config.optimizer.accumulation_steps
        )
        self._batch_size = config.data.batch_size * self._parts
        if config.runtime.xla and self._strategy.num_replicas_in_sync > 1:
            raise ValueError(
                "config.runtime.xla is for one replica, and there are "
                f"{self._strategy.num_replicas_in_sync}"
            )
        self._schedule = _make_schedule(config, clips_per_epoch, self._batch_size)
        keras.utils.set_random_seed(config.seed)
        # Outside of the scope: each process has its own.
        stop = tf.Variable(0.0, trainable=False)
        with self._strategy.scope():
            self.state = _make_state(
                config, self._schedule, num_labels, len(source.dataset), stop
            )
            writes = is_chief(strategy)
            self._log = MetricsLog(workdir, self._batch_size, writes)
            self._checkpoints = RunCheckpoints(
                workdir,
                self.state.optimizer.iterations,
                config.runtime.keep_checkpoints,
                writes,
                model=self.state.model,
                optimizer=self.state.optimizer,
                objective=self.state.objective,
                average=self.state.average,
                log=self._log,
            )
            if not self._checkpoints.restore():
                _initialize(config, self.state)

    @property
    def _step(self) -> int:
        return int(self.state.optimizer.iterations.numpy())

    def train(self) -> dict[str, Any]:
        """Trains to the last step; the model then has the weights to hand on."""
        total, runtime = self._schedule.total_steps, self._config.runtime
        self._log.open(self._step)
        call = self._make_call()
        iterator = iter(self._batches(self._step, total))
        progress = Progress(total, "step", "training", initial=self._step)
        stop = self.state.stop
        with progress, on_sigterm(lambda: stop.assign(1.0)):
            while self._step < total:
                before = self._step
                # Calls end at multiples of `steps_per_call`, also after a restart.
                steps = runtime.steps_per_call - before % runtime.steps_per_call
                report = call(iterator, tf.constant(min(steps, total - before)))
                self._take(report, before)
                step = self._step
                progress.update_to(step)
                if step % runtime.log_every_steps == 0 or step == total:
                    line = self._log.write(step, float(self._schedule(step)))
                    progress.show(_shown(line))
                if report["stop"].numpy() and step < total:
                    self._checkpoints.save()
                    raise TrainingStopped(
                        f"stopped at step {step} of {total} and saved; the same "
                        "command continues"
                    )
                if step % runtime.checkpoint_every_steps == 0 or step == total:
                    self._checkpoints.save()
        self.state.average.put_into_model()
        return {
            "steps": total,
            "clips": self._num_clips,
            "labels": self._num_labels,
            "train_loss": self._log.last["loss"],
            "train_accuracy": self._log.last["accuracy"],
        }

    def _make_call(self):
        config = self._config
        return make_train_call(
            self._strategy,
            self.state,
            StepSettings(
                augmentation=data.Augmentation(**config.augmentation),
                clips_per_epoch=self._num_clips,
                batch_size=self._batch_size,
                accumulation_steps=config.optimizer.accumulation_steps,
                clip_norm=config.optimizer.clip_norm,
                xla=config.runtime.xla,
            ),
        )

    def _batches(self, start_step: int, stop_step: int):
        accumulation = self._config.optimizer.accumulation_steps
        return spread_batches(
            self._strategy,
            lambda worker, num_workers, replicas: data.train_batches(
                self._source,
                self._config.data.batch_size,
                start_step=start_step,
                stop_step=stop_step,
                worker=worker,
                num_workers=num_workers,
                replicas=replicas * accumulation,
            ),
        )

    def _take(self, report: Mapping[str, tf.Tensor], before: int) -> None:
        """Puts what a call reports into the log; stops where the loss is not finite."""
        values = {name: report[name].numpy() for name in STEP_METRICS}
        finite = np.isfinite(values["loss"])
        if not finite.all():
            step = before + int(np.argmin(finite))
            raise FloatingPointError(
                f"the loss of step {step} is {values['loss'][step - before]}; its "
                f"clips are {self._clip_ids(step)}. The last checkpoint is from "
                "before. Lower config.optimizer.learning_rate, lengthen "
                "config.schedule.warmup, or set config.optimizer.clip_norm"
            )
        self._log.add(values, float(report["waited"]))

    def _clip_ids(self, step: int) -> str:
        ids = []
        for batch in data.train_batches(
            self._source,
            self._config.data.batch_size,
            start_step=step,
            stop_step=step + 1,
            replicas=self._parts,
        ):
            ids += [clip_id.decode() for clip_id in batch["id"].numpy()]
        more = f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else ""
        return ", ".join(map(repr, ids[:_IDS_SHOWN])) + more

    def evaluate(self, validation: ClipDataset) -> dict[str, float]:
        """Metrics on a dataset."""
        results = evaluate(
            self.state.model,
            self._strategy,
            validation,
            self._source.sampling,
            self._config.data.crop_size,
            self._config.data.batch_size,
        )
        self._log.write_evaluation(self._step, results)
        return results


def _shown(line: Mapping[str, float]) -> dict[str, str]:
    return {
        "loss": f"{line['loss']:.3f}",
        "accuracy": f"{line['accuracy']:.1%}",
        "clips/s": f"{line['clips_per_second']:.1f}",
        "waiting": f"{line['input_wait']:.0%}",
    }


def _make_schedule(config, num_clips: int, batch_size: int) -> WarmupSchedule:
    settings = config.schedule
    warmup, length = (
        resolve_steps(
            f"config.schedule.{part}", settings[part].to_dict(), num_clips, batch_size
        )
        for part in ("warmup", "length")
    )
    scale = batch_size / config.optimizer.reference_batch_size
    peak = config.optimizer.learning_rate * scale
    return WarmupSchedule(
        peak,
        settings.warmup_start * peak,
        warmup,
        length,
        settings.shape,
        settings.boundaries,
        settings.factor,
        settings.halvings,
    )


def _make_state(config, schedule, num_labels: int, num_rows: int, stop) -> TrainState:
    model = runs.build_from_config(config, num_labels)
    logging.info("%s", models.format_summary(models.summarize(model)))
    optimizer = ReducedSGD(
        schedule, config.optimizer.momentum, config.optimizer.nesterov
    )
    optimizer.build(model.trainable_variables)
    return TrainState(
        model=model,
        optimizer=optimizer,
        objective=Objective(config.loss, num_labels, num_rows),
        average=MovingAverage(model, config.optimizer.moving_average),
        stop=stop,
    )


def _initialize(config, state: TrainState) -> None:
    """Loads the weights that the config starts from."""
    if config.init.checkpoint:
        load_weights(config.init.checkpoint, state.model, config.init.keep_head)
    elif config.init.inflate:
        models.load_inflated(config.init.inflate, state.model, config.init.keep_head)
    state.average.restart()
