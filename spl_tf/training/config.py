"""The configuration of a training run: its keys, their defaults and their rules."""

from __future__ import annotations

import os

from ml_collections import config_dict

from spl_tf.models import MODEL_NAMES

STRATEGIES = ("auto", "one", "mirrored")


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
        synchronized_batch_norm=False,
    )
    config.data = config_dict.create(
        train="",  # dataset folder
        validation="",  # dataset folder; empty for no evaluation
        label_map="",  # folder of a LabelMap; empty for the labels in the records
        num_frames=16,
        stride=4,
        crop_size=224,
        batch_size=6,  # per replica
        flip=True,
    )
    config.augmentation = config_dict.create(
        brightness=32 / 255, contrast=0.5, saturation=0.5, hue=0.2
    )
    config.optimizer = config_dict.create(
        learning_rate=0.4,
        reference_batch_size=384,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-7,
        label_smoothing=0.0,
    )
    # Lengths are given in one unit; the other two are 0.
    config.schedule = config_dict.create(
        warmup=config_dict.create(epochs=10.0, steps=0, examples=0),
        cosine=config_dict.create(epochs=150.0, steps=0, examples=0),
        warmup_start=0.1,  # of the learning rate
    )
    # The workdir of another run, whose weights this one starts from.
    config.init = config_dict.create(checkpoint="", keep_head=False)
    config.runtime = config_dict.create(
        strategy="auto",
        steps_per_call=50,
        log_every_steps=100,
        checkpoint_every_steps=1000,
    )
    return config.lock()


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks a whole configuration, before any work.

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A path does not exist; the message names the key.
    """
    _check_keys(config, default_config(), "config")
    _one_of("model.name", config.model.name, MODEL_NAMES)
    _one_of("runtime.strategy", config.runtime.strategy, STRATEGIES)
    for key in ("data.num_frames", "data.stride", "data.crop_size", "data.batch_size"):
        _at_least(config, key, 1)
    for key in ("steps_per_call", "log_every_steps", "checkpoint_every_steps"):
        _at_least(config, f"runtime.{key}", 1)
    _at_least(config, "optimizer.reference_batch_size", 1)
    for key in ("optimizer.learning_rate", "optimizer.weight_decay"):
        _at_least(config, key, 0)
    for key in ("optimizer.momentum", "optimizer.label_smoothing", "model.dropout"):
        value = _value(config, key)
        if not 0 <= value < 1:
            raise ValueError(f"config.{key} is {value}, expected 0 to below 1")
    if not config.data.train:
        raise ValueError("config.data.train is empty, expected a dataset folder")
    for key in ("data.train", "data.validation", "data.label_map", "init.checkpoint"):
        path = _value(config, key)
        if path and not os.path.isdir(path):
            raise FileNotFoundError(f"config.{key}: there is no folder {path}")
    calls = config.runtime.steps_per_call
    for key in ("log_every_steps", "checkpoint_every_steps"):
        if config.runtime[key] % calls:
            raise ValueError(
                f"config.runtime.{key} is {config.runtime[key]}, expected a multiple "
                f"of config.runtime.steps_per_call, which is {calls}"
            )


def _check_keys(config, reference, path: str) -> None:
    unknown = sorted(set(config) - set(reference))
    if unknown:
        raise ValueError(
            f"{path}.{unknown[0]} is unknown; known are {sorted(reference)}"
        )
    missing = sorted(set(reference) - set(config))
    if missing:
        raise ValueError(f"{path}.{missing[0]} is missing")
    for key, value in reference.items():
        if isinstance(value, config_dict.ConfigDict):
            _check_keys(config[key], value, f"{path}.{key}")


def _value(config, key: str):
    for part in key.split("."):
        config = config[part]
    return config


def _one_of(key: str, value, known) -> None:
    if value not in known:
        raise ValueError(f"config.{key} is {value!r}, expected one of {list(known)}")


def _at_least(config, key: str, least) -> None:
    if _value(config, key) < least:
        raise ValueError(
            f"config.{key} is {_value(config, key)}, expected {least} or more"
        )
