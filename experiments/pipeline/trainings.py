"""Stages that train a network."""

from __future__ import annotations

import os
from typing import Any

from ml_collections import config_dict

from experiments.pipeline.stages import Input, Stage
from spl_tf import training
from spl_tf.models.inflation import IMAGENET
from spl_tf.training.config import default_source
from tfrecords_tools.conversion.manifest import root_of

# The keys of a training's config that inputs of its stage fill in. Inputs of other
# names are keys themselves if they have a dot, and else only decide the result.
INPUT_KEYS = {
    "train": "data.train",
    "label_map": "data.label_map",
    "checkpoint": "init.checkpoint",
}


def training_stage(
    name: str,
    recipe: config_dict.ConfigDict,
    output: str,
    seed: int | None = None,
    **inputs: Input,
) -> Stage:
    """The stage of a training.

    Args:
        name: Name of the stage.
        recipe: Config of the training, but for what `inputs` say.
        output: Folder of the run, as in `Stage`.
        seed: Seed that it belongs to; None for a stage that all seeds share.
        **inputs: By name of `INPUT_KEYS`, or by key of the config, such as
            `data.sources.web.dataset`.
    """
    settings = recipe.to_dict()
    options = {"runtime": settings.pop("runtime")}
    inputs = _files_of(settings) | inputs
    defaults = training.default_config().to_dict()
    for source in settings["data"]["sources"]:
        defaults["data"]["sources"][source] = default_source().to_dict()
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
        settings: Config of the training.
        path: Where it is, for messages, such as "config.finetune".

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A file does not exist; the message names the key.
    """
    data = settings.data
    given = [data.train, data.validation, data.label_map]
    given += [source.dataset for source in data.sources.values()]
    if any(given):
        raise ValueError(
            f"{path}.data names {next(filter(None, given))!r}; train, validation, "
            "label_map and a source's dataset must be empty: the stages before say "
            "what they are"
        )
    if settings.runtime.strategy == "multi_worker":
        raise ValueError(
            f"{path}.runtime.strategy is 'multi_worker', and the pipeline runs on one "
            "machine; run `experiments.train` on each of several"
        )
    settings = settings.copy_and_resolve_references()
    # The real ones do not exist yet.
    for source in settings.data.sources.values():
        source.dataset = os.curdir
        if source.clips.kind == "perspective":
            source.clips.motion = os.curdir
        if source.labels.kind == "assignment":
            source.labels.path = os.curdir
    if not settings.data.sources:
        settings.data.train = os.curdir
    try:
        training.check_config(settings)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{path}: {error}") from error
