"""Records -> decoded clips: chosen frames only, cropped while they are decoded."""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import (
    CHANNELS,
    RGB,
    CropSize,
    crop_text,
    height_and_width,
)
from spl_tf.data.frames import Frames, Room, open_frames, scratch
from spl_tf.data.records import BadRecordError, RecordView, view_record
from spl_tf.data.sampling import Window

_ALIGNMENT = 64  # TensorFlow takes an array over without a copy from such an address
_RGBA_CHANNELS = 4

# Clips are decoded in parallel already.
cv2.setNumThreads(1)


@dataclasses.dataclass(frozen=True)
class View:
    """One look at a clip.

    Attributes:
        frames: Places of the frames in the clip, T of them.
        window: The part of them that is cut out, (top, left, height, width).
        flip: Whether the part is mirrored left-right.
        warps: Instead of both, float64 [T, 3, 3]: for each pixel (column, row, 1) that
            is made, its place in the frame.
    """

    frames: Sequence[int]
    window: Window
    flip: bool = False
    warps: np.ndarray | None = None


# (frames of the clip, their rows, their columns, what `load` was given) -> views.
ChooseViews = Callable[[int, int, int, Any], Sequence[View]]


class ClipLoader:
    """Reads and decodes clips of one dataset, from any thread."""

    def __init__(
        self,
        dataset: ClipDataset,
        choose_views: ChooseViews,
        crop_size: CropSize,
        needs_label: bool = True,
        needs_teacher: bool = False,
        scales: bool = False,
        cache_bytes: int = 0,
        modality: str = RGB,
    ):
        """Opens nothing yet.

        Args:
            dataset: The dataset whose clips are read.
            choose_views: Says which frames and windows of a clip to decode.
            crop_size: Size of the decoded frames: the side of a square in pixels, or
                (height, width).
            needs_label: Whether a label outside the classes is an error.
            needs_teacher: Whether a teacher's prediction outside them is one.
            scales: Whether views are scaled, so that frames may be smaller than the
                crop.
            cache_bytes: Records and their decoded frames, of up to this many bytes,
                stay in memory.
            modality: What is decoded, one of `CHANNELS`: the frames, or the flow
                between them.
        """
        self._dataset = dataset
        self._modality = modality
        self._reader = dataset.reader()
        self._choose_views = choose_views
        # Of what is decoded: rows, columns, channels.
        self.frame_shape = (*height_and_width(crop_size), CHANNELS[modality])
        self._scales = scales
        self._checked = {"label": needs_label, "teacher": needs_teacher}
        self._kept: dict[int, Frames] = {}
        self._room = Room(cache_bytes)

    def load(self, row: int, chooses: Any, out: np.ndarray) -> tuple[bytes, int, int]:
        """Decodes the views of one clip.

        Args:
            row: The clip's position in the index.
            chooses: What the views are chosen with.
            out: uint8 [V, T, *frame_shape], is filled.

        Returns:
            The record's id, label and teacher's first choice (-1 where it has none).

        Raises:
            BadRecordError: The record is damaged or not what it should be; the message
                names shard, row and clip.
            OSError: The shard cannot be read.
        """
        frames = self._kept.get(row)
        if frames is None:
            frames = self._open(row)
        record = frames.record
        try:
            self._decode(frames, chooses, out)
        except BadRecordError as error:
            raise BadRecordError(self._describe(row, record.id, error)) from error
        return record.id, record.label, record.teacher

    def _open(self, row: int) -> Frames:
        """Reads and checks a record, and keeps it where there is room."""
        try:
            data = self._reader.read(row)
        except ValueError as error:  # names shard and row itself
            raise BadRecordError(str(error)) from error
        clip_id = b""
        try:
            record = view_record(data, self._modality)
            clip_id = record.id
            self._check(row, record)
            frames = open_frames(record, self._modality)
        except BadRecordError as error:
            raise BadRecordError(self._describe(row, clip_id, error)) from error
        if self._room.take(len(data)):
            frames.room = self._room
            self._kept[row] = frames
        return frames

    def _describe(self, row: int, clip_id: bytes, error: BadRecordError) -> str:
        dataset, name = self._dataset, clip_id.decode(errors="replace")
        shard = dataset.index.shard_names[dataset.index.shard[row]]
        crop = f" --crop_size={crop_text(self.frame_shape[:2], ',')}"
        crop = "" if self._scales else crop
        return (
            f"{os.path.join(dataset.directory, shard)}, row {row}, clip {name!r}: "
            f"{error}. Run `python -m tfrecords_tools.inspect_records "
            f"{dataset.directory} --validate{crop}` to see all that is wrong"
        )

    def _check(self, row: int, record: RecordView) -> None:
        index = self._dataset.index
        found = {
            "label": record.label,
            "teacher": record.teacher,
            "frames": len(record.frames),
        }
        listed = {name: int(getattr(index, name)[row]) for name in found}
        if found != listed:
            raise BadRecordError(
                f"the record has {found}, its row in index.npz {listed}: the index "
                "belongs to other records; inspect_records --reindex --overwrite makes "
                "it again"
            )
        num_classes = len(self._dataset.info.class_names)
        for name, is_needed in self._checked.items():
            if is_needed and not 0 <= found[name] < num_classes:
                raise BadRecordError(
                    f"its {name} is {found[name]}, expected 0 to {num_classes - 1}"
                )

    def _decode(self, frames: Frames, chooses: Any, out: np.ndarray) -> None:
        height, width = frames.size
        rows, columns, _ = self.frame_shape
        if not self._scales and (height < rows or width < columns):
            raise BadRecordError(
                f"its frames are {height} x {width}, smaller than the crop of "
                f"{crop_text((rows, columns))}"
            )
        views = self._choose_views(len(frames), height, width, chooses)
        for view, images in zip(views, out, strict=True):
            decode_view(frames, view, images)


def decode_view(frames: Frames, view: View, out: np.ndarray) -> None:
    """Decodes the view's window, scales it where sizes differ, and mirrors it.

    A frame that comes twice in a row is made once. What is warped is sampled once,
    bilinearly, beyond the edges the frame's outermost pixels.

    Args:
        frames: The clip's frames, decoded as they are needed.
        view: Which of them to take, and how.
        out: uint8 [T, height, width, C], is filled.

    Raises:
        BadRecordError: A frame that is needed does not decode.
    """
    if view.warps is not None:
        _warp_view(frames, view, out)
        return
    top, left, height, width = view.window
    for place, frame in enumerate(view.frames):
        if place and frame == view.frames[place - 1]:
            out[place] = out[place - 1]
            continue
        image = frames.image(frame)[top : top + height, left : left + width]
        frames.put(image, view.flip, out[place])


def _warp_view(frames: Frames, view: View, out: np.ndarray) -> None:
    source = None
    height, width = out.shape[1:3]
    warped = scratch(height, width, _RGBA_CHANNELS)
    for place, (frame, warp) in enumerate(zip(view.frames, view.warps, strict=True)):
        if source is None or frame != view.frames[place - 1]:
            image = frames.image(frame)
            # OpenCV warps four channels in less than half the time of three.
            source = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
        cv2.warpPerspective(
            source,
            warp,
            (width, height),
            dst=warped,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, dst=out[place])


class ClipBuffers:
    """Memory for batches of one shape, used again when nothing refers to it any more.

    The system would clear fresh memory page by page, which takes as long as a tenth of
    the decoding.
    """

    def __init__(self, *shape: int):
        """Takes no memory yet.

        Args:
            shape: Shape of the arrays that `take` gives, in uint8.
        """
        self._shape = shape
        self._free: list[bytearray] = []

    def take(self) -> np.ndarray:
        """Returns an array of arbitrary content that TensorFlow need not copy."""
        size = int(np.prod(self._shape))
        try:
            memory = self._free.pop()
        except IndexError:
            memory = bytearray(size + _ALIGNMENT)
        owner = np.frombuffer(memory, np.uint8)
        # All views of it, TensorFlow's too, keep the owner alive.
        weakref.finalize(owner, self._free.append, memory).atexit = False
        start = -owner.ctypes.data % _ALIGNMENT
        return owner[start : start + size].reshape(self._shape)
