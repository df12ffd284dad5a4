"""How an evaluation looks at clips: views, the paper's one view, or a linear probe."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from spl_tf.clips import ClipDataset
from spl_tf.inference.evaluation import Views, score
from spl_tf.inference.features import clip_features
from spl_tf.inference.linear_probe import score_linear
from spl_tf.inference.scores import Scores
from spl_tf.inference.shared_evaluation import SharedEvaluation

PROTOCOLS = ("views", "paper", "linear")


def check_protocol(
    protocol: str,
    looks: tuple[int, int, int | None],
    train_dataset: str,
    fully_convolutional: bool,
    strength: float | None,
) -> None:
    """Raises ValueError for arguments of an evaluation that do not fit together.

    Args:
        protocol: One of `PROTOCOLS`.
        looks: Its num_clips, num_crops and num_frames.
        train_dataset: What protocol "linear" learns from; else empty.
        fully_convolutional: Whether every position of a view is classified.
        strength: Of the linear classifier's penalty, if it is given.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known are {PROTOCOLS}")
    if protocol == "paper" and looks != (1, 1, None):
        raise ValueError(
            "protocol paper has one view, and num_clips, num_crops, num_frames are "
            f"{looks}; use protocol views"
        )
    if protocol == "linear" and fully_convolutional:
        raise ValueError("protocol linear has no classifier to apply to all positions")
    if strength is not None and protocol != "linear":
        raise ValueError(f"strength is {strength:g}, and protocol {protocol} has none")
    if (protocol == "linear") != bool(train_dataset):
        raise ValueError(
            f"protocol is {protocol} and train_dataset {train_dataset!r}; protocol "
            "linear needs a train_dataset, the others take none"
        )


def check_classes(checkpoint: str, label_names: list[str], test: ClipDataset) -> None:
    """Raises ValueError unless a model tells the dataset's classes apart."""
    found = test.info.class_names
    if found != label_names:
        raise ValueError(
            f"the model {checkpoint} knows {len(label_names)} classes "
            f"({', '.join(label_names[:3])}, ...), {test.directory} has {len(found)} "
            f"({', '.join(found[:3])}, ...); names and order must be the same. "
            "Fine-tune the model on these classes, or use protocol linear"
        )


def find_scores(
    settings: dict[str, Any],
    model: keras.Model,
    devices: tf.distribute.Strategy,
    test: ClipDataset,
    views: Views,
    batch_size: int,
    multi_label: bool,
    shared: SharedEvaluation | None = None,
) -> Scores | None:
    """Scores the clips of a dataset.

    Args:
        settings: How, as the results are to say; with `linear` there is a linear probe:
            its `train_dataset`, `seed` and `strengths`.
        model: Network that gives logits; a linear probe does without its head.
        devices: The devices that it runs on, in one process.
        test: The clips.
        views: How each clip is looked at.
        batch_size: Clips per replica, each with all its views.
        multi_label: Whether the model's labels are on their own.
        shared: This process's part, where several share the work.

    Returns:
        The scores with their settings; None while other processes have work to do.
    """
    look = (model, devices, test, views, batch_size)
    if "linear" in settings:
        find = shared.features if shared else clip_features
        scores, settings = _score_linear(settings, find, *look)
    else:
        scores = (shared.score if shared else score)(*look, multi_label)
    if scores is None:
        return None
    bad = len(test) - len(scores.rows)
    if bad:
        settings = settings | {"bad_records_skipped": bad}
    return dataclasses.replace(scores, settings=settings)


def _score_linear(settings, find, model, devices, test, views, batch_size):
    """Scores, and settings that also say what was chosen how; see `score_linear`."""
    linear = settings["linear"]
    found = score_linear(
        model,
        devices,
        ClipDataset(linear["train_dataset"]),
        test,
        views,
        batch_size,
        linear["seed"],
        linear["strengths"],
        find,
    )
    if found is None:
        return None, settings
    scores, probe = found
    held_out = {f"{k:g}": v for k, v in probe.held_out.items()}
    results = {"strength": probe.strength, f"held_out_{probe.metric}": held_out}
    return scores, settings | {"linear": linear | results}
