"""The rules of what a configuration makes of clips: frames, images, flow."""

from __future__ import annotations

import os

from ml_collections.config_dict import ConfigDict

from spl_tf.clips.frame_shape import FLOW
from spl_tf.data.image_clips import IMAGE_KINDS
from spl_tf.training.config import SNIPPETS

_FRAMES = "frames"
CLIP_KINDS = (_FRAMES, SNIPPETS, *IMAGE_KINDS)


def check_strides(config: ConfigDict) -> None:
    """Raises ValueError for strides that cannot be drawn from."""
    strides = tuple(config.data.strides)
    if not all(isinstance(each, int) and each >= 1 for each in strides):
        raise ValueError(
            f"config.data.strides are {strides}, expected whole numbers from 1, or ()"
        )
    if strides and config.data.sampling == "segments":
        raise ValueError(
            f"config.data.strides are {strides}, and config.data.sampling is "
            "'segments', which has no stride; use 'consecutive', or ()"
        )


def check_modality(config: ConfigDict) -> None:
    """Raises ValueError for what flow, where it is trained on, does not have."""
    if config.data.modality != FLOW:
        return
    strengths = {key: value for key, value in config.augmentation.items() if value}
    if strengths:
        found = ", ".join(
            f"config.augmentation.{key} is {value:g}"
            for key, value in strengths.items()
        )
        raise ValueError(
            f"{found}, and config.data.modality is {FLOW!r}, which has no colours to "
            "change; expected 0"
        )
    for name, settings in config.data.sources.items():
        if settings.clips.kind != _FRAMES:
            raise ValueError(
                f"config.data.sources.{name}.clips.kind is {settings.clips.kind!r}, "
                f"single images, and config.data.modality is {FLOW!r}, which is "
                f"between frames of a video; use {_FRAMES!r}"
            )


def check_clips(config: ConfigDict, settings: ConfigDict, path: str) -> None:
    """Checks how the items of a source become clips.

    Args:
        config: The whole configuration.
        settings: The source's part of it.
        path: The key of the source's `clips`, for messages.

    Raises:
        ValueError: A value is impossible, or does not go with others.
        FileNotFoundError: There is no file of the motion of cameras.
    """
    clips, labels = settings.clips, settings.labels
    if clips.kind not in CLIP_KINDS:
        raise ValueError(
            f"{path}.kind is {clips.kind!r}, expected one of {list(CLIP_KINDS)}"
        )
    for key in ("step", "min_confidence"):
        if not 0 <= clips[key] <= 1:
            raise ValueError(f"{path}.{key} is {clips[key]}, expected 0 to 1")
    if clips.kind == SNIPPETS:
        _check_snippets(config, labels, path)
    elif clips.min_confidence:
        raise ValueError(
            f"{path}.min_confidence is for kind {SNIPPETS!r}, and the kind is "
            f"{clips.kind!r}; see filter.min_confidence for whole clips"
        )
    if (clips.kind == "perspective") != bool(clips.motion):
        raise ValueError(
            f"{path} has kind {clips.kind!r} and motion {clips.motion!r}; kind "
            "'perspective' needs a file of `python -m experiments.fit_camera_motion`, "
            "others have none"
        )
    if clips.motion and not os.path.exists(clips.motion):
        raise FileNotFoundError(f"{path}.motion: there is no {clips.motion}")
    if clips.motion and config.data.sampling == "segments":
        raise ValueError(
            f"{path}.kind is 'perspective', which moves as frames at a stride do, and "
            "config.data.sampling is 'segments'; use kind 'still'"
        )
    if clips.motion and config.data.strides:
        raise ValueError(
            f"{path}.kind is 'perspective', which moves as frames at one stride do, "
            f"and config.data.strides are {tuple(config.data.strides)}; use kind "
            "'still', or one stride"
        )
    drawn_anew = labels.kind == "all" or labels.redraw
    if clips.by_class and (not clips.motion or drawn_anew):
        raise ValueError(
            f"{path}.by_class is for kind 'perspective' and clips with one label, and "
            f"the kinds are {clips.kind!r} and, of labels, {labels.kind!r}"
        )


def _check_snippets(config, labels, path: str) -> None:
    if config.data.sampling != "segments":
        raise ValueError(
            f"{path}.kind is {SNIPPETS!r}, single frames from a whole video, and "
            f"config.data.sampling is {config.data.sampling!r}; use 'segments'"
        )
    if labels.kind not in ("record", "teacher"):
        raise ValueError(
            f"{path}.kind is {SNIPPETS!r}, frames in which the teacher sees a clip's "
            f"class, and {labels.kind!r} labels are others; use labels.kind 'record' "
            "or 'teacher'"
        )
