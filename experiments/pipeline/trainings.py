"""Stages that train a network."""

from __future__ import annotations

import os
from typing import Any

from ml_collections import config_dict

from experiments.pipeline.stages import Input, Stage
from spl_tf import training
from spl_tf.models.inflation import IMAGENET
from tfrecords_tools.conversion.manifest import root_of


def training_stage(
    name: str,
    recipe: config_dict.ConfigDict,
    output: str,
    seed: int | None = None,
    **inputs: Input,
) -> Stage:
    """A training.

    Args:
        name: What the stage is called.
        recipe: Config of the training, but for what `inputs` say.
        output: Its folder.
        seed: See `Stage`.
        **inputs: `train` (a dataset), and perhaps `label_map` and `checkpoint`.
    """
    settings = recipe.to_dict()
    options = {"runtime": settings.pop("runtime")}
    inputs = _files_of(settings) | inputs
    defaults = training.default_config().to_dict()
    return Stage(
        name, "train", settings, inputs, output, options, seed, defaults=defaults
    )


def _files_of(settings: dict[str, Any]) -> dict[str, Input]:
    """What a recipe itself names: the content decides the output, not only the path."""
    init, found = settings["init"], {}
    if init["checkpoint"]:
        found["checkpoint"] = Input("weights", root_of(init["checkpoint"]))
    if init["inflate"] not in ("", IMAGENET):
        found["inflate"] = Input("content", root_of(init["inflate"]))
    if settings["loss"]["transition"]:
        transition = root_of(settings["loss"]["transition"])
        found["transition"] = Input("content", transition)
    return found


def check_recipe(settings: config_dict.ConfigDict, path: str) -> None:
    """Checks the config of a training whose data the stages before will make.

    Args:
        settings: The config.
        path: Of it, for example "config.finetune".

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A file does not exist; the message names the key.
    """
    given = settings.data.train or settings.data.validation or settings.data.label_map
    if given:
        raise ValueError(
            f"{path}.data names {given!r}; train, validation and label_map must be "
            "empty: the stages before say what they are"
        )
    if settings.runtime.strategy == "multi_worker":
        raise ValueError(
            f"{path}.runtime.strategy is 'multi_worker', and the pipeline runs on one "
            "machine; run `experiments.train` on each of several"
        )
    settings = settings.copy_and_resolve_references()
    settings.data.train = os.curdir  # the real one does not exist yet
    try:
        training.check_config(settings)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{path}: {error}") from error
