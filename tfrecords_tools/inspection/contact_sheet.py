"""A picture of some clips of a dataset with their labels.

It is drawn without pyplot, so that no display is needed and no global state touched.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from spl_tf import clips
from spl_tf.clips import keys, wire
from spl_tf.clips.jpeg import BadJpegError, decode_jpeg
from spl_tf.motion.flow_encoding import MAX_FLOW, decode_flow, from_image_file
from tfrecords_tools.inspection.flow_picture import (
    color_wheel,
    flow_arrows,
    flow_colors,
    full_speed,
)

# Inches.
_CELL_WIDTH = 1.9
_GAP = 0.14
_CAPTION = 0.36
_HEADING = 0.34
_MARGIN = 0.25
_TITLE = 0.5
_INNER_GAP = 0.04  # between a frame and its flow
_WHEEL = 0.42

# Width / height; frames of other shapes get borders.
_NARROWEST, _WIDEST = 0.75, 1.8

# What fits into the width of a cell, in letters of the three sizes.
_HEADING_LENGTH = 17
_CAPTION_LENGTH = 30
_ID_LENGTH = 38

_WHEEL_PIXELS = 200
# The scale of flow has no zero: what is still is stored as half a step.
_NO_FLOW = 1.5 * MAX_FLOW / 255

_INK, _FAINT = "#111827", "#d1d5db"
_AGREES, _DISAGREES, _QUIET = "#1a7f37", "#c2410c", "#6b7280"


class _Page:
    """A figure on which things are placed in inches from the upper left corner."""

    def __init__(self, width: float, height: float):
        self.width, self._height = width, height
        self._figure = Figure(figsize=(width, height), dpi=120, facecolor="white")
        FigureCanvasAgg(self._figure)

    def write(self, left: float, base: float, text: str, size: float, **style) -> None:
        self._figure.text(
            left / self.width,
            1 - base / self._height,
            " ".join(text.split()),
            fontsize=size,
            va="baseline",
            parse_math=False,  # a dollar sign in a name is no formula
            **style,
        )

    def show(self, left, top, width, height, image: Image.Image) -> Axes:
        axes = self._figure.add_axes(
            (
                left / self.width,
                1 - (top + height) / self._height,
                width / self.width,
                height / self._height,
            )
        )
        axes.imshow(image, interpolation="lanczos")
        axes.set_anchor("SW")
        axes.set_axis_off()
        return axes

    def save(self, path: str) -> None:
        buffer = io.BytesIO()
        self._figure.savefig(buffer, format="png")
        clips.write_atomically(path, buffer.getvalue())


@dataclasses.dataclass(frozen=True)
class _Cell:
    """What is shown of a clip: its middle frame, and the flow there, if it has any."""

    clip: clips.Clip
    image: Image.Image
    flow: np.ndarray | None


def draw_contact_sheet(
    dataset: clips.ClipDataset,
    path: str,
    rows: int = 8,
    columns: int = 6,
    seed: int = 0,
) -> list[np.ndarray]:
    """Draws a grid of clips: a row per class, the middle frame of each clip.

    Beside a frame stands the optical flow from it to the next, where records have it:
    its direction as hue, as the wheel at the sheet's head tells, its speed as
    saturation, on a scale of its own, and some arrows.

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
        cells = [[_read_cell(reader.read(row)) for row in group] for group in groups]
    flows = any(cell.flow is not None for group in cells for cell in group)
    width = 2 * _CELL_WIDTH + _INNER_GAP if flows else _CELL_WIDTH
    height = _cell_height([cell.image for group in cells for cell in group])
    step = _HEADING + height + _CAPTION
    widest = max(map(len, groups))
    page = _Page(
        2 * _MARGIN + widest * (width + _GAP) - _GAP,
        _TITLE + len(groups) * step + _MARGIN,
    )
    page.write(_MARGIN, 0.3, _title(dataset, len(groups)), 10, color=_QUIET)
    if flows:
        _draw_legend(page)
    for number, group in enumerate(groups):
        top = _TITLE + number * step + _HEADING
        heading = _heading(
            dataset, group, int(_HEADING_LENGTH * widest * width / _CELL_WIDTH)
        )
        page.write(_MARGIN, top - 0.1, heading, 11, weight="bold")
        for column, cell in enumerate(cells[number]):
            left = _MARGIN + column * (width + _GAP)
            _draw_cell(page, left, top, height, cell, dataset.info.class_names)
    page.save(path)
    return groups


def _read_cell(record: bytes) -> _Cell:
    clip = clips.parse_clip(record)
    return _Cell(clip, _middle_frame(clip), _middle_flow(clip, record))


def _draw_cell(page: _Page, left, top, height, cell: _Cell, class_names) -> None:
    page.show(left, top, _CELL_WIDTH, height, cell.image)
    if cell.flow is not None:
        _draw_flow(page, left + _CELL_WIDTH + _INNER_GAP, top, height, cell.flow)
    text, color = _caption(cell.clip, class_names)
    page.write(left, top + height + 0.15, text, 7.5, color=color)
    page.write(left, top + height + 0.27, _short_id(cell.clip.id), 6, color=_QUIET)


def _draw_flow(page: _Page, left, top, height, flow: np.ndarray) -> None:
    fastest = full_speed(flow)
    axes = page.show(left, top, _CELL_WIDTH, height, flow_colors(flow, fastest))
    axes.add_patch(  # else much of a picture without motion is paper
        Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, color=_FAINT)
    )
    places, moves, side = flow_arrows(flow, fastest)
    axes.autoscale(False)
    if len(places):
        style = {"angles": "xy", "scale_units": "xy", "pivot": "mid", "color": _INK}
        scale = fastest / side  # the fastest are as long as their square
        axes.quiver(*places.T, *moves.T, scale=scale, width=0.009, **style)
    text = f"full colour from {fastest:.1f} pixels"
    page.write(left, top + height + 0.15, text, 7.5, color=_QUIET)


def _draw_legend(page: _Page) -> None:
    """The colour wheel, at the right of the title."""
    left = page.width - _MARGIN - _WHEEL
    page.show(left, 0.06, _WHEEL, _WHEEL, color_wheel(_WHEEL_PIXELS))
    text = "flow to the next frame"
    page.write(left - 0.08, 0.3, text, 7.5, color=_QUIET, ha="right")


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


def _middle_flow(clip: clips.Clip, record: bytes) -> np.ndarray | None:
    """The flow from the middle frame, float32 [H, W, 2], in pixels; None without."""
    try:
        _, lists = wire.example_parts(record, 0, len(record))
        images = wire.step_values(record, lists, keys.FLOW_ENCODED)
        if not images:
            return None
        flow = decode_flow(from_image_file(images[len(images) // 2]))
    except ValueError as error:
        raise ValueError(
            f"clip {clip.id!r}: the middle image of its flow cannot be decoded: "
            f"{error}; look for other faults with --validate"
        ) from error
    flow[np.abs(flow) < _NO_FLOW] = 0
    return flow


def _cell_height(images: Sequence[Image.Image]) -> float:
    ratios = [image.width / image.height for image in images]
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
