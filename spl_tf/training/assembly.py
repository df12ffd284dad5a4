"""From a config to the parts of a training: sources, model, objective, schedule."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from ml_collections import config_dict

from spl_tf import data, models
from spl_tf.clips import ClipDataset
from spl_tf.inference.evaluation import Views, evaluate
from spl_tf.inference.outputs import is_multi_label
from spl_tf.inference.scores import Evaluation
from spl_tf.labels import ConfusionMatrix, LabelMap, build_label_map
from spl_tf.labels.assignment import Assignment
from spl_tf.labels.filters import ClipFilter, counts_per_class
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import load_weights
from spl_tf.text_files import composed, text_of
from spl_tf.training.config import (
    default_source,
    replica_batch_size,
    source_shares,
)
from spl_tf.training.objectives import Objective, read_transition
from spl_tf.training.schedules import WarmupSchedule, resolve_steps
from spl_tf.training.step import (
    MovingAverage,
    ReducedSGD,
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
class Sources:
    """What a run trains on.

    Attributes:
        inputs: One per source, in the order of the config.
        sizes: Clips of each in a batch of one replica.
        label_names: What the model's outputs stand for; the same for all sources.
        clips: Of each source, how many its labels and filter keep.
        kept: By source with a filter and by class, its clips and those kept of them.
        clips_per_epoch: Clips of all sources in the steps in which the one that
            `config.data.epoch_of` names, or the first, is read once.
    """

    inputs: list[data.TrainInput]
    sizes: list[int]
    label_names: list[str]
    clips: list[int]
    kept: dict[str, dict[str, list[int]]]
    clips_per_epoch: int

    @property
    def names(self) -> list[str]:
        """Of the sources, where there are several."""
        names = [source.name for source in self.inputs]
        return names if len(names) > 1 else []

    def fingerprints(self) -> dict[str, str]:
        """Of their datasets, by use."""
        return {
            "/".join(["train", source.name] if self.names else ["train"]): (
                run_folder.dataset_fingerprint(source.dataset)
            )
            for source in self.inputs
        }


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a training is made of.

    Attributes:
        sources: What is trained on.
        schedule: Of the learning rate, and how many steps there are.
        step: How one is made.
        seed: Of the initial weights and of dropout.
        make_state: Builds what is trained, in the strategy's scope, with the variable
            that ends a call.
        initialize: Loads the weights that a new run starts from.
        evaluate: Of a model, under a strategy; None without a validation set.
        facts: What `config.json` says beside the config.
        steps_per_call: After how many steps Python has its turn; the next ones are
            multiples of it.
        log_every_steps: Steps of a line in the log.
        checkpoint_every_steps: Steps between checkpoints.
        keep_checkpoints: How many stay.
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
        config: See `default_config`.
        replicas: How many replicas all processes have together.

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
        run_folder.check_start(config.init.checkpoint, config.init.keep_head, names)
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


def open_sources(config: config_dict.ConfigDict, batch_size: int) -> Sources:
    """Opens what is trained on.

    Args:
        config: A training's whole config.
        batch_size: Clips of a batch of one replica.

    Raises:
        ValueError: A dataset does not have what its labels or filter need, no clip is
            left of one, or the labels of two sources differ.
    """
    settings = _settings_of_sources(config)
    sizes = source_shares(settings, batch_size)
    if config.data.mixup and min(sizes.values()) < 2:
        raise ValueError(
            f"config.data.mixup is {config.data.mixup}, and of a batch of {batch_size} "
            f"clips source {min(sizes, key=sizes.get)!r} has one, and none to mix it "
            "with"
        )
    inputs, names, clips, kept = [], {}, [], {}
    for name, each in settings.items():
        seed = config.seed
        if len(settings) > 1:  # an order and draws of its own
            digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            seed = int.from_bytes(digest[:7], "big")
        with _names_key(config, name):
            source, names[name] = _open_source(config, name, each, seed)
            rows, _ = data.clips_kept(source)
        inputs.append(source)
        clips.append(len(rows))
        if source.clip_filter != ClipFilter():
            counts = counts_per_class(
                source.dataset.index.label,
                data.filter_rows(source),
                source.dataset.info.class_names,
            )
            kept[name] = {label: list(pair) for label, pair in counts.items()}
            logging.info(
                "the filter of source %r keeps %d of %d clips; by class: %s",
                name,
                sum(after for _, after in kept[name].values()),
                len(source.dataset),
                ", ".join(f"{k} {b} of {a}" for k, (a, b) in kept[name].items()),
            )
    first, *others = names
    for other in others:
        if names[other] != names[first]:
            raise ValueError(
                f"config.data.sources: {first} has the labels {_some(names[first])}, "
                f"{other} has {_some(names[other])}; expected the same, in one order"
            )
    if config.loss.name == "forward_correction":
        # What does not fit is refused here, before the workdir is claimed.
        read_transition(config.loss.transition, inputs[0].dataset, len(names[first]))
    place = list(names).index(config.data.epoch_of or first)
    per_epoch = round(clips[place] * batch_size / sizes[list(names)[place]])
    return Sources(inputs, list(sizes.values()), names[first], clips, kept, per_epoch)


@contextlib.contextmanager
def _names_key(config, name: str) -> Iterator[None]:
    """Puts the key of a source before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        if not config.data.sources:
            raise
        raise ValueError(f"config.data.sources.{name}: {error}") from error


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:3])}, ... ({len(names)})"


def _settings_of_sources(config) -> Mapping[str, config_dict.ConfigDict]:
    """`config.data.sources`, or the one that `config.data.train` is short for."""
    if config.data.sources:
        return config.data.sources
    source = default_source()
    source.dataset = config.data.train
    if config.data.label_map:
        source.labels.update(kind="label_map", path=config.data.label_map)
    source.resampling = config.data.resampling
    return {"train": source}


def _open_source(
    config, name: str, settings, seed: int
) -> tuple[data.TrainInput, list[str]]:
    """The input, and the names of the labels that it has."""
    dataset = ClipDataset(settings.dataset)
    kind, path = settings.labels.kind, settings.labels.path
    label_map = assignment = None
    names = dataset.info.class_names
    if kind == "label_map":
        label_map = LabelMap.load(path)
    elif kind == "teacher":
        label_map = build_label_map(ConfusionMatrix(names), "teacher")
    elif kind == "assignment":
        assignment = Assignment.load(path)
        fingerprint = run_folder.dataset_fingerprint(dataset)
        assignment.check(fingerprint, len(dataset), path)
        names = assignment.label_names
    elif kind == "one_of" and not settings.labels.redraw:
        assignment = _drawn(dataset, seed)
    if label_map is not None:
        names = label_map.label_names
    source = data.TrainInput(
        dataset=dataset,
        label_map=label_map,
        sampling=data.ClipSampling.of(config.data),
        crop_size=config.data.crop_size,
        flip=config.data.flip,
        seed=seed,
        short_side=tuple(config.data.short_side) or None,
        resampling=_resampling(settings.resampling),
        on_bad_record=config.data.on_bad_record,
        cache_bytes=int(config.runtime.cache_gb * 1e9),
        assignment=assignment,
        clip_filter=_clip_filter(settings.filter),
        name=name,
        clips_per_item=config.data.clips_per_item,
        mixup=config.data.mixup,
        several=kind == "all" or (kind == "one_of" and settings.labels.redraw),
        num_outputs=len(names) if is_multi_label(config) else 0,
    )
    return source, list(names)


def _drawn(dataset: ClipDataset, seed: int) -> Assignment:
    """One label of each clip, for all epochs."""
    several = data.several_labels(dataset)
    rows = np.arange(len(several))
    # An epoch that no clip's other draws are of.
    draws = data.uniform_draws(seed, np.full_like(rows, -1), rows, 1)[:, 0]
    fingerprint = run_folder.dataset_fingerprint(dataset)
    return Assignment(several.draw(draws), dataset.info.class_names, fingerprint)


def _clip_filter(settings: config_dict.ConfigDict) -> ClipFilter:
    rules = settings.to_dict()
    if path := rules.pop("exclude_ids"):
        with open(path, "rb") as file:
            lines = text_of(file.read(), path).splitlines()
        rules["exclude_ids"] = frozenset(composed(line) for line in lines if line)
    return ClipFilter(**rules)


def _resampling(settings: config_dict.ConfigDict) -> data.Resampling | None:
    if settings.power != 1:
        return data.Resampling(power=settings.power)
    return data.Resampling(limit=settings.limit) if settings.limit else None


def open_validation(
    config: config_dict.ConfigDict, label_names: list[str]
) -> ClipDataset | None:
    """Opens what is evaluated on at the end; None without it.

    Raises:
        ValueError: Its classes are not the labels that are trained on, or a label is no
            class.
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
