"""What stages do, each in a process of its own: the calls of the stages' own binaries.

An action returns facts about its result, as JSON has them. One of them is `count`, how
much was done, in the action's unit; times of further stages are estimated from it.
"""

from __future__ import annotations

import os
from typing import Any

from ml_collections import config_dict

from experiments.evaluate import evaluate
from experiments.pipeline.task import Action, Task
from experiments.pipeline.trainings import INPUT_KEYS
from experiments.synthetic import render
from spl_tf import training
from spl_tf.clips import DatasetInfo
from tfrecords_tools.conversion.conversion import FileSettings, RunOptions
from tfrecords_tools.convert_images import convert_images
from tfrecords_tools.convert_tfds import TfdsSettings, convert_tfds
from tfrecords_tools.convert_videos import ConversionSettings, convert_videos


def run(task: Task) -> dict[str, Any]:
    """Does what a task says.

    Returns:
        Facts, with `bytes`, the size of the output.

    Raises:
        TrainingStopped: SIGTERM came; the same task continues.
        Exception: What the action's function raises.
    """
    facts = task.action(task)
    return facts | {"bytes": size_of(task.output)}


def size_of(folder: str) -> int:
    """Bytes of all files of a folder."""
    return sum(
        os.path.getsize(os.path.join(parent, name))
        for parent, _, names in os.walk(folder)
        for name in names
    )


def _render(task: Task) -> dict[str, Any]:
    config = config_dict.ConfigDict(task.settings)
    summary = render.render(config, task.output, task.share.processes)
    return {**summary, "count": summary["num_frames"]}


def _convert(task: Task) -> dict[str, Any]:
    convert = _CONVERTERS[task.settings["kind"]]
    run_options = RunOptions(
        num_workers=task.options["processes"] or task.share.processes,
        max_skipped_fraction=task.options["max_skipped_fraction"],
    )
    info = convert(task, run_options)
    return {
        "count": info.num_clips,
        "clips": info.num_clips,
        "classes": len(info.class_names),
        "skipped": len(info.skipped),
    }


def _convert_videos(task: Task, run_options: RunOptions) -> DatasetInfo:
    return convert_videos(
        task.inputs["manifest"],
        task.inputs["classes"],
        task.output,
        # A stage that knows it alone is moved with the workdir.
        task.settings["root"] or task.inputs.get("root", ""),
        ConversionSettings(**_conversion_settings(task)),
        run_options,
    )


def _convert_images(task: Task, run_options: RunOptions) -> DatasetInfo:
    return convert_images(
        task.inputs["classes"],
        task.output,
        task.settings["root"],
        task.inputs.get("manifest", ""),
        FileSettings(**_conversion_settings(task)),
        run_options,
    )


def _convert_tfds(task: Task, run_options: RunOptions) -> DatasetInfo:
    return convert_tfds(
        task.settings["name"],
        task.settings["split"],
        task.output,
        task.settings["data_dir"],
        TfdsSettings(**_conversion_settings(task)),
        run_options,
    )


def _conversion_settings(task: Task) -> dict[str, Any]:
    settings = dict(task.settings["settings"])
    if "exclude_ids" in task.inputs:
        settings["exclude_ids"] = task.inputs["exclude_ids"]
    return settings


_CONVERTERS = {
    "videos": _convert_videos,
    "images": _convert_images,
    "tfds": _convert_tfds,
}


def training_config(task: Task) -> config_dict.ConfigDict:
    """The whole config of a training, from the task of its stage."""
    config = config_dict.ConfigDict(task.settings | task.options)
    keys = {name: INPUT_KEYS.get(name, name) for name in task.inputs}
    config.update_from_flattened_dict(
        {key: task.inputs[name] for name, key in keys.items() if "." in key}
    )
    return config


def _train(task: Task) -> dict[str, Any]:
    results = training.train(training_config(task), task.output)
    return {**results, "count": results["steps"]}


def predict(task: Task) -> dict[str, Any]:
    """Writes a dataset with the predictions of a network, or of several that vote.

    Returns:
        `count`, the number of its clips.
    """
    inputs = dict(task.inputs)
    dataset = inputs.pop("dataset")
    info = training.predict(
        list(inputs.values()), dataset, task.output, **task.settings
    )
    return {"count": info.num_clips}


def _evaluate(task: Task) -> dict[str, Any]:
    report = evaluate(
        task.inputs["checkpoint"],
        task.inputs["dataset"],
        task.output,
        train_dataset=task.inputs.get("train_dataset", ""),
        **task.settings,
    )
    metrics = {k: v for k, v in report.results.items() if k != "settings"}
    return {**metrics, "count": metrics["clips"]}


def _report(task: Task) -> dict[str, Any]:
    # Here and not above: the report's own libraries load when it is made.
    from experiments.report import build_report

    return {
        "count": 1,
        "page": os.path.relpath(build_report(task.workdir), task.workdir),
    }


ACTIONS: dict[str, Action] = {
    "render": _render,
    "convert": _convert,
    "train": _train,
    "predict": predict,
    "evaluate": _evaluate,
    "report": _report,
}
