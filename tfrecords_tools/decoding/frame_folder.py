"""A folder of images that are the frames of a video, in the order of their names."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import re
from collections.abc import Iterator

import tensorflow as tf

from tfrecords_tools.decoding.file_endings import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    ending_of,
)
from tfrecords_tools.decoding.images import UnreadableImageError, to_jpeg
from tfrecords_tools.decoding.scaling import Scale
from tfrecords_tools.decoding.video import (
    EncodedFrame,
    VideoProbe,
    shown_frames,
)
from tfrecords_tools.decoding.video_file import MICROSECONDS, UnreadableVideoError

_NUMBER = re.compile(r"(\d+)", re.ASCII)


def is_folder(path: str) -> bool:
    """Whether a path is a folder's, local or remote."""
    if "://" not in path:
        return os.path.isdir(path)
    # Asking costs a request; nobody calls a folder of frames like a video file.
    return ending_of(path) not in VIDEO_ENDINGS and tf.io.gfile.isdir(path)


def probe(path: str, frames_per_second: float) -> VideoProbe:
    """How long the frames are shown, without opening them.

    Args:
        path: The folder.
        frames_per_second: How many are shown in a second.

    Raises:
        UnreadableVideoError: The rate is 0, there are no frames, or some between others
            are missing, as their numbers say.
    """
    names = frame_names(path)
    if not frames_per_second:
        raise UnreadableVideoError(
            "no duration",
            f"a folder of {len(names)} frames; --frames_fps must say how many of them "
            "are shown in a second",
        )
    _check_numbers(names)
    duration = round(len(names) * MICROSECONDS / frames_per_second)
    return VideoProbe(duration, float(frames_per_second))


def encode_frames(
    path: str,
    start: int,
    end: int,
    scale: Scale,
    fps: float,
    jpeg_quality: int,
    frames_per_second: float,
) -> Iterator[EncodedFrame]:
    """Yields the frames of [start, end) as JPEGs; see `video.encode_frames`.

    A JPEG that has the right size already is taken as it is.

    Raises:
        UnreadableVideoError: A frame cannot be read, or has another size than the one
            before it, or they end before the middle of the time that was asked for.
    """
    names = frame_names(path)
    ends = range(len(names) + 1)
    times = [round(number * MICROSECONDS / frames_per_second) for number in ends]
    until = times.pop()
    if until < start + (end - start) / 2:
        raise UnreadableVideoError(
            "damaged" if until > start else "no frames",
            f"the {len(names)} frames end at {until / MICROSECONDS:.2f} s, before the "
            f"middle of the clip from {start / MICROSECONDS:.2f} s to "
            f"{end / MICROSECONDS:.2f} s",
        )
    frames = [pair for pair in zip(times, names, strict=True) if pair[0] < end]
    frames.append((min(until, end), None))
    before = None
    for timestamp, name in shown_frames(iter(frames), start, fps):
        frame = EncodedFrame(timestamp, *_jpeg(path, name, scale, jpeg_quality))
        size = (frame.height, frame.width)
        if before and size != before[1]:
            raise UnreadableVideoError(
                "damaged",
                f"the frame {name} is {size[0]} x {size[1]} pixels, and {before[0]} "
                f"{before[1][0]} x {before[1][1]}",
            )
        before = name, size
        yield frame


def digest(path: str) -> str:
    """SHA-256 of the frames' contents, one after the other, whatever their names.

    Raises:
        UnreadableVideoError: There are no frames.
    """
    whole = hashlib.sha256()
    for name in frame_names(path):
        whole.update(hashlib.sha256(_content(path, name)).digest())
    return whole.hexdigest()


def frame_names(path: str) -> tuple[str, ...]:
    """Names of the frames in the order in which they are shown.

    Raises:
        UnreadableVideoError: There are none.
    """
    # Of a long video, every clip asks for its names.
    changed = 0 if "://" in path else os.stat(path).st_mtime_ns
    return _listed(path, changed)


@functools.lru_cache(maxsize=16)
def _listed(path: str, unused_changed: int) -> tuple[str, ...]:
    names = [
        name
        for name in tf.io.gfile.listdir(path)
        if ending_of(name) in IMAGE_ENDINGS and not name.startswith(".")
    ]
    if not names:
        raise UnreadableVideoError("unreadable", "a folder that holds no images")
    return tuple(sorted(names, key=_natural))


def _natural(name: str) -> tuple:
    """A key by which frame10 comes after frame9."""
    parts = _NUMBER.split(name)
    parts[1::2] = map(int, parts[1::2])
    return tuple(parts), name


def _check_numbers(names: tuple[str, ...]) -> None:
    """Raises for names that are alike but for their last number, and not evenly far."""
    split = [_NUMBER.split(os.path.splitext(name)[0]) for name in names]
    if len({(*parts[:-2], parts[-1]) for parts in split}) > 1 or len(split[0]) < 3:
        return  # no numbered frames: nothing says that one is missing
    numbers = [int(parts[-2]) for parts in split]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    usual = min(steps, default=0)
    for place, step in enumerate(steps):
        if not step or (usual and step != usual):
            fault = "frames are missing between" if step else "one number is that of"
            raise UnreadableVideoError(
                "damaged", f"{fault} {names[place]} and {names[place + 1]}"
            )


def _jpeg(path: str, name: str, scale: Scale, quality: int) -> tuple[bytes, int, int]:
    try:
        return to_jpeg(_content(path, name), scale, quality, name)
    except UnreadableImageError as error:
        raise UnreadableVideoError("damaged", f"the frame {name} {error}") from error


def _content(path: str, name: str) -> bytes:
    try:
        with tf.io.gfile.GFile(os.path.join(path, name), "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        raise UnreadableVideoError(
            "unreadable", f"the frame {name}: {error.message}"
        ) from error
