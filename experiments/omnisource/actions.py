"""What only this paper's stages do, each in a process of its own."""

from __future__ import annotations

import os
from typing import Any

from experiments.build_labels import confusion_of_dataset
from experiments.omnisource.stages import MOTION_FILE
from experiments.pipeline import actions
from experiments.pipeline.task import Task


def predict(task: Task) -> dict[str, Any]:
    """Predicts with a teacher.

    Returns:
        `count`, and `noise_ratio`, the share of items whose query the teacher does not
        see.
    """
    facts = actions.predict(task)
    return facts | {"noise_ratio": confusion_of_dataset(task.output).noise_ratio}


def find_duplicates(task: Task) -> dict[str, Any]:
    """Looks for near-copies of the target's validation clips.

    Returns:
        `count`, the clips that were looked at; `pairs` that are alike; `excluded`,
        how many media are left out; `threshold`, the cosine above which a pair counts.
    """
    # Here and not above: faiss and the page's libraries load with it.
    from experiments.find_duplicates import find_duplicates

    settings = task.settings
    found = find_duplicates(
        task.inputs["dataset"],
        task.inputs["against"],
        task.output,
        task.inputs.get("checkpoint") or settings["checkpoint"],
        threshold=settings["threshold"] or None,
        num_frames=settings["num_frames"],
        overwrite=True,
    )
    return {
        "count": found["clips"] + found["against_clips"],
        "pairs": found["pairs"],
        "excluded": found["excluded_media"],
        "threshold": found["settings"]["threshold"],
    }


def filter_clips(task: Task) -> dict[str, Any]:
    """Tells what a source's filter keeps of each class.

    Returns:
        `count` and `clips`, those before it, and `kept`, those after.
    """
    from experiments.filter_clips import filter_clips  # plots load with it

    rules = dict(task.settings["filter"])
    rules["exclude_ids"] = task.inputs.get("exclude_ids", "")
    labels = "teacher" if task.settings["labels"] == "teacher" else "record"
    kept = filter_clips(task.inputs["dataset"], task.output, rules, labels)
    return {"count": kept.before, "clips": kept.before, "kept": kept.after}


def camera_motion(task: Task) -> dict[str, Any]:
    """Fits how the target's cameras move.

    Returns:
        `count`, the pairs of frames in which it was measured.
    """
    from experiments.fit_camera_motion import fit  # OpenCV loads with it

    os.makedirs(task.output, exist_ok=True)
    motion = fit(
        task.inputs["dataset"],
        os.path.join(task.output, MOTION_FILE),
        task.settings["num_frames"],
        task.settings["stride"],
        task.settings["max_clips"],
        task.settings["seed"],
    )
    return {"count": int(motion.pairs.sum())}
