"""Reading clips out of video files with PyAV."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter

MICROSECONDS = 1_000_000


class UnreadableVideoError(Exception):
    """The file holds no decodable video; the message says why."""


@dataclasses.dataclass(frozen=True)
class VideoProbe:
    """What a file's header says.

    Attributes:
        duration: Microseconds.
        frame_rate: Frames per second.
    """

    duration: int
    frame_rate: float


@dataclasses.dataclass(frozen=True)
class VideoFrame:
    """One decoded frame.

    Attributes:
        timestamp: Microseconds since the start of the video.
        image: uint8 [H, W, 3], RGB.
    """

    timestamp: int
    image: np.ndarray


def probe(path: str | os.PathLike) -> VideoProbe:
    """Reads duration and frame rate from a file's header.

    Raises:
        UnreadableVideoError: The file is missing, empty, no video, or states no
            duration.
    """
    with _open(path) as container:
        stream = _video_stream(container)
        duration = _duration(container, stream)
        rate = stream.average_rate or stream.guessed_rate
    if not duration or duration <= 0:
        raise UnreadableVideoError("the file states no duration")
    if not rate:
        raise UnreadableVideoError("the file states no frame rate")
    return VideoProbe(duration, float(rate))


def read_frames(
    path: str | os.PathLike,
    start: int,
    end: int,
    short_side: int,
    frame_rate: float | None = None,
) -> Iterator[VideoFrame]:
    """Yields the frames of [start, end), decoding from the keyframe before `start`.

    Args:
        path: The video file.
        start: Microseconds.
        end: Microseconds.
        short_side: Frames are scaled so that their shorter side has this length; 0
            leaves them as they are.
        frame_rate: Frames per second to pick (the frame shown at each time); None
            takes every frame.

    Raises:
        UnreadableVideoError: The file cannot be opened, or decoding fails.
    """
    reformatter = VideoReformatter()  # one for all frames: it caches its tables
    with _open(path) as container:
        stream = _video_stream(container)
        stream.thread_type = "NONE"  # the work is spread over processes instead
        first = _to_microseconds(stream.start_time or 0, stream.time_base)
        try:
            offset = int((start + first) / MICROSECONDS / stream.time_base)
            container.seek(max(offset, 0), stream=stream, backward=True)
            frames = _timed_frames(container, stream, first, start, end)
            if frame_rate:
                frames = _at_rate(frames, start, end, frame_rate)
            for timestamp, frame in frames:
                width, height = _scaled(frame.width, frame.height, short_side)
                scaled = reformatter.reformat(
                    frame, width, height, "rgb24", interpolation="AREA"
                )
                yield VideoFrame(timestamp, scaled.to_ndarray())
        except av.FFmpegError as error:
            raise UnreadableVideoError(f"decoding failed: {error}") from error


def _open(path):
    try:
        return av.open(os.fspath(path))
    except (av.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise UnreadableVideoError(f"cannot be opened: {error}") from error


def _video_stream(container):
    if not container.streams.video:
        raise UnreadableVideoError("the file has no video stream")
    return container.streams.video[0]


def _duration(container, stream) -> int | None:
    if stream.duration is not None and stream.time_base is not None:
        return _to_microseconds(stream.duration, stream.time_base)
    return container.duration  # already in microseconds, or None


def _to_microseconds(ticks: int, time_base: Fraction) -> int:
    return round(ticks * time_base * MICROSECONDS)


def _timed_frames(container, stream, first, start, end):
    """Yields (microseconds, frame) for the frames shown in [start, end)."""
    for frame in container.decode(stream):
        if frame.pts is None:
            continue
        timestamp = _to_microseconds(frame.pts, frame.time_base) - first
        if timestamp >= end:
            return
        if timestamp >= start:
            yield timestamp, frame


def _at_rate(frames, start, end, frame_rate):
    """Yields, for each tick of `frame_rate`, the last frame at or before it."""
    tick, step = 0, MICROSECONDS / frame_rate
    shown = None
    for timestamp, frame in frames:
        while shown is not None and start + tick * step < timestamp:
            yield round(start + tick * step), shown
            tick += 1
        shown = frame
    while shown is not None and start + tick * step < end:
        yield round(start + tick * step), shown
        tick += 1


def _scaled(width: int, height: int, short_side: int) -> tuple[int, int]:
    shorter = min(width, height)
    if not short_side or shorter == short_side:
        return width, height
    return (
        max(1, round(width * short_side / shorter)),
        max(1, round(height * short_side / shorter)),
    )
