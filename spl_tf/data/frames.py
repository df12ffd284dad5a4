"""The frames of a clip, or the flow between them, decoded as they are needed."""

from __future__ import annotations

import threading

import numpy as np
import tensorflow as tf

from spl_tf.clips.frame_shape import CHANNELS, FLOW, RGB_CHANNELS
from spl_tf.clips.jpeg import BadJpegError, decode_jpeg, frame_header, jpeg_size
from spl_tf.data.records import BadRecordError, RecordView
from spl_tf.motion.flow_encoding import from_image_file

_SIZE_BYTES = 9  # of a JPEG's frame header, up to the columns
_NO_FLOW = 127.5  # between the two values next to no motion


class Room:
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


_NO_ROOM = Room(0)


class Frames:
    """The frames of a clip, which stay decoded while there is room."""

    _what = "frame"

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
        """A frame, uint8 [H, W, C], which may be overwritten by the thread's next one.

        Raises:
            BadRecordError: It has not the first frame's size, or does not decode.
        """
        image = self._images.get(frame)
        if image is None:
            try:
                image = self._decode(frame)
            except BadJpegError as error:
                raise BadRecordError(f"{self._what} {frame} {error}") from error
            if self.room.take(image.nbytes):
                self._images[frame] = image = image.copy()
        return image

    def put(self, image: np.ndarray, flip: bool, out: np.ndarray) -> None:
        """Scales a window of a frame where sizes differ, and mirrors it.

        Args:
            image: uint8 [H, W, C], the window.
            flip: Whether to mirror it left-right.
            out: uint8 [height, width, C], is filled.
        """
        if image.shape != out.shape:
            image = self._resize(image, out.shape[:2])
        if not flip:
            out[...] = image
            return
        # Channel by channel is three times as fast as pixel by pixel.
        for channel in range(out.shape[-1]):
            out[:, :, channel] = image[:, ::-1, channel]

    def _decode(self, frame: int) -> np.ndarray:
        jpeg = self.record.jpeg(frame)
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
        return decode_jpeg(jpeg, scratch(*self.size))

    def _resize(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return resize(image, size)


class FlowFrames(Frames):
    """The flow from each frame to the next, horizontal and vertical: uint8 [H, W, 2].

    It is in pixels, as far apart as the frame's: where these are scaled, so is the
    flow, and in a mirrored frame what went to the right goes to the left.
    """

    _what = "the flow of frame"

    def _decode(self, frame: int) -> np.ndarray:
        image = from_image_file(self.record.flow_image(frame))
        found = image.shape[:2]
        if found != self.size:
            raise BadJpegError(
                f"is {found[0]} x {found[1]}, the clip's frames are "
                f"{self.size[0]} x {self.size[1]}"
            )
        return image[..., : CHANNELS[FLOW]]

    def put(self, image: np.ndarray, flip: bool, out: np.ndarray) -> None:
        """As that of frames; the horizontal part of what is mirrored is negated."""
        super().put(image, flip, out)
        if flip:
            np.subtract(255, out[..., 0], out=out[..., 0])

    def _resize(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        factors = np.float32(size) / image.shape[:2]  # vertical, horizontal
        with tf.device("CPU:0"):
            resized = tf.image.resize(image, size, antialias=True).numpy()
        scaled = (resized - _NO_FLOW) * factors[::-1] + _NO_FLOW
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def open_frames(record: RecordView, modality: str) -> Frames:
    """What a network of the modality sees of a clip."""
    return FlowFrames(record) if modality == FLOW else Frames(record)


_thread = threading.local()


def scratch(height: int, width: int, channels: int = RGB_CHANNELS) -> np.ndarray:
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
