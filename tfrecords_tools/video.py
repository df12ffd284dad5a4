"""Clips out of video files: what a file holds, and its frames as JPEGs, with PyAV."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av

from tfrecords_tools import jpeg

MICROSECONDS = 1_000_000

# How far before the start of a clip to seek, in turn, in microseconds: a container
# without an index may lead to a keyframe that comes too late.
_SEEK_BACK = (0, 10 * MICROSECONDS, 60 * MICROSECONDS, None)

# Each of their frames is drawn over the one before, so all decode from the first one.
_WITHOUT_KEYFRAMES = frozenset({"gif", "apng"})


class UnreadableVideoError(Exception):
    """A file, or the part of it that was asked for, does not decode.

    Attributes:
        kind: "missing", "empty", "unreadable", "no video", "no duration", "no frames"
            or "damaged".
    """

    def __init__(self, kind: str, reason: str):
        super().__init__(kind, reason)  # both, so that it survives pickling
        self.kind = kind

    def __str__(self) -> str:
        return self.args[1]


@dataclasses.dataclass(frozen=True)
class VideoProbe:
    """What a file says about its video.

    Attributes:
        duration: Microseconds.
        frame_rate: Frames per second, on average.
    """

    duration: int
    frame_rate: float


@dataclasses.dataclass(frozen=True)
class EncodedFrame:
    """One frame of a clip.

    Attributes:
        timestamp: Microseconds since the start of the video stream.
        jpeg: The file's bytes.
        height: Pixels.
        width: Pixels.
    """

    timestamp: int
    jpeg: bytes
    height: int
    width: int


def probe(path: str | os.PathLike | BinaryIO) -> VideoProbe:
    """Reads duration and frame rate from a file's header, without decoding.

    What the header does not state (a live recording states no duration) is measured by
    reading all packets.

    Args:
        path: A local file, or an open binary file that can seek.

    Raises:
        UnreadableVideoError: The file holds no video.
    """
    with _open(path) as (container, stream):
        duration = _stated_duration(container, stream)
        rate = stream.average_rate or stream.guessed_rate
        if duration and rate:
            return VideoProbe(duration, float(rate))
        measured, packets = _measure(container, stream)
    if not packets:
        raise UnreadableVideoError("no frames", "the video stream is empty")
    if not measured and rate:
        measured = round(packets / rate * MICROSECONDS)
    duration = duration or measured
    if not duration:
        raise UnreadableVideoError(
            "no duration", f"neither the header nor the {packets} packets state one"
        )
    return VideoProbe(duration, float(rate or packets * MICROSECONDS / duration))


def encode_frames(
    path: str | os.PathLike | BinaryIO,
    start: int,
    end: int,
    short_side: int,
    fps: float,
    jpeg_quality: int,
    threads: int,
) -> Iterator[EncodedFrame]:
    """Yields the frames of [start, end) as JPEGs, one at a time.

    Args:
        path: A local file, or an open binary file that can seek.
        start: Microseconds since the start of the video stream.
        end: Microseconds.
        short_side: Frames are scaled so that their shorter side has this length; 0
            leaves them as they are.
        fps: Frames per second: the frame shown at each tick, counted from `start`. 0
            yields every frame of the source that starts in [start, end), or, where
            there is none, the one that is shown at `start`.
        jpeg_quality: 1 to 100.
        threads: Of the decoder; 1 decodes in the calling thread.

    Raises:
        UnreadableVideoError: The file or the clip does not decode, or holds less than
            half of the time that was asked for. Frames may have been yielded before.
    """
    encoder = jpeg.JpegEncoder(short_side, jpeg_quality)
    try:
        for timestamp, frame in read_frames(path, start, end, fps, threads):
            yield EncodedFrame(timestamp, *encoder.encode(frame))
    except (jpeg.UnencodableFrameError, av.FFmpegError) as error:
        raise UnreadableVideoError(
            "unreadable", f"no JPEG can be made of a frame: {error}"
        ) from error


def read_frames(
    path: str | os.PathLike | BinaryIO, start: int, end: int, fps: float, threads: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yields (microseconds, frame) of [start, end); see `encode_frames`."""
    frames = _intact_frames(path, start, end, threads)
    return _at_rate(frames, start, fps) if fps else _all(frames, start)


@contextlib.contextmanager
def _open(path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Opens a file and its video stream; errors of reading it mean damage."""
    with contextlib.ExitStack() as stack:
        try:
            file = path
            if not hasattr(path, "read"):
                file = stack.enter_context(open(path, "rb"))
            container = stack.enter_context(_container(file))
        except FileNotFoundError as error:
            raise UnreadableVideoError("missing", "there is no such file") from error
        except EOFError as error:
            raise UnreadableVideoError(
                "no frames", "the file ends before its first frame"
            ) from error
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UnreadableVideoError(
                "unreadable", f"the file cannot be opened as a video: {reason}"
            ) from error
        try:
            yield container, _video_stream(container)
        except (av.FFmpegError, OSError) as error:
            raise UnreadableVideoError(
                "damaged", f"decoding failed: {error.strerror}"
            ) from error


class _Unnamed:
    """The calls of a file that FFmpeg needs; a file's name would steer its guesses."""

    def __init__(self, file: BinaryIO):
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _container(file: BinaryIO) -> av.container.InputContainer:
    file.seek(0, os.SEEK_END)
    if not file.tell():
        raise UnreadableVideoError("empty", "the file is empty")
    file.seek(0)
    # With no protocol at all, a playlist cannot make FFmpeg open anything else.
    return av.open(
        _Unnamed(file),
        container_options={"protocol_whitelist": "none"},
        metadata_errors="replace",
    )


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first video stream that is not the cover picture of an audio file."""
    attached = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & attached:
            if stream.codec_context is None:
                raise UnreadableVideoError(
                    "unreadable", "there is no decoder for the video stream's codec"
                )
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    raise UnreadableVideoError(
        "no video",
        f"the file has no video stream, only {', '.join(kinds) or 'a header'}",
    )


def _stated_duration(container, stream) -> int:
    """Microseconds, or 0."""
    duration = _microseconds(stream.duration or 0, stream.time_base)
    return max(duration or container.duration or 0, 0)


def _measure(container, stream) -> tuple[int, int]:
    """Reads all packets; returns the end of the last, in microseconds, and their count.

    The end is 0 where the packets do not state it.
    """
    first, end, packets = stream.start_time or 0, 0, 0
    for packet in container.demux(stream):
        if packet.size:
            packets += 1
            if packet.pts is not None:
                end = max(end, packet.pts + (packet.duration or 0) - first)
    return _microseconds(end, stream.time_base), packets


def _microseconds(ticks: int, time_base: Fraction) -> int:
    return round(ticks * time_base * MICROSECONDS)


def _intact_frames(path, start, end, threads):
    """Yields (microseconds, frame) from one at or before `start` up to `end`.

    The last pair is the time until which the last frame is shown, and None.

    Raises:
        UnreadableVideoError: A frame that is shown after `start` is damaged, or the
            file ends before the middle of the clip.
    """
    intact, shown_until = True, 0
    for timestamp, shown_until, frame in _frames_before(path, start, threads):
        if timestamp >= end:
            yield end, None
            return
        # Frames before the first keyframe lack what they refer to, which is no damage.
        intact = not frame.is_corrupt and (intact or frame.key_frame)
        if not intact and shown_until > start:
            raise UnreadableVideoError(
                "damaged", f"the frame at {_seconds(timestamp)} does not decode"
            )
        yield timestamp, frame
    if shown_until < start + (end - start) / 2:
        raise _ends_early(path, start, end, shown_until)
    yield min(shown_until, end), None


def _ends_early(path, start, end, shown_until) -> UnreadableVideoError:
    with _open(path) as (container, stream):
        stated = _stated_duration(container, stream)
        found = shown_until or _measure(container, stream)[0]
    return UnreadableVideoError(
        "damaged" if shown_until > start else "no frames",
        f"the video ends at {_seconds(found)}, before the middle of the clip from "
        f"{_seconds(start)} to {_seconds(end)}; the header states "
        f"{_seconds(stated) if stated else 'no duration'}",
    )


def _seconds(microseconds: int) -> str:
    return f"{microseconds / MICROSECONDS:.2f} s"


def _frames_before(path, start, threads):
    """Yields what `_decode` does, from a frame at or before `start`."""
    for back in _SEEK_BACK:
        with _open(path) as (container, stream):
            stream.codec_context.thread_count = threads
            stream.thread_type = "NONE" if threads == 1 else "AUTO"
            whole = back is None or start <= back
            if not whole and container.format.name not in _WITHOUT_KEYFRAMES:
                ticks = Fraction(start - back, MICROSECONDS) / stream.time_base
                container.seek((stream.start_time or 0) + int(ticks), stream=stream)
            frames = _decode(container, stream)
            head = next(frames, None)
            if head is not None and (whole or head[0] <= start):
                yield head
                yield from frames
                return
        if not back and _end_of_packets(path) <= start:
            return


def _end_of_packets(path) -> int:
    with _open(path) as (container, stream):
        return _measure(container, stream)[0]


def _decode(container, stream):
    """Yields frames as (shown from, shown until, frame), in microseconds, in order."""
    first, timestamp, until = stream.start_time or 0, None, 0
    rate = stream.average_rate or stream.guessed_rate
    usual = round(MICROSECONDS / rate) if rate else 0
    for frame in container.decode(stream):
        ticks = frame.dts if frame.pts is None else frame.pts
        previous, timestamp = timestamp, until
        if ticks is not None:
            timestamp = _microseconds(ticks - first, frame.time_base)
        # Files that were joined byte by byte start anew; time goes on.
        if previous is not None and timestamp <= previous:
            timestamp = max(until, previous + 1)
        duration = _microseconds(frame.duration or 0, frame.time_base)
        until = timestamp + (duration or usual)
        yield timestamp, until, frame


def _all(frames, start):
    """Yields the frames from `start` on, or the one shown then if none follows."""
    earlier = None
    for timestamp, frame in frames:
        if frame is None:
            break
        if timestamp >= start:
            yield timestamp, frame
        earlier = frame if timestamp < start else None
    if earlier is not None:
        yield start, earlier


def _at_rate(frames, start, fps):
    """Yields, for each tick of `fps`, the last frame at or before it."""
    tick, time, shown = 0, start, None
    for timestamp, frame in frames:
        while shown is not None and time < timestamp:
            yield time, shown
            tick += 1
            time = round(start + tick * MICROSECONDS / fps)
        shown = frame
