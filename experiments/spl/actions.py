"""What only this paper's stages do, each in a process of its own."""

from __future__ import annotations

from typing import Any

from experiments import build_labels as binary
from experiments.pipeline import actions
from experiments.pipeline.task import Task


def predict(task: Task) -> dict[str, Any]:
    """Predicts with the teacher, and compares with the queries.

    Returns:
        `count`, and `noise_ratio`, the share of clips in which they differ.
    """
    facts = actions.predict(task)
    confusion = binary.confusion_of_dataset(task.output)
    return facts | {"noise_ratio": confusion.noise_ratio}


def build_labels(task: Task) -> dict[str, Any]:
    """Builds the label map of a row, and prints how it compares with others.

    Returns:
        `labels`, how many there are; `clips` and `kept`, how many clips have one, and
        what share; `cover`, the share whose cell has its own label.
    """
    result = binary.build_labels(
        task.output,
        task.settings["strategy"],
        dataset=task.inputs["dataset"],
        num_labels=task.settings["num_labels"],
    )
    print(result.table, *result.notes, sep="\n")
    label_map = result.label_map
    return {
        "count": 1,
        "labels": label_map.num_labels,
        "clips": label_map.num_kept,
        "kept": label_map.kept_ratio,
        "cover": label_map.sample_cover_ratio,
    }
