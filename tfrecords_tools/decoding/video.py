"""Clips out of video files: what a file holds, and its frames as JPEGs, with PyAV."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO, NamedTuple

import av

from tfrecords_tools.decoding import jpeg
from tfrecords_tools.decoding.scaling import Scale, UnencodableFrameError
from tfrecords_tools.decoding.video_file import (
    MICROSECONDS,
    UnreadableVideoError,
    VideoFile,
    is_joined,
    measure,
    open_video,
)

# How far before the start of a clip to seek, in turn, in microseconds: a container
# without an index may lead to a keyframe that comes too late.
_SEEK_BACK = (0, 10 * MICROSECONDS, 60 * MICROSECONDS, None)


@dataclasses.dataclass(frozen=True)
class VideoProbe:
    """What a file says about its video.

    Attributes:
        duration: Microseconds from the start of the first frame to the end of the last.
        frame_rate: Frames per second, on average.
        start: When the first frame is shown, in the player's microseconds: later than
            0 where the sound begins before the pictures.
    """

    duration: int
    frame_rate: float
    start: int = 0

    @property
    def end(self) -> int:
        """Until when the last frame is shown, in the player's microseconds."""
        return self.start + self.duration


@dataclasses.dataclass(frozen=True)
class EncodedFrame:
    """One frame of a clip.

    Attributes:
        timestamp: When it is shown, in the player's microseconds.
        jpeg: The frame as a JPEG file's bytes.
        height: Height of the JPEG, in pixels.
        width: Width of the JPEG, in pixels.
    """

    timestamp: int
    jpeg: bytes
    height: int
    width: int


def probe(path: str | os.PathLike | BinaryIO) -> VideoProbe:
    """Measures when a file's video begins and ends, without decoding.

    Where the file has an index, its last seconds are looked at, else all packets are.
    A file that ends long before what its header states counts as that long: what is
    missing is then found missing, not overlooked.

    Args:
        path: A local file, or an open binary file that can seek.

    Raises:
        UnreadableVideoError: The file holds no video.
    """
    measured = measure(path)
    if not measured.packets:
        raise UnreadableVideoError("no frames", "the video stream is empty")
    if not measured.duration:
        raise UnreadableVideoError(
            "no duration",
            f"neither the header nor the {measured.packets} packets state one",
        )
    return VideoProbe(measured.duration, measured.frame_rate, measured.start)


def encode_frames(
    path: str | os.PathLike | BinaryIO,
    start: int,
    end: int,
    scale: Scale,
    fps: float,
    jpeg_quality: int,
    threads: int,
) -> Iterator[EncodedFrame]:
    """Yields the frames of [start, end) as JPEGs, one at a time.

    Args:
        path: A local file, or an open binary file that can seek.
        start: When the first frame is wanted, in the player's microseconds.
        end: The first of the player's microseconds that is not wanted.
        scale: What frames are scaled to.
        fps: Frames per second: the frame shown at each tick, counted from `start`. 0
            yields every frame of the source that starts in [start, end), or, where
            there is none, the one that is shown at `start`.
        jpeg_quality: Quality of the frames, 1 to 100.
        threads: Threads of the decoder; 1 decodes in the calling thread.

    Raises:
        UnreadableVideoError: The file or the clip does not decode, or it begins after
            or ends before the middle of the time that was asked for. Frames may have
            been yielded before.
    """
    encoder = jpeg.JpegEncoder(scale, jpeg_quality)
    try:
        for timestamp, shown in _shown(path, start, end, fps, threads):
            encoded = encoder.encode(shown.frame, shown.pixel_aspect)
            yield EncodedFrame(timestamp, *encoded)
    except (UnencodableFrameError, av.FFmpegError) as error:
        raise UnreadableVideoError(
            "unreadable", f"no JPEG can be made of a frame: {error}"
        ) from error


def read_frames(
    path: str | os.PathLike | BinaryIO, start: int, end: int, fps: float, threads: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yields (microseconds, frame) of [start, end); see `encode_frames`."""
    for timestamp, shown in _shown(path, start, end, fps, threads):
        yield timestamp, shown.frame


class _Shown(NamedTuple):
    """A decoded frame, and from when until when it is shown, in microseconds."""

    timestamp: int
    until: int
    frame: av.VideoFrame
    pixel_aspect: Fraction


def _shown(path, start, end, fps, threads) -> Iterator[tuple[int, _Shown]]:
    return shown_frames(_intact_frames(path, start, end, threads), start, fps)


def shown_frames(
    frames: Iterator[tuple[int, Any]], start: int, fps: float
) -> Iterator[tuple[int, Any]]:
    """Those of the frames of a clip that `encode_frames` yields, and when.

    Args:
        frames: (microseconds, frame) from one at or before the clip's start up to its
            end, and last the time until which the last frame is shown, and None.
        start: When the first frame is wanted, in microseconds.
        fps: Frames per second, or 0 for all.
    """
    return _at_rate(frames, start, fps) if fps else _all(frames, start)


def _intact_frames(path, start, end, threads):
    """Yields (microseconds, what is shown) from one at or before `start` up to `end`.

    The last pair is the time until which the last frame is shown, and None.

    Raises:
        UnreadableVideoError: A frame that is shown after `start` is damaged, or the
            video begins after or ends before the middle of the clip.
    """
    middle = start + (end - start) / 2
    intact, until = True, None
    for shown in _frames_before(path, start, threads):
        if until is None and shown.timestamp > max(start, middle):
            raise UnreadableVideoError(
                "no frames",
                f"the video begins at {_seconds(shown.timestamp)}, after the middle of "
                f"the clip from {_seconds(start)} to {_seconds(end)}",
            )
        timestamp, until, frame, _ = shown
        if timestamp >= end:
            yield end, None
            return
        # Frames before the first keyframe lack what they refer to, which is no damage.
        intact = not frame.is_corrupt and (intact or frame.key_frame)
        if not intact and until > start:
            raise UnreadableVideoError(
                "damaged", f"the frame at {_seconds(timestamp)} does not decode"
            )
        yield timestamp, shown
    if until is None or until < middle:
        raise _ends_early(path, start, end, until or 0)
    yield min(until, end), None


def _ends_early(path, start, end, until) -> UnreadableVideoError:
    measured = measure(path)
    found, stated = until or measured.found_end, measured.stated_duration
    return UnreadableVideoError(
        "damaged" if until > start else "no frames",
        f"the video ends at {_seconds(found)}, before the middle of the clip from "
        f"{_seconds(start)} to {_seconds(end)}; the header states "
        f"{_seconds(stated) if stated else 'no duration'}",
    )


def _seconds(microseconds: int) -> str:
    return f"{microseconds / MICROSECONDS:.2f} s"


def _frames_before(path, start, threads) -> Iterator[_Shown]:
    """Yields what `_decode` does, from a frame at or before `start`."""
    for back in _SEEK_BACK:
        with open_video(path) as file:
            file.stream.codec_context.thread_count = threads
            file.stream.thread_type = "NONE" if threads == 1 else "AUTO"
            whole = back is None or start - back <= file.first
            if not (whole or file.must_start_at_the_beginning or is_joined(path, file)):
                try:
                    file.seek(start - back)
                except av.FFmpegError:  # of a format that cannot
                    continue
            frames = _decode(file)
            head = next(frames, None)
            if head is not None and (whole or head.timestamp <= start):
                yield head
                yield from frames
                return
        if not back and measure(path).found_end <= start:
            return


def _decode(file: VideoFile) -> Iterator[_Shown]:
    """Yields frames in the order in which they are shown, without overlaps."""
    usual = round(MICROSECONDS / file.frame_rate) if file.frame_rate else 0
    timestamp, until, decoding_times = None, 0, collections.deque()
    for packet in file.packets():
        decoding_times.append(packet.dts)
        for frame in packet.decode():
            ticks = frame.dts if frame.pts is None else frame.pts
            if file.counted:
                ticks = decoding_times.popleft()
            previous, timestamp = timestamp, until
            if ticks is not None:
                time = round(ticks * packet.time_base * MICROSECONDS)
                timestamp = time - file.zero
            # Two frames that claim the same time are shown one after the other.
            if previous is not None:
                timestamp = max(timestamp, previous + 1)
            duration = round((frame.duration or 0) * packet.time_base * MICROSECONDS)
            until = timestamp + (duration or usual)
            yield _Shown(timestamp, until, frame, file.pixel_aspect)


def _all(frames, start):
    """Yields what is shown from `start` on, or what is shown then if none follows."""
    earlier = None
    for timestamp, shown in frames:
        if shown is None:
            break
        if timestamp >= start:
            yield timestamp, shown
        earlier = shown if timestamp < start else None
    if earlier is not None:
        yield start, earlier


def _at_rate(frames, start, fps):
    """Yields, for each tick of `fps`, the last frame at or before it."""
    ticks = (round(start + tick * MICROSECONDS / fps) for tick in itertools.count())
    time, shown = next(ticks), None
    for timestamp, following in frames:
        while time < timestamp:
            # Where the video begins later, its first frame is not shown before.
            if shown is not None:
                yield time, shown
            elif time + MICROSECONDS / fps > timestamp:
                break
            time = next(ticks)
        shown = following
