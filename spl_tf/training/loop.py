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
from spl_tf.distribution.interruption import TrainingStopped, locked, on_sigterm
from spl_tf.distribution.peer_watch import watched
from spl_tf.distribution.strategies import (
    find_cluster,
    is_chief,
    make_strategy,
    peer_addresses,
    spread_batches,
    wait_for_all,
)
from spl_tf.inference.evaluation import evaluate
from spl_tf.inference.scores import write_class_table
from spl_tf.progress import Progress
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import RunCheckpoints, load_weights, save_weights
from spl_tf.runs.metrics_log import MetricsLog
from spl_tf.training.assembly import Sources, open_sources, open_validation
from spl_tf.training.config import check_config, replica_batch_size
from spl_tf.training.objectives import Objective
from spl_tf.training.schedules import WarmupSchedule, resolve_steps
from spl_tf.training.step import (
    MovingAverage,
    ReducedSGD,
    StepSettings,
    TrainState,
    loss_names,
    make_train_call,
)

CONFUSION = "confusion.npz"
_IDS_SHOWN = 8


class WorkerLostError(RuntimeError):
    """Another process of the run died."""


def train(config: config_dict.ConfigDict, workdir: str) -> dict[str, Any]:
    """Trains to the end of the schedule; a run that was stopped goes on.

    The same clips make the same steps on any number of replicas, but for rounding and
    the statistics of batch normalisation: those are of a replica's batch, or with
    `model.synchronized_batch_norm` of the batches of all replicas. Accumulated batches
    always have statistics of their own, so 2 batches of 4 clips are as one of 8 only
    in a network that does not use batch statistics.

    Args:
        config: See `default_config`.
        workdir: Gets `config.json`, `checkpoints/`, `metrics.jsonl`, `tensorboard/`,
            `weights.npz` and, last, `results.json`; with a validation set also
            `per_class.csv` and `confusion.npz`, a `ConfusionMatrix`.

    Returns:
        The content of `results.json`: `steps`, `clips` (in an epoch), `labels`,
        `train_loss` and `train_accuracy` of the last log interval, `seconds`, and
        with a validation set `top_1`, `top_5`, `mean_class_accuracy` and `mAP`. A
        finished run returns it at once.

    Raises:
        ValueError: The config or the data is wrong (before any work).
        WorkdirBusyError: Another process works in the workdir.
        FloatingPointError: The loss, or the gradient, became NaN or infinite.
        TrainingStopped: SIGTERM came; the run is saved.
        WorkerLostError: Another process of the run died. Where TensorFlow does not
            notice it, this process ends; see `peer_watch.watched`.
        OSError: The disk is full; earlier checkpoints stay.
    """
    check_config(config)
    run_folder.check_workdir(workdir)
    runtime = config.runtime
    cluster = find_cluster() if runtime.strategy == "multi_worker" else None
    try:
        with watched(peer_addresses(cluster), runtime.startup_timeout):
            # First of all: processes must find each other before TensorFlow does more.
            strategy = make_strategy(runtime.strategy, runtime.tpu, cluster)
            results = _train(config, workdir, strategy)
            wait_for_all(strategy)
            return results
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        if cluster is None and runtime.strategy != "tpu":
            raise
        raise WorkerLostError(
            "another process of this run cannot be reached any more "
            f"({_cause(error.message)}); start all of them again, the run "
            "continues from its last checkpoint"
        ) from error


def _cause(message: str) -> str:
    """The part of TensorFlow's message that says what happened, on one line."""
    found = re.search(r"(?:aborted by|terminated with): (.*)", message, re.DOTALL)
    text = found.group(1) if found else message
    rest = r"\[type\.|The tasks have crashed|Additional GRPC|The error could"
    return " ".join(re.split(rest, text)[0].split())


def _train(config, workdir: str, strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """As `train`, when the devices are known."""
    replicas = strategy.num_replicas_in_sync
    accumulation = config.optimizer.accumulation_steps
    if config.runtime.xla and replicas > 1:
        raise ValueError(
            f"config.runtime.xla is for one replica, and there are {replicas}"
        )
    batch_size = replica_batch_size(config, replicas)
    sources = open_sources(config, batch_size)
    label_names = sources.label_names
    validation = open_validation(config, label_names)
    if config.init.checkpoint:
        run_folder.check_start(
            config.init.checkpoint, config.init.keep_head, label_names
        )
    datasets = sources.fingerprints()
    if validation is not None:
        datasets["validation"] = run_folder.dataset_fingerprint(validation)
    os.makedirs(workdir, exist_ok=True)
    writes = is_chief(strategy)
    with locked(workdir) if writes else contextlib.nullcontext():
        facts = {
            "label_names": label_names,
            "datasets": datasets,
            "clips_per_step": batch_size * replicas * accumulation,
            **({"kept": sources.kept} if sources.kept else {}),
        }
        if writes:
            run_folder.describe(workdir, config, **facts)
        finished = run_folder.read_results(workdir)
        if finished is not None:
            logging.info("%s is finished", workdir)
            return finished
        started = time.time()
        run = _Run(config, workdir, strategy, sources, batch_size)
        if writes:  # not before all is built: what is refused then claims nothing
            run_folder.claim_workdir(workdir, config, **facts)
        results = run.train()
        if validation is not None:
            results |= run.evaluate(validation)
        results["seconds"] = round(time.time() - started, 1)
        if writes:
            save_weights(workdir, run.state.model)
            run_folder.write_results(workdir, results)
    return results


class _Run:
    """A training run in its workdir."""

    def __init__(
        self,
        config: config_dict.ConfigDict,
        workdir: str,
        strategy: tf.distribute.Strategy,
        sources: Sources,
        replica_batch: int,
    ):
        """Builds everything and restores the newest checkpoint, if there is one."""
        self._config, self._workdir, self._sources = config, workdir, sources
        clips_per_epoch, num_labels = sources.clips_per_epoch, len(sources.label_names)
        self._strategy, self._replica_batch = strategy, replica_batch
        # Parts of a step: replicas, and the batches that each accumulates.
        self._parts = (
            self._strategy.num_replicas_in_sync * config.optimizer.accumulation_steps
        )
        self._batch_size = replica_batch * self._parts
        self._schedule = _make_schedule(config, clips_per_epoch, self._batch_size)
        keras.utils.set_random_seed(config.seed)
        # Outside of the scope: each process has its own.
        stop = tf.Variable(0.0, trainable=False)
        with self._strategy.scope():
            self.state = _make_state(
                config, self._schedule, num_labels, sources.inputs[0].dataset, stop
            )
            writes = is_chief(strategy)
            self._log = MetricsLog(
                workdir, self._batch_size, writes, loss_names(sources.names)
            )
            self._checkpoints = RunCheckpoints(
                workdir,
                self.state.optimizer.iterations,
                config.runtime.keep_checkpoints,
                writes,
                model=self.state.model,
                dropout=_dropout_states(self.state.model),
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
                    self._write_line(step, progress)
                if report["stop"].numpy() and step < total:
                    self._checkpoints.save()
                    wait_for_all(self._strategy)
                    raise TrainingStopped(
                        f"stopped at step {step} of {total} and saved; the same "
                        "command continues"
                    )
                if step % runtime.checkpoint_every_steps == 0 or step == total:
                    self._checkpoints.save()
        self.state.average.put_into_model()
        return {
            "steps": total,
            "clips": self._sources.clips_per_epoch,
            "labels": len(self._sources.label_names),
            "train_loss": self._log.last["loss"],
            "train_accuracy": self._log.last["accuracy"],
        }

    def _write_line(self, step: int, progress: Progress) -> None:
        line = self._log.write(
            step, float(self._schedule(step)), self.state.objective.label_counts.take()
        )
        progress.show(
            {
                "loss": f"{line['loss']:.3f}",
                "accuracy": f"{line['accuracy']:.1%}",
                "clips/s": f"{line['clips_per_second']:.1f}",
                "waiting": f"{line['input_wait']:.0%}",
            }
        )

    def _make_call(self):
        config = self._config
        return make_train_call(
            self._strategy,
            self.state,
            StepSettings(
                augmentation=data.Augmentation(**config.augmentation),
                clips_per_epoch=self._sources.clips_per_epoch,
                batch_size=self._batch_size,
                accumulation_steps=config.optimizer.accumulation_steps,
                clip_norm=config.optimizer.clip_norm,
                xla=config.runtime.xla,
                sources=dict(
                    zip(self._sources.names, self._sources.sizes, strict=False)
                ),
            ),
        )

    def _batches(self, start_step: int, stop_step: int):
        accumulation = self._config.optimizer.accumulation_steps
        return spread_batches(
            self._strategy,
            lambda worker, num_workers, replicas: data.train_batches(
                self._sources.inputs,
                self._sources.sizes,
                start_step=start_step,
                stop_step=stop_step,
                worker=worker,
                num_workers=num_workers,
                replicas=replicas * accumulation,
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
        ids = []
        for batch in data.train_batches(
            self._sources.inputs,
            self._sources.sizes,
            start_step=step,
            stop_step=step + 1,
            replicas=self._parts,
        ):
            ids += [i.decode(errors="replace") for i in batch["id"].numpy()]
        more = f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else ""
        return ", ".join(map(repr, ids[:_IDS_SHOWN])) + more

    def evaluate(self, validation: ClipDataset) -> dict[str, float]:
        """Metrics on a dataset; the files of its classes are written."""
        evaluation = evaluate(
            self.state.model,
            self._strategy,
            validation,
            self._sources.inputs[0].sampling,
            self._config.data.crop_size,
            self._replica_batch,
            self._config.data.on_bad_record,
        )
        metrics = {k: v for k, v in evaluation.metrics.items() if k != "clips"}
        self._log.write_evaluation(self._step, metrics, evaluation.class_accuracy())
        if is_chief(self._strategy):
            path = os.path.join(self._workdir, "per_class.csv")
            write_class_table(path, evaluation.classes)
            evaluation.confusion_matrix().save(os.path.join(self._workdir, CONFUSION))
        return metrics


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


def _make_state(config, schedule, num_labels: int, dataset, stop) -> TrainState:
    model = run_folder.build_from_config(config, num_labels)
    logging.info("%s", models.format_summary(models.summarize(model)))
    sgd = config.optimizer
    optimizer = ReducedSGD(schedule, sgd.momentum, sgd.nesterov)
    optimizer.build(model.trainable_variables)
    return TrainState(
        model=model,
        optimizer=optimizer,
        objective=Objective(config.loss, num_labels, dataset),
        average=MovingAverage(model, config.optimizer.moving_average),
        stop=stop,
    )


def _dropout_states(model: keras.Model) -> list[tf.Variable]:
    """The states of random layers, which Keras keeps out of a model's checkpoint."""
    weights = {id(weight) for weight in model.non_trainable_weights}
    others = [v for v in model.non_trainable_variables if id(v) not in weights]
    return [variable.value for variable in others]


def _initialize(config, state: TrainState) -> None:
    """Loads the weights that the config starts from; logs which layers got others."""
    init, layers = config.init, [each for each in state.model.layers if each.weights]
    before = [layer.get_weights() for layer in layers]
    if init.checkpoint:
        load_weights(init.checkpoint, state.model, init.keep_head)
    elif init.inflate:
        models.load_inflated(init.inflate, state.model, init.keep_head)
    state.average.restart()
    loaded, kept = [], []
    for layer, former in zip(layers, before, strict=True):
        is_same = all(map(np.array_equal, layer.get_weights(), former))
        (kept if is_same else loaded).append(layer.name)
    logging.info(
        "starting from %s; loaded: %s; as they were initialized: %s",
        init.checkpoint or init.inflate or "scratch",
        ", ".join(loaded) or "none",
        ", ".join(kept) or "none",
    )
