"""Records -> decoded clips: chosen frames only, cropped while they are decoded."""

from __future__ import annotations

import dataclasses
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import (
    RGB_CHANNELS,
    CropSize,
    crop_text,
    height_and_width,
)
from spl_tf.clips.jpeg import BadJpegError, decode_jpeg, frame_header, jpeg_size
from spl_tf.data.records import BadRecordError, RecordView, view_record
from spl_tf.data.sampling import Window

_SIZE_BYTES = 9  # of a JPEG's frame header, up to the columns
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
        """
        self._dataset = dataset
        self._reader = dataset.reader()
        self._choose_views = choose_views
        # Of what is decoded: rows, columns, channels.
        self.frame_shape = (*height_and_width(crop_size), RGB_CHANNELS)
        self._scales = scales
        self._checked = {"label": needs_label, "teacher": needs_teacher}
        self._kept: dict[int, _Frames] = {}
        self._room = _Room(cache_bytes)

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

    def _open(self, row: int) -> _Frames:
        """Reads and checks a record, and keeps it where there is room."""
        try:
            data = self._reader.read(row)
        except ValueError as error:  # names shard and row itself
            raise BadRecordError(str(error)) from error
        clip_id = b""
        try:
            record = view_record(data)
            clip_id = record.id
            self._check(row, record)
            frames = _Frames(record)
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

    def _decode(self, frames: _Frames, chooses: Any, out: np.ndarray) -> None:
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


class _Room:
    """Memory for what is kept, up to a limit; counts from any thread.

    What two threads read at the same time is counted twice, and kept once.
    """

    def __init__(self, num_bytes: int):
        self._left = num_bytes
        self._lock = threading.Lock()

    def take(self, num_bytes: int) -> bool:
        """Whether there was room for so much; then it is taken."""
        with self._lock:
            fits = num_bytes <= self._left
            self._left -= num_bytes * fits
        return fits


_NO_ROOM = _Room(0)


class _Frames:
    """The frames of a clip, which stay decoded while there is room."""

    def __init__(self, record: RecordView):
        self.record = record
        self.room = _NO_ROOM
        # Where the first frame's JPEG states its size, and how: mostly as all others.
        first = record.jpeg(0)
        try:
            self.size = jpeg_size(first)
        except BadJpegError as error:
            raise BadRecordError(f"frame 0 {error}") from error
        self._place = frame_header(first)
        self._header = first[self._place : self._place + _SIZE_BYTES]
        self._images: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.record.frames)

    def image(self, frame: int) -> np.ndarray:
        """A frame, uint8 [H, W, 3], which may be overwritten by the thread's next one.

        Raises:
            BadRecordError: It has not the first frame's size, or does not decode.
        """
        image = self._images.get(frame)
        if image is None:
            try:
                image = self._decode(self.record.jpeg(frame))
            except BadJpegError as error:
                raise BadRecordError(f"frame {frame} {error}") from error
            if self.room.take(image.nbytes):
                self._images[frame] = image = image.copy()
        return image

    def _decode(self, jpeg: bytes) -> np.ndarray:
        if jpeg[self._place : self._place + _SIZE_BYTES] != self._header:
            found = jpeg_size(jpeg)
            if found != self.size:
                raise BadJpegError(
                    f"is {found[0]} x {found[1]}, frame 0 is "
                    f"{self.size[0]} x {self.size[1]}"
                )
        # In Python, not in the graph: simplejpeg's libjpeg-turbo is faster on whole
        # frames than TensorFlow's on the crop, lets go of the interpreter's lock, and
        # only here is it known which frame of which clip does not decode.
        return decode_jpeg(jpeg, _scratch(*self.size))


def decode_view(frames: _Frames, view: View, out: np.ndarray) -> None:
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
    fits = (height, width) == out.shape[1:3]
    for place, frame in enumerate(view.frames):
        if place and frame == view.frames[place - 1]:
            out[place] = out[place - 1]
            continue
        image = frames.image(frame)[top : top + height, left : left + width]
        if not fits:
            image = resize(image, out.shape[1:3])
        _copy(image, view.flip, out[place])


def _warp_view(frames: _Frames, view: View, out: np.ndarray) -> None:
    source = None
    height, width = out.shape[1:3]
    warped = _scratch(height, width, _RGBA_CHANNELS)
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


_thread = threading.local()


def _scratch(height: int, width: int, channels: int = RGB_CHANNELS) -> np.ndarray:
    """Room for a frame, kept by each thread for the next one of that size."""
    kept = _thread.__dict__.get(channels)
    if kept is None or kept.shape[:2] != (height, width):
        kept = np.empty((height, width, channels), np.uint8)
        _thread.__dict__[channels] = kept
    return kept


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scales an image, uint8 [H, W, C], to (rows, columns), with antialiasing."""
    with tf.device("CPU:0"):
        resized = tf.round(tf.image.resize(image, size, antialias=True))
        return tf.cast(resized, tf.uint8).numpy()


def _copy(image: np.ndarray, flip: bool, out: np.ndarray) -> None:
    if not flip:
        out[...] = image
        return
    # Channel by channel is three times as fast as pixel by pixel.
    for channel in range(out.shape[-1]):
        out[:, :, channel] = image[:, ::-1, channel]


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
