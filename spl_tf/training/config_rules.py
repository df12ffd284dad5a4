"""The rules of a training run's configuration, checked before any work."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Iterator

from ml_collections import config_dict

from spl_tf.clips.frame_shape import CHANNELS, height_and_width
from spl_tf.data.sampling import SAMPLINGS
from spl_tf.distribution.strategies import STRATEGIES
from spl_tf.models import (
    GATINGS,
    MODEL_NAMES,
    S3D_GATINGS,
    pixel_statistics,
)
from spl_tf.models.inflation import IMAGENET
from spl_tf.training.clip_rules import check_clips, check_modality, check_strides
from spl_tf.training.config import (
    FORWARDS,
    JOINT,
    STEP_PER_SOURCE,
    default_config,
    default_source,
    source_shares,
)
from spl_tf.training.objectives import LOSS_TARGETS, LOSSES
from spl_tf.training.schedules import SHAPES, given_unit

LABEL_KINDS = ("record", "label_map", "teacher", "assignment", "one_of", "all")
# They learn something of each clip, or of one noise.
_LOSSES_OF_ONE_SOURCE = ("data_parameters", "forward_correction")
PRECISIONS = ("float32", "mixed_bfloat16")

_CHOICES = {
    "model.name": MODEL_NAMES,
    "model.precision": PRECISIONS,
    "model.gating": ("", *dict.fromkeys(GATINGS + S3D_GATINGS)),
    "loss.name": LOSSES,
    "loss.clips": ("mean_of_losses", "loss_of_mean"),
    "loss.data_parameters_mode": ("class", "instance", "joint"),
    "loss.anchor.anchor": ("negative", "positive"),
    "loss.anchor.form": ("sigmoid", "softmax"),
    "data.modality": tuple(CHANNELS),
    "data.sampling": SAMPLINGS,
    "data.forward": FORWARDS,
    "data.on_bad_record": ("error", "skip"),
    "schedule.shape": SHAPES,
    "runtime.strategy": STRATEGIES,
}


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks a whole configuration, before any work.

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A path does not exist; the message names the key.
    """
    _check_keys(config, default_config(), "config")
    for key, known in _CHOICES.items():
        _one_of(config, key, known)
    _check_sources(config)
    # NumPy's and Keras' generators take no others.
    if not isinstance(config.seed, int) or not 0 <= config.seed < 2**32:
        raise ValueError(
            f"config.seed is {config.seed!r}, expected a whole number from 0 to "
            f"{2**32 - 1}"
        )
    with _names_key("data.crop_size"):
        height_and_width(config.data.crop_size)
    for key in ("data.num_frames", "data.stride", "data.clips_per_item"):
        _at_least(config, key, 1)
    for key in ("reference_batch_size", "accumulation_steps"):
        _at_least(config, f"optimizer.{key}", 1)
    for key in (
        "steps_per_call",
        "log_every_steps",
        "checkpoint_every_steps",
        "keep_checkpoints",
        "startup_timeout",
    ):
        _at_least(config, f"runtime.{key}", 1)
    for key in ("learning_rate", "weight_decay", "clip_norm"):
        _at_least(config, f"optimizer.{key}", 0)
    for key in (
        "model.projection_dim",
        "schedule.halvings",
        "loss.anchor.gamma",
        "loss.clip_weight",
        "data.mixup",
        "data.test_short_side",
        "runtime.cache_gb",
    ):
        _at_least(config, key, 0)
    for key in (
        "optimizer.momentum",
        "optimizer.moving_average",
        "loss.label_smoothing",
        "model.dropout",
    ):
        value = _value(config, key)
        if not 0 <= value < 1:
            raise ValueError(f"config.{key} is {value}, expected 0 to below 1")
    for key in config.augmentation:
        value = config.augmentation[key]
        if not 0 <= value <= 1:
            raise ValueError(f"config.augmentation.{key} is {value}, expected 0 to 1")
    with _names_key("model.normalization"):
        channels = CHANNELS[config.data.modality]
        pixel_statistics(config.model.normalization, channels)
    check_strides(config)
    check_modality(config)
    _check_paths(config)
    _check_combinations(config)


@contextlib.contextmanager
def _names_key(key: str) -> Iterator[None]:
    """Puts a key before what is wrong with its value."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"config.{key} {error}") from error


def _check_sources(config) -> None:
    sources = config.data.sources
    if bool(config.data.train) == bool(sources):
        found = f"{config.data.train!r} and {sorted(sources)}" if sources else "empty"
        raise ValueError(
            f"config.data.train is {found}, expected a dataset folder, or "
            "config.data.sources, and one of the two"
        )
    if config.data.epoch_of and config.data.epoch_of not in sources:
        raise ValueError(
            f"config.data.epoch_of is {config.data.epoch_of!r}, expected one of "
            f"config.data.sources, which are {sorted(sources)}"
        )
    if not sources:
        return
    if config.data.label_map or _is_resampled(config.data.resampling):
        raise ValueError(
            "config.data.label_map and config.data.resampling are for one source, "
            "config.data.train; each of config.data.sources has its own"
        )
    if len(sources) > 1 and config.loss.name in _LOSSES_OF_ONE_SOURCE:
        raise ValueError(
            f"config.loss.name is {config.loss.name!r}, which learns of the clips of "
            f"one source, and config.data.sources has {len(sources)}"
        )
    for name, settings in sources.items():
        path = f"config.data.sources.{name}"
        if not re.fullmatch(r"\w+", name):
            raise ValueError(f"{path}: expected a name of letters, digits and _")
        _check_keys(settings, default_source(), path)
        kind, place = settings.labels.kind, settings.labels.path
        if kind not in LABEL_KINDS:
            raise ValueError(
                f"{path}.labels.kind is {kind!r}, expected one of {list(LABEL_KINDS)}"
            )
        if (kind in ("label_map", "assignment")) != bool(place):
            raise ValueError(
                f"{path}.labels has kind {kind!r} and path {place!r}; kinds "
                "'label_map' and 'assignment' need one, others have none"
            )
        if settings.labels.redraw and kind != "one_of":
            raise ValueError(
                f"{path}.labels.redraw is for kind 'one_of', and the kind is {kind!r}"
            )
        targets = LOSS_TARGETS[config.loss.name]
        if kind == "all" and "multi-hot rows" not in targets:
            raise ValueError(
                f"{path}.labels.kind is 'all', which makes multi-hot rows, and "
                f"config.loss.name {config.loss.name!r} takes {' and '.join(targets)}; "
                "use 'sigmoid_cross_entropy', or kind 'one_of'"
            )
        if not settings.dataset:
            raise ValueError(f"{path}.dataset is empty, expected a dataset folder")
        _check_folder(settings.dataset, f"{path}.dataset")
        if place and "://" not in place and not os.path.exists(place):
            raise FileNotFoundError(f"{path}.labels.path: there is no {place}")
        excluded = settings.filter.exclude_ids
        if excluded and not os.path.exists(excluded):
            raise FileNotFoundError(
                f"{path}.filter.exclude_ids: there is no {excluded}"
            )
        _check_resampling(settings.resampling, f"{path}.resampling")
        check_clips(config, settings, f"{path}.clips")
    if not config.data.global_batch_size:
        source_shares(sources, config.data.batch_size)


def _check_folder(path: str, key: str) -> None:
    if path and "://" not in path and not os.path.isdir(path):
        raise FileNotFoundError(f"{key}: there is no folder {path}")


def _is_resampled(settings) -> bool:
    return settings.power != 1 or settings.limit > 0


def _check_resampling(settings, path: str) -> None:
    if settings.power != 1 and settings.limit:
        raise ValueError(
            f"{path} has power {settings.power} and limit {settings.limit}; keep one"
        )


def _check_paths(config) -> None:
    for key in ("data.train", "data.validation", "data.label_map", "init.checkpoint"):
        _check_folder(_value(config, key), f"config.{key}")
    transition = config.loss.transition
    if transition and not os.path.exists(transition):
        raise FileNotFoundError(f"config.loss.transition: there is no {transition}")
    source = config.init.inflate
    if source and source != IMAGENET and not os.path.exists(source):
        raise FileNotFoundError(f"config.init.inflate: there is no file {source}")


def _check_combinations(config) -> None:
    for key in ("warmup", "length"):
        given_unit(f"config.schedule.{key}", config.schedule[key].to_dict())
    if given_unit("config.schedule.length", config.schedule.length.to_dict()) is None:
        raise ValueError(
            "config.schedule.length is 0, expected steps, epochs, examples"
        )
    calls = config.runtime.steps_per_call
    for key in ("log_every_steps", "checkpoint_every_steps"):
        if config.runtime[key] % calls:
            raise ValueError(
                f"config.runtime.{key} is {config.runtime[key]}, expected a multiple "
                f"of config.runtime.steps_per_call, which is {calls}"
            )
    sizes = (config.data.batch_size, config.data.global_batch_size)
    if min(sizes) < 0 or (sizes[0] > 0) == (sizes[1] > 0):
        raise ValueError(
            f"config.data.batch_size is {sizes[0]} and config.data.global_batch_size "
            f"{sizes[1]}, expected one of them to be 0 and the other 1 or more"
        )
    _check_resampling(config.data.resampling, "config.data.resampling")
    if len(config.data.short_side) not in (0, 2):
        raise ValueError(
            f"config.data.short_side is {config.data.short_side}, expected the "
            "smallest and the largest, or nothing"
        )
    if config.init.checkpoint and config.init.inflate:
        raise ValueError(
            f"config.init.checkpoint is {config.init.checkpoint!r} and "
            f"config.init.inflate {config.init.inflate!r}; keep one"
        )
    if config.loss.label_smoothing and config.loss.name != "cross_entropy":
        raise ValueError(
            f"config.loss.label_smoothing is {config.loss.label_smoothing}, and "
            f"config.loss.name {config.loss.name!r} has no label smoothing"
        )
    if config.loss.clip_weight and config.loss.clips != "loss_of_mean":
        raise ValueError(
            f"config.loss.clip_weight is {config.loss.clip_weight}, the part of the "
            "clips' own losses beside that of their mean, and config.loss.clips is "
            f"{config.loss.clips!r}; use 'loss_of_mean'"
        )
    targets = LOSS_TARGETS[config.loss.name]
    for key, least, made in (
        ("mixup", 0, "pairs"),
        ("clips_per_item", 1, "several clips"),
    ):
        value = config.data[key]
        if value > least and made not in targets:
            raise ValueError(
                f"config.data.{key} is {value}, which makes {made}, and "
                f"config.loss.name {config.loss.name!r} takes {' and '.join(targets)}"
            )
    if config.data.mixup_across and not config.data.mixup:
        raise ValueError(
            "config.data.mixup_across is True, and config.data.mixup, the alpha of its "
            "weights, is 0; set it, for example to 0.2"
        )
    forward, parts = config.data.forward, config.optimizer.accumulation_steps
    if config.data.mixup_across and forward != JOINT:
        raise ValueError(
            "config.data.mixup_across mixes clips of different sources, which with "
            f"config.data.forward {forward!r} each pass the network on their own; use "
            f"{JOINT!r}"
        )
    if config.loss.transition and config.loss.name != "forward_correction":
        raise ValueError(
            f"config.loss.transition is {config.loss.transition!r}, and "
            f"config.loss.name {config.loss.name!r} has no use for it"
        )
    if config.loss.name == "data_parameters" and parts > 1:
        raise ValueError(
            f"config.optimizer.accumulation_steps is {parts}; with config.loss.name "
            "'data_parameters' expected 1"
        )
    if forward == STEP_PER_SOURCE and parts > 1:
        raise ValueError(
            f"config.data.forward is {forward!r}, a step for each batch of a source, "
            f"and config.optimizer.accumulation_steps is {parts}, expected 1"
        )


def _check_keys(config, reference, path: str) -> None:
    unknown = sorted(set(config) - set(reference))
    if unknown:
        near = difflib.get_close_matches(unknown[0], reference, n=1)
        raise ValueError(
            f"{path}.{unknown[0]} is unknown; "
            + (f"is {near[0]} meant? " if near else "")
            + f"Known are {sorted(reference)}"
        )
    missing = sorted(set(reference) - set(config))
    if missing:
        raise ValueError(f"{path}.{missing[0]} is missing")
    for key, value in reference.items():
        if isinstance(value, config_dict.ConfigDict):
            if not isinstance(config[key], config_dict.ConfigDict):
                raise ValueError(f"{path}.{key} is {config[key]!r}, expected keys")
            if (path, key) != ("config.data", "sources"):  # named by the user
                _check_keys(config[key], value, f"{path}.{key}")


def _value(config, key: str):
    for part in key.split("."):
        config = config[part]
    return config


def _one_of(config, key: str, known) -> None:
    value = _value(config, key)
    if value not in known:
        raise ValueError(f"config.{key} is {value!r}, expected one of {list(known)}")


def _at_least(config, key: str, least) -> None:
    if _value(config, key) < least:
        raise ValueError(
            f"config.{key} is {_value(config, key)}, expected {least} or more"
        )
