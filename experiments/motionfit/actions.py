"""What only this paper's stages do, each in a process of its own."""

from __future__ import annotations

import os
from typing import Any

from experiments.motionfit.labelled import choose_labelled as choose
from experiments.motionfit.stages import FEATURES_FILE
from experiments.pipeline.task import Task

QUERIES_FILE, GALLERY_FILE = "queries.npz", "gallery.npz"
_SHOWN_CLUSTERS = 24


def add_flow(task: Task) -> dict[str, Any]:
    """Copies a dataset with optical flow in its records.

    Returns:
        `count`, its clips.
    """
    from tfrecords_tools.add_flow import FlowSettings, add_flow  # OpenCV loads with it
    from tfrecords_tools.conversion.resuming import RunOptions

    processes = task.options["processes"] or task.share.processes
    info = add_flow(
        task.inputs["dataset"],
        task.output,
        FlowSettings(**task.settings),
        RunOptions(num_workers=processes),
    )
    return {"count": info.num_clips}


def choose_labelled(task: Task) -> dict[str, Any]:
    """Chooses which of the target's clips are labelled.

    Returns:
        `count` and `labelled`, how many are; `rest`, how many are not.
    """
    labelled, rest = choose(task.inputs["dataset"], task.output, **task.settings)
    return {"count": labelled, "labelled": labelled, "rest": rest}


def extract_features(task: Task) -> dict[str, Any]:
    """Features of a dataset's clips as a network sees them.

    Returns:
        `count`, how many clips; `size`, how many numbers each has.
    """
    os.makedirs(task.output, exist_ok=True)
    path = os.path.join(task.output, FEATURES_FILE)
    return _extract(task, "dataset", path)


def _extract(task: Task, dataset: str, path: str) -> dict[str, Any]:
    from spl_tf.inference.feature_extraction import extract_features

    found = extract_features(
        task.inputs["checkpoint"], task.inputs[dataset], path, **task.settings
    )
    return {"count": len(found.features), "size": found.features.shape[1]}


def cluster(task: Task) -> dict[str, Any]:
    """Clusters features; the clusters are labels.

    Returns:
        `count` and `clips`, those that are in a cluster; `clusters`; and against the
        records' own labels `purity` and `nmi`, the normalised mutual information, None
        where there are none.
    """
    from experiments.cluster_features import cluster_features

    found = cluster_features(
        task.inputs["features"],
        output_dir=task.output,
        dataset=task.inputs["dataset"],
        exclude_ids=task.inputs.get("exclude_ids", ""),
        shown_clusters=_SHOWN_CLUSTERS,
        **task.settings,
    )
    return {
        "count": found["clips"],
        "clips": found["clips"],
        "clusters": len(found["sizes"]),
        "purity": found["purity"],
        "nmi": found["normalized_mutual_information"],
    }


def retrieve(task: Task) -> dict[str, Any]:
    """Looks for the gallery's clips that are nearest to each query.

    Returns:
        `count`, the queries; `recall`, the share of them with a clip of their class
        among the n nearest, by n as text.
    """
    from experiments.retrieve import retrieve

    os.makedirs(task.output, exist_ok=True)
    paths = []
    for name, file in (("queries", QUERIES_FILE), ("gallery", GALLERY_FILE)):
        paths.append(os.path.join(task.output, file))
        _extract(task, name, paths[-1])
    found = retrieve(
        *paths,
        task.output,
        query_dataset=task.inputs["queries"],
        gallery_dataset=task.inputs["gallery"],
    )
    return {"count": found["queries"], "recall": found["recall"]}
