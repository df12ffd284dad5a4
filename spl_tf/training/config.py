"""The configuration of a training run: its keys, their defaults and their rules."""

from __future__ import annotations

import difflib
import os

from ml_collections import config_dict

from spl_tf.distribution.strategies import STRATEGIES
from spl_tf.models import GATINGS, MODEL_NAMES
from spl_tf.models.inflation import IMAGENET
from spl_tf.training.objectives import LOSSES
from spl_tf.training.schedules import SHAPES, given_unit

PRECISIONS = ("float32", "mixed_bfloat16")

_CHOICES = {
    "model.name": MODEL_NAMES,
    "model.precision": PRECISIONS,
    "model.gating": ("", *GATINGS),
    "loss.name": LOSSES,
    "loss.data_parameters_mode": ("class", "instance", "joint"),
    "loss.anchor.anchor": ("negative", "positive"),
    "loss.anchor.form": ("sigmoid", "softmax"),
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
        name="r3d_50_g",
        dropout=0.5,
        projection_dim=0,  # of a linear layer before the classifier; 0 for none
        width=1.0,  # factor on the channels
        depth=1.0,  # factor on the cells of each stage
        gating="",  # where gates stand; empty for where the name puts them
        gating_bias=True,
        last_stage_kernels=(),  # temporal, of its cells in turn; (1, 3, 1) is NL's
        synchronized_batch_norm=False,
        precision="float32",
    )
    config.data = config_dict.create(
        train="",  # dataset folder
        validation="",  # dataset folder; empty for no evaluation
        label_map="",  # folder of a LabelMap; empty for the labels in the records
        num_frames=16,
        stride=4,
        crop_size=224,
        # Clips of a batch, of one replica. Or those of a whole step, over all replicas
        # and accumulated batches; then batch_size is 0.
        batch_size=6,
        global_batch_size=0,
        flip=True,
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


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks a whole configuration, before any work.

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A path does not exist; the message names the key.
    """
    _check_keys(config, default_config(), "config")
    for key, known in _CHOICES.items():
        _one_of(config, key, known)
    # NumPy's and Keras' generators take no others.
    if not isinstance(config.seed, int) or not 0 <= config.seed < 2**32:
        raise ValueError(
            f"config.seed is {config.seed!r}, expected a whole number from 0 to "
            f"{2**32 - 1}"
        )
    for key in ("data.num_frames", "data.stride", "data.crop_size"):
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
    _check_paths(config)
    _check_combinations(config)


def replica_batch_size(config: config_dict.ConfigDict, replicas: int) -> int:
    """Clips of a batch of one replica.

    Args:
        config: Of the run.
        replicas: Of all processes.

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


def _check_paths(config) -> None:
    if not config.data.train:
        raise ValueError("config.data.train is empty, expected a dataset folder")
    for key in ("data.train", "data.validation", "data.label_map", "init.checkpoint"):
        path = _value(config, key)
        if path and "://" not in path and not os.path.isdir(path):
            raise FileNotFoundError(f"config.{key}: there is no folder {path}")
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
    sampling = config.data.resampling
    if sampling.power != 1 and sampling.limit:
        raise ValueError(
            f"config.data.resampling has power {sampling.power} and limit "
            f"{sampling.limit}; keep one"
        )
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
