"""From a config to the parts of a training: sources, model, objective, schedule."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from ml_collections import config_dict

from spl_tf import data, models
from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import FLOW
from spl_tf.inference.evaluation import Views, evaluate
from spl_tf.inference.outputs import is_multi_label
from spl_tf.inference.scores import Evaluation
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import load_weights
from spl_tf.training.config import (
    PER_SOURCE,
    STEP_PER_SOURCE,
    replica_batch_size,
)
from spl_tf.training.moving import MovingAverage, ReducedSGD
from spl_tf.training.objectives import Objective
from spl_tf.training.schedules import WarmupSchedule, resolve_steps
from spl_tf.training.source_inputs import Sources, open_sources
from spl_tf.training.step import (
    StepSettings,
    TrainState,
)

_RHYTHM = (
    "steps_per_call",
    "log_every_steps",
    "checkpoint_every_steps",
    "keep_checkpoints",
)


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a training is made of.

    Attributes:
        sources: Datasets and how their clips are taken; all that is trained on.
        schedule: The learning rate of each step, and how many steps there are.
        step: How a step is made: batches, augmentation, clipping.
        seed: Seed of the initial weights and of dropout.
        make_state: Builds what is trained, in the strategy's scope, with the variable
            that ends a call.
        initialize: Loads the weights that a new run starts from.
        evaluate: Measures a model under a strategy; None without a validation set.
        facts: What `config.json` says beside the config.
        steps_per_call: After how many steps Python has its turn; the next ones are
            multiples of it.
        log_every_steps: Steps that a line in the log is about.
        checkpoint_every_steps: Steps from one checkpoint to the next.
        keep_checkpoints: Number of checkpoints that stay, the newest.
    """

    sources: Sources
    schedule: WarmupSchedule
    step: StepSettings
    seed: int
    make_state: Callable[[tf.Variable], TrainState]
    initialize: Callable[[TrainState], None]
    evaluate: Callable[[keras.Model, tf.distribute.Strategy], Evaluation] | None
    facts: dict[str, Any]
    steps_per_call: int
    log_every_steps: int
    checkpoint_every_steps: int
    keep_checkpoints: int


def assemble(config: config_dict.ConfigDict, replicas: int) -> Parts:
    """Turns a checked config into the parts of a training.

    Args:
        config: A training's whole config, checked; see `default_config`.
        replicas: Number of replicas of all processes together.

    Raises:
        ValueError: The data does not fit the config or what is there.
    """
    if config.runtime.xla and replicas > 1:
        raise ValueError(
            f"config.runtime.xla is for one replica, and there are {replicas}"
        )
    replica_batch = replica_batch_size(config, replicas)
    sources = open_sources(config, replica_batch)
    names = sources.label_names
    validation = open_validation(config, names)
    if config.init.checkpoint:
        start = (config.init.checkpoint, config.init.keep_head, names)
        run_folder.check_start(*start, config.data.modality)
    run_folder.check_normalization(config)
    datasets = sources.fingerprints()
    if validation is not None:
        datasets["validation"] = run_folder.dataset_fingerprint(validation)
    batch_size = replica_batch * replicas * config.optimizer.accumulation_steps
    schedule = _make_schedule(config, sources.clips_per_epoch, batch_size)
    first = sources.inputs[0]
    return Parts(
        sources=sources,
        schedule=schedule,
        step=StepSettings(
            augmentation=data.Augmentation(**config.augmentation),
            clips_per_epoch=sources.clips_per_epoch,
            batch_size=batch_size,
            accumulation_steps=config.optimizer.accumulation_steps,
            clip_norm=config.optimizer.clip_norm,
            xla=config.runtime.xla,
            clips_per_item=config.data.clips_per_item,
            sources=dict(zip(sources.names, sources.sizes, strict=False)),
            per_source=config.data.forward == PER_SOURCE,
            step_per_source=config.data.forward == STEP_PER_SOURCE
            and bool(sources.names),
        ),
        seed=config.seed,
        make_state=functools.partial(
            _make_state, config, schedule, len(names), first.dataset
        ),
        initialize=functools.partial(_initialize, config),
        evaluate=None
        if validation is None
        else functools.partial(
            evaluate,
            dataset=validation,
            views=Views.of(config.data, on_bad_record=config.data.on_bad_record),
            batch_size=replica_batch,
            multi_label=is_multi_label(config),
        ),
        facts={
            "label_names": names,
            "datasets": datasets,
            "clips_per_step": batch_size,
            **({"kept": sources.kept} if sources.kept else {}),
        },
        **{name: config.runtime[name] for name in _RHYTHM},
    )


def open_validation(
    config: config_dict.ConfigDict, label_names: list[str]
) -> ClipDataset | None:
    """Opens what is evaluated on at the end; None without it.

    Raises:
        ValueError: Its classes are not the labels that are trained on, a label is no
            class, or its clips have no flow, which is looked at.
    """
    if not config.data.validation:
        return None
    validation = ClipDataset(config.data.validation)
    if validation.info.class_names != label_names:
        raise ValueError(
            f"config.data.validation: {validation.directory} has "
            f"{len(validation.info.class_names)} classes, the model "
            f"{len(label_names)} labels, or their names differ"
        )
    if config.data.modality == FLOW and len(validation):
        data.check_flow(validation)
    if is_multi_label(config):
        data.several_labels(validation)
    else:
        data.check_one_label(validation)
    return validation


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
