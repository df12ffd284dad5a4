"""A picture of some clips of a dataset with their labels.

It is drawn without pyplot, so that no display is needed and no global state touched.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from spl_tf import clips
from spl_tf.clips.jpeg import BadJpegError, decode_jpeg

# Inches.
_CELL_WIDTH = 1.9
_GAP = 0.14
_CAPTION = 0.36
_HEADING = 0.34
_MARGIN = 0.25
_TITLE = 0.5

# Width / height; frames of other shapes get borders.
_NARROWEST, _WIDEST = 0.75, 1.8

# What fits into the width of a cell, in letters of the three sizes.
_HEADING_LENGTH = 17
_CAPTION_LENGTH = 30
_ID_LENGTH = 38

_AGREES, _DISAGREES, _QUIET = "#1a7f37", "#c2410c", "#6b7280"


class _Page:
    """A figure on which things are placed in inches from the upper left corner."""

    def __init__(self, width: float, height: float):
        self._width, self._height = width, height
        self._figure = Figure(figsize=(width, height), dpi=120, facecolor="white")
        FigureCanvasAgg(self._figure)

    def write(self, left: float, base: float, text: str, size: float, **style) -> None:
        self._figure.text(
            left / self._width,
            1 - base / self._height,
            " ".join(text.split()),
            fontsize=size,
            va="baseline",
            parse_math=False,  # a dollar sign in a name is no formula
            **style,
        )

    def show(self, left, top, width, height, image: Image.Image) -> None:
        axes = self._figure.add_axes(
            (
                left / self._width,
                1 - (top + height) / self._height,
                width / self._width,
                height / self._height,
            )
        )
        axes.imshow(image, interpolation="lanczos")
        axes.set_anchor("SW")
        axes.set_axis_off()

    def save(self, path: str) -> None:
        buffer = io.BytesIO()
        self._figure.savefig(buffer, format="png")
        clips.write_atomically(path, buffer.getvalue())


def draw_contact_sheet(
    dataset: clips.ClipDataset,
    path: str,
    rows: int = 8,
    columns: int = 6,
    seed: int = 0,
) -> list[np.ndarray]:
    """Draws a grid of clips: a row per class, the middle frame of each clip.

    Over each row stands the label, under each frame the teacher's first choice where
    there is one (green when it agrees with the label, orange when not) and the id.

    Args:
        dataset: A dataset with at least one clip.
        path: PNG file to write, which replaces a former one.
        rows: Classes to show, at most; drawn at random from those with clips.
        columns: Clips per class, at most; drawn at random.
        seed: Decides which classes and clips are drawn.

    Returns:
        Per class, the index rows of the clips shown.

    Raises:
        ValueError: The dataset is empty, or a frame cannot be decoded.
    """
    groups = _choose(dataset, rows, columns, seed)
    with dataset.reader() as reader:
        shown = [
            [clips.parse_clip(reader.read(row)) for row in group] for group in groups
        ]
    images = [[_middle_frame(clip) for clip in group] for group in shown]
    height = _cell_height(images)
    step = _HEADING + height + _CAPTION
    widest = max(map(len, groups))
    page = _Page(
        2 * _MARGIN + widest * (_CELL_WIDTH + _GAP) - _GAP,
        _TITLE + len(groups) * step + _MARGIN,
    )
    page.write(_MARGIN, 0.3, _title(dataset, len(groups)), 10, color=_QUIET)
    for number, group in enumerate(groups):
        top = _TITLE + number * step + _HEADING
        heading = _heading(dataset, group, _HEADING_LENGTH * widest)
        page.write(_MARGIN, top - 0.1, heading, 11, weight="bold")
        for column, clip in enumerate(shown[number]):
            left = _MARGIN + column * (_CELL_WIDTH + _GAP)
            page.show(left, top, _CELL_WIDTH, height, images[number][column])
            text, color = _caption(clip, dataset.info.class_names)
            page.write(left, top + height + 0.15, text, 7.5, color=color)
            short_id = _short_id(clip.id)
            page.write(left, top + height + 0.27, short_id, 6, color=_QUIET)
    page.save(path)
    return groups


def _choose(dataset, rows: int, columns: int, seed: int) -> list[np.ndarray]:
    labels = dataset.index.label
    if not len(labels):
        raise ValueError(f"{dataset.directory} has no clip to show")
    random = np.random.default_rng(seed)
    classes = np.unique(labels)
    classes = np.sort(random.permutation(classes)[:rows])
    return [
        np.sort(random.permutation(np.flatnonzero(labels == label))[:columns])
        for label in classes
    ]


def _middle_frame(clip: clips.Clip) -> Image.Image:
    frame = len(clip.frames) // 2
    try:
        return Image.fromarray(decode_jpeg(clip.frames[frame]))
    except BadJpegError as error:
        raise ValueError(
            f"clip {clip.id!r}: frame {frame} cannot be decoded: it {error}; look for "
            "other faults with --validate"
        ) from error


def _cell_height(images: Sequence[Sequence[Image.Image]]) -> float:
    ratios = [image.width / image.height for group in images for image in group]
    return _CELL_WIDTH / float(np.clip(np.median(ratios), _NARROWEST, _WIDEST))


def _title(dataset: clips.ClipDataset, shown: int) -> str:
    name = os.path.basename(os.path.normpath(dataset.directory))
    classes = len(dataset.info.class_names)
    counted = f"{len(dataset):,} clips, {classes:,} classes"
    some = f", {shown:,} shown" if shown < classes else ""
    return _shortened(f"{name}: {counted}{some}", _ID_LENGTH)


def _heading(dataset: clips.ClipDataset, group: np.ndarray, length: int) -> str:
    label = int(dataset.index.label[group[0]])
    return _shortened(f"{label}: {dataset.info.class_names[label]}", length)


def _caption(clip: clips.Clip, class_names: Sequence[str]) -> tuple[str, str]:
    if not clip.teacher_index:
        return f"{len(clip.frames)} frames", "black"
    choice = clip.teacher_index[0]
    confidence = "".join(f" {value:.0%}" for value in clip.teacher_confidence[:1])
    name = _shortened(class_names[choice], _CAPTION_LENGTH - len("teacher:  100%"))
    color = _AGREES if choice == clip.label_index else _DISAGREES
    return f"teacher: {name}{confidence}", color


def _shortened(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _short_id(clip_id: str) -> str:
    # Folders say little, and the end tells clips of one video apart.
    clip_id = clip_id.rsplit("/", 1)[-1]
    if len(clip_id) <= _ID_LENGTH:
        return clip_id
    half = _ID_LENGTH // 2
    return f"{clip_id[: half - 1]}…{clip_id[-half:]}"
