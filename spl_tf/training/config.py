"""The configuration of a training run: its keys, their defaults and their rules."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from ml_collections import config_dict

from spl_tf.clips.frame_shape import RGB_CHANNELS, height_and_width
from spl_tf.data.sampling import SAMPLINGS
from spl_tf.distribution.strategies import STRATEGIES
from spl_tf.models import (
    DEFAULT_NORMALIZATION,
    GATINGS,
    MODEL_NAMES,
    S3D_GATINGS,
    pixel_statistics,
)
from spl_tf.models.inflation import IMAGENET
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
    "data.sampling": SAMPLINGS,
    "data.on_bad_record": ("error", "skip"),
    "schedule.shape": SHAPES,
    "runtime.strategy": STRATEGIES,
}


def default_config() -> config_dict.ConfigDict:
    """All keys of a training run; experiment configs start from here.

    The defaults are the paper's where it names a value (section 4.2). Learning rates
    are those at `optimizer.reference_batch_size` clips per step and are scaled
    linearly to the batch size of the run.
    """
    config = config_dict.ConfigDict()
    config.seed = 0
    config.model = config_dict.create(
        # Of pixels: "symmetric" for [-1, 1], or (mean, std) of pixels in [0, 1], a
        # number per channel each; see `models.pixel_statistics`.
        normalization=_any_type(DEFAULT_NORMALIZATION),
        name="r3d_50_g",
        dropout=0.5,
        projection_dim=0,  # of a linear layer before the classifier; 0 for none
        width=1.0,  # factor on the channels
        depth=1.0,  # factor on the cells of each stage
        gating="",  # where gates stand; empty for where the name puts them
        gating_bias=True,
        last_stage_kernels=(),  # temporal, of its cells in turn; (1, 3, 1) is NL's
        shared_middle=False,  # of r2plus1d_18 and _34: torchvision's middle channels
        batch_norm_epsilon=0.0,  # 0 for the network's own
        synchronized_batch_norm=False,
        # Of activations between cells, in a training step: less memory, more time.
        recompute=False,
        precision="float32",
    )
    config.data = config_dict.create(
        # Dataset folder. Or empty, and sources: by name, see `default_source`.
        train="",
        sources=config_dict.ConfigDict(),
        # Clips of an item in a batch, next to each other; see loss.clips.
        clips_per_item=1,
        # Alpha of Beta(alpha, alpha), with which items are mixed in pairs; 0 for none.
        mixup=0.0,
        # Whose clips make an epoch, of several sources; empty for the first one.
        epoch_of="",
        validation="",  # dataset folder; empty for no evaluation
        label_map="",  # folder of a LabelMap; empty for the labels in the records
        num_frames=16,
        stride=4,
        # Of SAMPLINGS: a run of frames at the stride, or one of each of num_frames
        # segments.
        sampling=SAMPLINGS[0],
        crop_size=_any_type(224),  # side of a square, or (height, width)
        # Clips of a batch, of one replica. Or those of a whole step, over all replicas
        # and accumulated batches; then batch_size is 0.
        batch_size=6,
        global_batch_size=0,
        flip=True,
        # Shorter side to scale frames to before the crop in evaluation and prediction;
        # 0 takes them as they are stored.
        test_short_side=0,
        short_side=(),  # range that frames are scaled to before the crop; () for none
        # Classes of N clips are drawn in proportion to N^power, or to min(N, limit).
        resampling=config_dict.create(power=1.0, limit=0),
        on_bad_record="error",  # or "skip": the next clip of the plan, and a warning
    )
    config.augmentation = config_dict.create(
        brightness=32 / 255, contrast=0.5, saturation=0.5, hue=0.2
    )
    config.loss = config_dict.create(
        name="cross_entropy",
        label_smoothing=0.0,  # of cross_entropy
        # Of several clips of an item: "mean_of_losses", or "loss_of_mean" logits.
        clips="mean_of_losses",
        data_parameters_mode="instance",
        # Of forward_correction: a saved ConfusionMatrix of noisy labels (rows) and true
        # classes; empty for the clips' labels and their teacher's predictions.
        transition="",
    )
    config.loss.anchor = config_dict.create(
        gamma=0.5, slack=0.05, anchor="negative", form="sigmoid", warm_up_epochs=5
    )
    config.optimizer = config_dict.create(
        learning_rate=0.4,
        reference_batch_size=384,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-7,
        clip_norm=0.0,  # of the whole batch's gradient; 0 for no limit
        # Batches per step. Each is normalised with statistics of its own: those of its
        # clips on one replica, or on all with model.synchronized_batch_norm.
        accumulation_steps=1,
        moving_average=0.0,  # decay of an average of the weights; 0 for none
    )
    # Lengths are given in one unit; the other two are 0.
    config.schedule = config_dict.create(
        warmup=config_dict.create(epochs=10.0, steps=0, examples=0),
        warmup_start=0.1,  # of the learning rate
        length=config_dict.create(epochs=150.0, steps=0, examples=0),
        shape="cosine",
        boundaries=(0.5, 0.75),  # of shape "step": shares of the length
        factor=0.1,  # of shape "step"
        halvings=13,  # of shape "halving"
    )
    # What this run's weights start from: the workdir of another run, or a 2D network
    # to inflate: "imagenet", a `.weights.h5` or a `weights.npz`.
    config.init = config_dict.create(checkpoint="", keep_head=False, inflate="")
    # Where and how often, which does not change the mathematics: a run that goes on
    # may have others.
    config.runtime = config_dict.create(
        strategy="auto",
        tpu="",  # name of the TPU, for strategy "tpu"
        # Of memory, in each process, for training clips that stay decoded.
        cache_gb=0.0,
        startup_timeout=300.0,  # seconds in which all of several processes must be up
        xla=False,
        steps_per_call=50,
        log_every_steps=100,
        checkpoint_every_steps=1000,
        keep_checkpoints=2,
    )
    return config.lock()


def _any_type(default: Any) -> config_dict.FieldReference:
    """A default for a key that also takes values of other types."""
    return config_dict.FieldReference(default, field_type=object)


def default_source() -> config_dict.ConfigDict:
    """All keys of one of `config.data.sources`."""
    return config_dict.create(
        dataset="",  # its folder
        share=1.0,  # of each batch, in proportion to those of the other sources
        labels=config_dict.create(
            # Of LABEL_KINDS: the record's own, a LabelMap's, the teacher's first
            # choice, those of an Assignment, or of a record's several labels one,
            # drawn at random, or all.
            kind="record",
            path="",  # of the label map, or the assignment
            redraw=False,  # of one_of: anew in each epoch
        ),
        # See `spl_tf.labels.filters.ClipFilter`.
        filter=config_dict.create(
            exclude_ids="",  # file of media ids, one a line
            agreement=False,
            min_confidence=0.0,
            keep_fraction=1.0,
            per_class=True,
        ),
        resampling=config_dict.create(power=1.0, limit=0),
    )


def source_shares(sources: Mapping[str, Any], batch_size: int) -> dict[str, int]:
    """Clips of each source in a batch of one replica, exactly by share.

    Args:
        sources: `config.data.sources`.
        batch_size: Clips of a batch.

    Raises:
        ValueError: A share is not positive, or does not give whole clips; the message
            has the nearest possible batches.
    """
    shares = {
        name: Fraction(settings.share).limit_denominator(10**6)
        for name, settings in sources.items()
    }
    for name, share in shares.items():
        if share <= 0:
            raise ValueError(
                f"config.data.sources.{name}.share is {sources[name].share}, expected "
                "more than 0: a source without clips must go"
            )
    whole = sum(shares.values())
    sizes = {name: batch_size * share / whole for name, share in shares.items()}
    if all(size.denominator == 1 for size in sizes.values()):
        return {name: int(size) for name, size in sizes.items()}
    unit = math.lcm(*((share / whole).denominator for share in shares.values()))
    below = batch_size // unit * unit
    nearest = " or ".join(str(size) for size in (below, below + unit) if size)
    found = ", ".join(f"{name} {float(size):g}" for name, size in sizes.items())
    raise ValueError(
        f"config.data.sources: their shares of a batch of {batch_size} clips are "
        f"{found}, expected whole numbers; the nearest possible batch is {nearest}"
    )


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
        pixel_statistics(config.model.normalization, RGB_CHANNELS)
    _check_paths(config)
    _check_combinations(config)


@contextlib.contextmanager
def _names_key(key: str) -> Iterator[None]:
    """Puts a key before what is wrong with its value."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"config.{key} {error}") from error


def replica_batch_size(config: config_dict.ConfigDict, replicas: int) -> int:
    """Clips of a batch of one replica.

    Args:
        config: A training's whole config.
        replicas: How many replicas all processes have together.

    Raises:
        ValueError: The batch of a step does not divide over replicas and accumulated
            batches.
    """
    whole = config.data.global_batch_size
    if not whole:
        return config.data.batch_size
    accumulation = config.optimizer.accumulation_steps
    parts = replicas * accumulation
    if whole % parts:
        raise ValueError(
            f"config.data.global_batch_size is {whole}, expected a multiple of "
            f"{parts}: {replicas} replicas x config.optimizer.accumulation_steps "
            f"{accumulation}"
        )
    return whole // parts


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
    targets = LOSS_TARGETS[config.loss.name]
    if config.data.mixup and "pairs" not in targets:
        raise ValueError(
            f"config.data.mixup is {config.data.mixup}, which makes pairs of labels, "
            f"and config.loss.name {config.loss.name!r} takes {' and '.join(targets)}"
        )
    if config.data.clips_per_item > 1 and "several clips" not in targets:
        raise ValueError(
            f"config.data.clips_per_item is {config.data.clips_per_item}, and "
            f"config.loss.name {config.loss.name!r} takes {' and '.join(targets)}"
        )
    if config.loss.transition and config.loss.name != "forward_correction":
        raise ValueError(
            f"config.loss.transition is {config.loss.transition!r}, and "
            f"config.loss.name {config.loss.name!r} has no use for it"
        )
    accumulation = config.optimizer.accumulation_steps
    if config.loss.name == "data_parameters" and accumulation > 1:
        raise ValueError(
            f"config.optimizer.accumulation_steps is {accumulation}; with "
            "config.loss.name 'data_parameters' expected 1"
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
