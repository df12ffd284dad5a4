"""What only this paper's stages do, each in a process of its own."""

from __future__ import annotations

import os
import shutil
from typing import Any

import numpy as np

from experiments.ig65m.stages import CLASSES_FILE, MANIFEST_FILE, QUERIES_FILE
from experiments.pipeline.actions import training_config
from experiments.pipeline.task import Task
from tfrecords_tools.make_manifest import ManifestSettings
from tfrecords_tools.make_manifest import make_manifest as write_manifest
from tfrecords_tools.make_queries import make_hashtags
from tfrecords_tools.make_subset import SubsetSettings
from tfrecords_tools.make_subset import make_subset as write_subset
from tfrecords_tools.subsets.table import read_table

LEFT_OUT_FILE = "left_out.csv"


def make_queries(task: Task) -> dict[str, Any]:
    """Writes the hashtags of a label space.

    Returns:
        `count`, the hashtags; `labels`; `shared`, hashtags of several labels.
    """
    words = {key: task.inputs.get(key, "") for key in ("classes", "verbs", "nouns")}
    queries, shared = make_hashtags(
        os.path.join(task.output, QUERIES_FILE),
        posts=_posts(task) if words["verbs"] else (),
        **task.settings,
        **words,
    )
    return {
        "count": len(queries),
        "labels": len({query.label for query in queries}),
        "shared": len(shared),
    }


def make_manifest(task: Task) -> dict[str, Any]:
    """Gives posts the labels of their hashtags.

    Returns:
        `count` and `videos`, posts that can be used; `posts`, those listed; `left_out`,
        the others, by reason; and `of_label`, how many videos each label has,
        descending.
    """
    root = task.settings["root"] or task.inputs["root"]
    path = os.path.join(task.output, MANIFEST_FILE)
    summary = write_manifest(
        "hashtags",
        root,
        path,
        os.path.join(task.output, CLASSES_FILE),
        _posts(task),
        left_out_output=os.path.join(task.output, LEFT_OUT_FILE),
        settings=ManifestSettings(
            queries=task.inputs["queries"], min_videos=task.settings["min_videos"]
        ),
    )
    left_out = {
        reason: sum(counts.get(reason, 0) for counts in summary.counts.values())
        for reason in summary.examples
    }
    return {
        "count": summary.num_rows,
        "videos": summary.num_rows,
        "posts": summary.num_rows + sum(left_out.values()),
        "left_out": left_out,
        "of_label": videos_of_labels(path),
    }


def videos_of_labels(manifest: str) -> list[int]:
    """How many rows of a manifest have each of its labels, descending."""
    counts = np.bincount(read_table(manifest).labels.values)
    return np.sort(counts)[::-1].tolist()


def make_subset(task: Task) -> dict[str, Any]:
    """Chooses the videos of a pre-training.

    Returns:
        `count` and `videos`, how many.
    """
    settings = task.settings | {"like": task.inputs.get("like", "")}
    os.makedirs(task.output, exist_ok=True)
    classes = os.path.join(task.output, CLASSES_FILE)
    of_labels = bool(settings.get("num_labels"))
    (summary,) = write_subset(
        task.inputs["manifest"],
        os.path.join(task.output, MANIFEST_FILE),
        SubsetSettings(**settings),
        classes_output=classes if of_labels else "",
    )
    if not of_labels:
        shutil.copyfile(task.inputs["classes"], classes)
    return {"count": summary.videos, "videos": summary.videos}


def tune(task: Task) -> dict[str, Any]:
    """Fine-tunes with the learning rate that is best on what is held out.

    Returns:
        As `training.train`, of the winner, with `winner`, its rate, and `tried`.
    """
    from experiments.tune import tune as search

    config = training_config(task)
    with config.unlocked():
        settings = config.tuning
        del config.tuning
    found = search(config, task.output, **settings)
    results = found["results"]
    tried = {key: found[key] for key in ("winner", "tried")}
    return {**results, **tried, "count": results["steps"]}


def _posts(task: Task) -> list[str]:
    names = [name for name in task.inputs if name.startswith("posts")]
    return [task.inputs[f"posts{number}"] for number in range(len(names))]
