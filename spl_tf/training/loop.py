"""Training: from a config to weights, checkpoints and metrics in a workdir."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import keras
import tensorflow as tf
import tqdm
from absl import logging
from ml_collections import config_dict

from spl_tf import data
from spl_tf.clips import ClipDataset, write_atomically
from spl_tf.labels import LabelMap
from spl_tf.training import runs
from spl_tf.training.checkpoints import RunCheckpoints, load_weights, save_weights
from spl_tf.training.config import check_config
from spl_tf.training.evaluation import evaluate
from spl_tf.training.schedules import WarmupCosine, resolve_steps
from spl_tf.training.step import make_train_call
from spl_tf.training.strategies import distribute_batches, make_strategy


def train(config: config_dict.ConfigDict, workdir: str) -> dict[str, Any]:
    """Trains to the end of the schedule; a run that was stopped goes on.

    Args:
        config: See `default_config`.
        workdir: Gets `config.json`, `checkpoints/`, `metrics.jsonl`, `weights.npz`
            and, last, `results.json`.

    Returns:
        The content of `results.json`: `steps`, `clips` (in an epoch), `labels`,
        `train_loss` and `train_accuracy` of the last log interval, `seconds`, and
        with a validation set `top_1` and `top_5`. A finished run returns it at once.

    Raises:
        ValueError: The config or the data is wrong (before any work).
        FloatingPointError: The loss became NaN or infinite.
    """
    check_config(config)
    source, label_names = _open_source(config)
    rows = data.labels_kept(source.dataset, source.label_map)
    validation = _open_validation(config, label_names)
    runs.claim_workdir(workdir, config, label_names=label_names)
    finished = runs.read_results(workdir)
    if finished is not None:
        logging.info("%s is finished", workdir)
        return finished

    started = time.time()
    strategy = make_strategy(config.runtime.strategy)
    replicas = strategy.num_replicas_in_sync
    schedule = _make_schedule(config, len(rows), config.data.batch_size * replicas)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = runs.build_from_config(config, len(label_names))
        optimizer = keras.optimizers.SGD(
            schedule, config.optimizer.momentum, config.optimizer.nesterov
        )
        optimizer.build(model.trainable_variables)
        checkpoints = RunCheckpoints(workdir, model, optimizer)
        if not checkpoints.restore() and config.init.checkpoint:
            load_weights(config.init.checkpoint, model, config.init.keep_head)

    last = _run_steps(
        config, workdir, strategy, model, optimizer, schedule, checkpoints, source
    )
    results = {
        "steps": schedule.total_steps,
        "clips": len(rows),
        "labels": len(label_names),
        **last,
    }
    if validation is not None:
        sampling, size = source.sampling, config.data.crop_size
        results |= evaluate(
            model, strategy, validation, sampling, size, config.data.batch_size
        )
    results["seconds"] = round(time.time() - started, 1)
    save_weights(workdir, model)
    runs.write_results(workdir, results)
    return results


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
    )
    names = dataset.info.class_names if label_map is None else label_map.label_names
    return source, list(names)


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


def _make_schedule(config, num_clips: int, batch_size: int) -> WarmupCosine:
    settings = config.schedule
    warmup, cosine = (
        resolve_steps(
            f"config.schedule.{part}", settings[part].to_dict(), num_clips, batch_size
        )
        for part in ("warmup", "cosine")
    )
    scale = batch_size / config.optimizer.reference_batch_size
    peak = config.optimizer.learning_rate * scale
    return WarmupCosine(peak, settings.warmup_start * peak, warmup, cosine)


def _run_steps(
    config, workdir, strategy, model, optimizer, schedule, checkpoints, source
) -> dict[str, float]:
    """Trains from the optimizer's step to the last one; returns the last metrics."""
    total = schedule.total_steps
    step = int(optimizer.iterations.numpy())
    call = make_train_call(
        strategy,
        model,
        optimizer,
        data.Augmentation(**config.augmentation),
        config.optimizer.label_smoothing,
    )
    replicas = strategy.num_replicas_in_sync
    batches = distribute_batches(
        strategy,
        lambda: data.train_batches(
            source,
            config.data.batch_size,
            start_step=step,
            stop_step=total,
            replicas=replicas,
        ),
    )
    iterator = iter(batches)
    metrics = _MetricsLog(workdir, step)
    progress = tqdm.tqdm(
        total=total, initial=step, unit="step", desc=os.path.basename(workdir)
    )
    runtime = config.runtime
    with progress:
        while step < total:
            # Calls end at multiples of `steps_per_call`, also after a restart.
            steps = min(
                runtime.steps_per_call - step % runtime.steps_per_call, total - step
            )
            sums = call(iterator, tf.constant(steps))
            values = {name: float(value) for name, value in sums.items()}
            _check_finite(values["finite"], step, steps)
            step += steps
            metrics.add(values, steps)
            progress.update(steps)
            if step % runtime.log_every_steps == 0 or step == total:
                rate = float(schedule(step))
                progress.set_postfix(metrics.write(step, rate))
            if step % runtime.checkpoint_every_steps == 0 or step == total:
                checkpoints.save()
    return metrics.last


def _check_finite(finite: float, step: int, steps: int) -> None:
    if finite < steps:
        raise FloatingPointError(
            f"the loss became NaN or infinite between steps {step} and {step + steps}; "
            "the last checkpoint is from before. Lower config.optimizer.learning_rate, "
            "or lengthen config.schedule.warmup"
        )


class _MetricsLog:
    """`metrics.jsonl`: one object per log interval."""

    def __init__(self, workdir: str, step: int):
        """Opens the log, and drops lines from after the step a run continues at."""
        self._path = os.path.join(workdir, "metrics.jsonl")
        self._sums = {"loss": 0.0, "accuracy": 0.0}
        self._steps = 0
        self.last: dict[str, float] = {}
        kept = []
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8") as file:
                # A last line without its end was cut off by a kill.
                lines = [line for line in file if line.endswith("\n")]
            kept = [line for line in lines if json.loads(line)["step"] <= step]
        write_atomically(self._path, "".join(kept).encode())
        if kept:
            self._remember(json.loads(kept[-1]))

    def add(self, sums: dict[str, float], steps: int) -> None:
        for name in self._sums:
            self._sums[name] += sums[name]
        self._steps += steps

    def write(self, step: int, learning_rate: float) -> dict[str, float]:
        """Writes the mean since the last line; returns what to show."""
        means = {name: total / self._steps for name, total in self._sums.items()}
        line = {"step": step, **means, "learning_rate": learning_rate}
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._sums = dict.fromkeys(self._sums, 0.0)
        self._steps = 0
        self._remember(line)
        return {name: f"{value:.3f}" for name, value in means.items()}

    def _remember(self, line: dict[str, float]) -> None:
        self.last = {
            "train_loss": line["loss"],
            "train_accuracy": line["accuracy"],
        }
