"""Whether a teacher fits the dataset that it is to label."""

from __future__ import annotations

import difflib

import keras
import numpy as np
from absl import logging
from ml_collections import config_dict

from spl_tf import clips
from spl_tf.models.layers import ClipConv


def looks_over_time(model: keras.Model) -> bool:
    """Whether a network is 3D: a kernel of it is longer than one frame."""
    return any(
        isinstance(layer, ClipConv) and layer.kernel_size[0] > 1
        for layer in model.layers
    )


def check_teacher_of_images(
    checkpoint: str,
    config: config_dict.ConfigDict,
    model: keras.Model,
    dataset: clips.ClipDataset,
) -> None:
    """Refuses a 3D teacher, trained on clips, for a dataset of images.

    Args:
        checkpoint: The teacher's workdir, for messages.
        config: The config of its run.
        model: The teacher.
        dataset: The dataset that it is to label.

    Raises:
        ValueError: It is one (OmniSource, 3.4: filtering images with a 3D network that
            sees one frame made the student worse).
    """
    are_images = dataset.index.frames.max(initial=0) == 1
    if are_images and config.data.num_frames > 1 and looks_over_time(model):
        raise ValueError(
            f"{dataset.directory} has images, clips of one frame, and the teacher "
            f"{checkpoint} is a 3D network, {config.model.name}, trained on "
            f"{config.data.num_frames} frames: reduced to 2D, such teachers judge "
            "images badly, and what they filter makes the student worse (OmniSource, "
            "3.4). Use a 2D teacher (resnet_50), or --allow_3d_teacher_on_images"
        )


def check_teacher_of_frames(checkpoint: str, model: keras.Model) -> None:
    """Raises ValueError for a 3D teacher, which cannot judge each frame alone."""
    if looks_over_time(model):
        raise ValueError(
            f"--per_frame asks the teacher about each frame on its own, and "
            f"{checkpoint} is a 3D network; use a 2D teacher (resnet_50)"
        )


def outputs_of_classes(
    checkpoint: str,
    config: config_dict.ConfigDict,
    label_names: list[str],
    dataset: clips.ClipDataset,
    classes: str,
) -> np.ndarray:
    """Which output of a teacher is each class of a dataset.

    Args:
        checkpoint: The teacher's workdir, for messages.
        config: The config of its run.
        label_names: What its outputs stand for.
        dataset: The dataset that it labels.
        classes: "same" or "dataset", see `predict`.

    Returns:
        int64 [N], a place among the outputs for each of the N classes.

    Raises:
        ValueError: The teacher does not know the dataset's classes.
    """
    names = dataset.info.class_names
    if label_names == names:
        return np.arange(len(names))
    if classes == "dataset":
        return _matched(checkpoint, label_names, dataset)
    if config.data.label_map:
        raise ValueError(
            f"{checkpoint} was trained on the {len(label_names)} labels of the label "
            f"map {config.data.label_map} ({', '.join(label_names[-2:])}, ...), not on "
            f"classes: a teacher must give the {len(names)} classes of "
            f"{dataset.directory}. Fine-tune it on a dataset of these first"
        )
    raise ValueError(
        f"the teacher {checkpoint} knows {len(label_names)} classes "
        f"({', '.join(label_names[:3])}, ...), {dataset.directory} has {len(names)} "
        f"({', '.join(names[:3])}, ...); names and order must be the same. If the "
        "teacher knows all of them and more, give --classes=dataset"
    )


def _matched(
    checkpoint: str, label_names: list[str], dataset: clips.ClipDataset
) -> np.ndarray:
    places = {name: place for place, name in enumerate(label_names)}
    names = dataset.info.class_names
    if missing := [name for name in names if name not in places]:
        near = difflib.get_close_matches(missing[0], label_names, n=1)
        raise ValueError(
            f"the teacher {checkpoint} does not know {len(missing)} of the "
            f"{len(names)} classes of {dataset.directory}: {', '.join(missing)}. "
            + (f"It has {near[0]!r}, if that is meant; n" if near else "N")
            + "ames must be the same"
        )
    others = sorted(set(label_names) - set(names))
    logging.info(
        "%d of the teacher's classes are none of the dataset's, and their probability "
        "goes to those that are: %s",
        len(others),
        ", ".join(others),
    )
    return np.array([places[name] for name in names])
