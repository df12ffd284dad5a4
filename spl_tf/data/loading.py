"""Records -> decoded clips: chosen frames only, cropped while they are decoded."""

from __future__ import annotations

import dataclasses
import os
import threading
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import simplejpeg
import tensorflow as tf
from absl import logging

from spl_tf.clips import ClipDataset
from spl_tf.data.records import (
    BadRecordError,
    RecordView,
    frame_header,
    jpeg_size,
    view_record,
)

_SIZE_BYTES = 9  # of a JPEG's frame header, up to the columns
_ALIGNMENT = 64  # TensorFlow takes an array over without a copy from such an address


@dataclasses.dataclass(frozen=True)
class View:
    """One look at a clip.

    Attributes:
        frames: Which frames.
        window: Which part of them, (top, left, height, width).
        flip: Whether it is mirrored left-right.
    """

    frames: Sequence[int]
    window: tuple[int, int, int, int]
    flip: bool = False


# (frames of the clip, their rows, their columns, random draws of the clip) -> views.
ChooseViews = Callable[[int, int, int, np.ndarray], Sequence[View]]


class ClipLoader:
    """Reads and decodes clips of one dataset, from any thread."""

    def __init__(
        self,
        dataset: ClipDataset,
        choose_views: ChooseViews,
        size: int,
        needs_label: bool = True,
        needs_teacher: bool = False,
        scales: bool = False,
    ):
        """Opens nothing yet.

        Args:
            dataset: The clips.
            choose_views: What to decode of each.
            size: Side of the decoded frames in pixels.
            needs_label: Whether a label outside the classes is an error.
            needs_teacher: Whether a teacher's prediction outside them is one.
            scales: Whether views are scaled, so that frames may be smaller than `size`.
        """
        self._dataset = dataset
        self._reader = dataset.reader()
        self._choose_views = choose_views
        self._size = size
        self._scales = scales
        self._checked = {"label": needs_label, "teacher": needs_teacher}

    def load(
        self, row: int, draws: np.ndarray, out: np.ndarray
    ) -> tuple[bytes, int, int]:
        """Decodes the views of one clip.

        Args:
            row: Of the index.
            draws: float32, what the views are chosen with.
            out: uint8 [V, T, size, size, 3], is filled.

        Returns:
            The record's id, label and teacher's first choice (-1 where it has none).

        Raises:
            BadRecordError: The record is damaged or not what it should be; the message
                names shard, row and clip.
            OSError: The shard cannot be read.
        """
        try:
            data = self._reader.read(row)
        except ValueError as error:  # names shard and row itself
            raise BadRecordError(str(error)) from error
        clip_id = ""
        try:
            record = view_record(data)
            clip_id = record.id.decode(errors="replace")
            self._check(row, record)
            self._decode(record, draws, out)
        except BadRecordError as error:
            raise BadRecordError(self._describe(row, clip_id, error)) from error
        return record.id, record.label, record.teacher

    def _describe(self, row: int, clip_id: str, error: BadRecordError) -> str:
        dataset = self._dataset
        shard = dataset.index.shard_names[dataset.index.shard[row]]
        return (
            f"{os.path.join(dataset.directory, shard)}, row {row}, clip {clip_id!r}: "
            f"{error}. Run `python -m tfrecords_tools.inspect_records "
            f"{dataset.directory} --validate` to see all that is wrong"
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

    def _decode(self, record: RecordView, draws: np.ndarray, out: np.ndarray) -> None:
        height, width = jpeg_size(record.jpeg(0))
        if not self._scales and min(height, width) < self._size:
            raise BadRecordError(
                f"its frames are {height} x {width}, smaller than the crop of "
                f"{self._size}"
            )
        views = self._choose_views(len(record.frames), height, width, draws)
        for view, images in zip(views, out, strict=True):
            jpegs = [record.jpeg(frame) for frame in view.frames]
            _check_sizes(jpegs, view.frames, (height, width))
            decode_view(jpegs, view, images)


def decode_view(jpegs: Sequence[bytes], view: View, out: np.ndarray) -> None:
    """Decodes the view's window of JPEGs, scales it where sizes differ, and mirrors it.

    Args:
        jpegs: The frames of the view.
        view: What to take of them.
        out: uint8 [T, height, width, 3], is filled.

    Raises:
        BadRecordError: A JPEG does not decode.
    """
    # In Python, not in the graph: simplejpeg's libjpeg-turbo is faster on whole frames
    # than TensorFlow's on the crop, lets go of the interpreter's lock, and only here is
    # it known which frame of which clip does not decode.
    top, left, height, width = view.window
    fits = (height, width) == out.shape[1:3]
    whole = _scratch(*jpeg_size(jpegs[0]))
    for place, jpeg in enumerate(jpegs):
        try:
            simplejpeg.decode_jpeg(jpeg, "RGB", buffer=whole)
        except ValueError as error:
            raise BadRecordError(
                f"frame {view.frames[place]} does not decode: {error}"
            ) from error
        image = whole[top : top + height, left : left + width]
        if not fits:
            image = _resize(image, out.shape[1:3])
        _copy(image, view.flip, out[place])


_thread = threading.local()


def _scratch(height: int, width: int) -> np.ndarray:
    """Room for a frame, kept by each thread for the next one of that size."""
    if getattr(_thread, "shape", None) != (height, width):
        _thread.frame = np.empty((height, width, 3), np.uint8)
        _thread.shape = (height, width)
    return _thread.frame


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    with tf.device("CPU:0"):
        resized = tf.round(tf.image.resize(image, size, antialias=True))
        return tf.cast(resized, tf.uint8).numpy()


def _copy(image: np.ndarray, flip: bool, out: np.ndarray) -> None:
    if not flip:
        out[...] = image
        return
    # Channel by channel is three times as fast as pixel by pixel.
    for channel in range(3):
        out[:, :, channel] = image[:, ::-1, channel]


def _check_sizes(jpegs, frames, size: tuple[int, int]) -> None:
    place = frame_header(jpegs[0])
    header = jpegs[0][place : place + _SIZE_BYTES]
    for number, (jpeg, frame) in enumerate(zip(jpegs, frames, strict=True)):
        # Frames of one clip mostly have the same header at the same place.
        if number and jpeg[place : place + _SIZE_BYTES] == header:
            continue
        found = jpeg_size(jpeg)
        if found != size:
            raise BadRecordError(
                f"frame {frame} is {found[0]} x {found[1]}, frame 0 is {size[0]} x "
                f"{size[1]}"
            )


class ClipBuffers:
    """Memory for batches of one shape, used again when nothing refers to it any more.

    The system would clear fresh memory page by page, which takes as long as a tenth of
    the decoding.
    """

    def __init__(self, *shape: int):
        """Takes no memory yet.

        Args:
            shape: Of the arrays, uint8.
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


class SkippedRecords:
    """The bad records that a run has replaced, up to a limit."""

    def __init__(self, directory: str, limit: int):
        """Starts empty.

        Args:
            directory: The dataset, for messages.
            limit: More bad records than this are an error.
        """
        self._directory = directory
        self._limit = limit
        self._lock = threading.Lock()
        self._rows: set[int] = set()

    def __contains__(self, row: int) -> bool:
        return row in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: int, error: BadRecordError) -> None:
        """Reports a bad record, once.

        Raises:
            BadRecordError: It is one more than the limit.
        """
        with self._lock:
            if row in self._rows:
                return
            self._rows.add(row)
            count = len(self._rows)
        if count > self._limit:
            raise BadRecordError(
                f"{self._directory} has more than {self._limit} bad records, the last "
                f"one found is {error}"
            ) from error
        logging.warning(
            "skipping bad record %d of at most %d: %s", count, self._limit, error
        )
