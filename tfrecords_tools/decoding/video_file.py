"""An open video file: which stream, what time is zero, where decoding may begin.

Seconds are those that a player shows: they count from the start of the file, whose
sound may begin before its pictures, as for `ffmpeg -ss`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av
from av.format import Flags
from av.stream import Disposition

MICROSECONDS = 1_000_000

# No video has more frames per second; a higher rate is that of a clock.
_MAX_FRAME_RATE = 1000
# Steps of a clock that goes on elsewhere. In formats for broadcasting, whose clocks may
# jump, they are those of FFmpeg's own tools; in others, decoding times that the file
# does not state are guessed in some disorder.
_JUMP, _JUMP_BACK, _RESTART = 10 * MICROSECONDS, -MICROSECONDS // 10, -MICROSECONDS
# Formats that state a duration and hold an index, so that one look at the end will do.
_INDEXED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "asf", "avi"})
# After a seek, libavformat guesses the times of frames that have none of their own.
_WITHOUT_ALL_TIMES = frozenset({"mpeg"})
_TAIL = 10 * MICROSECONDS
# By how many frames the end may fall short of the duration that is stated.
_SLACK = 2

# Those that are known to need nothing from before a key frame. In others (GIF, Flash,
# QuickTime Animation, ...) what is marked as one may be drawn over the one before.
_RESTART_AT_KEYFRAMES = frozenset(
    {
        "av1",
        "ffv1",
        "flv1",
        "h263",
        "h264",
        "hevc",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
        "msmpeg4v1",
        "msmpeg4v2",
        "msmpeg4v3",
        "theora",
        "vc1",
        "vp6",
        "vp6a",
        "vp6f",
        "vp8",
        "vp9",
        "vvc",
        "wmv1",
        "wmv2",
        "wmv3",
    }
)


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


class VideoFile:
    """A container and the one video stream in it that is read."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream):
        """Takes a container that is open; `open_video` opens one."""
        self.container = container
        self.stream = stream
        flags = Flags(container.format.flags)
        self._raw = bool(flags & Flags.no_timestamps)
        # Broadcasts: clocks jump, and no header tells how long the video is.
        self.is_broadcast = bool(flags & Flags.ts_discont)
        # Where it is not stored when a frame is shown but when it is decoded: the n-th
        # frame that is shown has the n-th packet's time.
        reorders = bool(stream.codec_context.has_b_frames)
        name = container.format.name
        self.counted = self._raw or name == "avi" or (name == "asf" and reorders)
        self._countable_from_the_start_only = self._raw or (self.counted and reorders)
        # What `packets` has met: a clock that started anew, the end of other streams in
        # microseconds on theirs.
        self.joined, self.others_end = False, 0

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel by its height."""
        return self.stream.sample_aspect_ratio or Fraction(1)

    @property
    def frame_rate(self) -> Fraction | None:
        """Frames per second, where some source states what can be true."""
        stream = self.stream
        rates = [stream.average_rate, stream.guessed_rate]
        coded = stream.codec_context.framerate
        rates = [coded, *reversed(rates)] if self._raw else [*rates, coded]
        return next((r for r in rates if r and 0 < r <= _MAX_FRAME_RATE), None)

    @property
    def stated_duration(self) -> int:
        """Microseconds that the stream, or else the container, states; 0 if unknown."""
        if self._raw or self.is_broadcast:  # libavformat would guess
            return 0
        duration = self._microseconds(self.stream.duration or 0)
        return max(duration or self.container.duration or 0, 0)

    @property
    def has_index(self) -> bool:
        """Whether the last packets can be found without reading what comes before."""
        indexed = self.container.format.name in _INDEXED
        indexed = indexed and not self._countable_from_the_start_only
        return bool(indexed and self.frame_rate and self.stated_duration > _TAIL)

    @property
    def zero(self) -> int:
        """What the stream's clock shows at the player's second 0, in microseconds.

        A video that begins within a frame of the file (encoders of sound begin some
        milliseconds early) begins with it.
        """
        if self.stream.start_time is None:
            return 0
        first = self._microseconds(self.stream.start_time)
        start = self.container.start_time
        usual = MICROSECONDS / (self.frame_rate or 25)
        return first if start is None or abs(first - start) < usual else start

    @property
    def first(self) -> int:
        """When the first frame is shown, in microseconds since `zero`."""
        if self.stream.start_time is None:
            return 0
        return self._microseconds(self.stream.start_time) - self.zero

    @property
    def must_start_at_the_beginning(self) -> bool:
        """Whether decoding from a key frame may lack what came before it."""
        codec = self.stream.codec_context
        # A palette comes with the packet in which it changes.
        restarts = codec.codec.canonical_name in _RESTART_AT_KEYFRAMES or (
            codec.codec.intra_only and codec.pix_fmt != "pal8"
        )
        return (
            self._countable_from_the_start_only
            or not restarts
            or self.container.format.name in _WITHOUT_ALL_TIMES
        )

    def seek(self, time: int) -> None:
        """Goes to a key frame before `time`, in microseconds since `zero`."""
        ticks = Fraction(time + self.zero, MICROSECONDS) / self.stream.time_base
        self.container.seek(int(ticks), stream=self.stream)

    def packets(self, of_all_streams: bool = False) -> Iterator[av.Packet]:
        """Yields the video's packets, then one without data, on one clock.

        The clock of files that were joined byte by byte starts anew, and that of a
        recording may jump; here, time goes on. Packets without data, which stand for a
        frame that repeats the one before, are left out: a decoder takes the first for
        the end.

        Args:
            of_all_streams: Reads the other streams, too, for `others_end`.
        """
        expected, shift = None, 0
        back, forward = _RESTART, math.inf
        if self.is_broadcast:
            back, forward = _JUMP_BACK, _JUMP
        streams = self.container.streams if of_all_streams else [self.stream]
        for packet in self.container.demux(*streams):
            if packet.stream.index != self.stream.index:
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self.others_end = max(self.others_end, round(end * MICROSECONDS))
                continue
            if not packet.size:
                last = packet
                continue
            if packet.dts is not None:
                if expected is not None:
                    step = self._microseconds(packet.dts + shift - expected)
                    if not (back <= step <= forward):
                        shift = expected - packet.dts
                        self.joined = True
                packet.dts += shift
                expected = packet.dts + (packet.duration or 0)
            if packet.pts is not None:
                packet.pts += shift
            yield packet
        yield last

    def span(self, of_all_streams: bool = False) -> tuple[int, int, int]:
        """Reads packets from here on: first and last time, and how many there are.

        Times are microseconds on the stream's clock; where packets state none, their
        durations are added up.
        """
        usual = 1 / (self.frame_rate or 25) / self.stream.time_base
        count, duration, first, end = 0, 0, None, None
        for packet in self.packets(of_all_streams):
            if not packet.size:
                break
            count += 1
            duration += packet.duration or usual
            time = packet.dts if self.counted else packet.pts
            if time is not None:
                first = time if first is None else min(first, time)
                shown_until = time + (packet.duration or usual)
                end = shown_until if end is None else max(end, shown_until)
        if first is None:
            first, end = 0, duration
        return self._microseconds(first), self._microseconds(end), count

    def _microseconds(self, ticks: int | Fraction) -> int:
        return round(ticks * self.stream.time_base * MICROSECONDS)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """When a file's video is shown, in the player's microseconds.

    Attributes:
        start: When the first frame is shown.
        duration: From there until the end of the last, as far as can be known: what the
            header states, if the file ends long before.
        found_end: Until when the last frame that was found is shown.
        stated_duration: What the header states, 0 for nothing.
        frame_rate: Frames per second.
        packets: Number of packets that were looked at.
    """

    start: int
    duration: int
    found_end: int
    stated_duration: int
    frame_rate: float
    packets: int


def measure(path: str | os.PathLike | BinaryIO) -> Measurement:
    """Finds out when the video begins and ends, without decoding.

    The duration that a container states is that of its longest stream, which may be
    the sound, so the end is looked at: the last packets of a format with an index, else
    all of them.

    Raises:
        UnreadableVideoError: The file holds no video.
    """
    with open_video(path) as file:
        if file.has_index:
            with contextlib.suppress(av.FFmpegError):
                file.seek(file.stated_duration - _TAIL)
                found = _measure(file)
                if found.packets:
                    return found
    with open_video(path) as file:
        return _measure(file)


def _measure(file: VideoFile) -> Measurement:
    first, end, packets = file.span(of_all_streams=True)
    zero = file.zero
    start, end = file.first, end - zero
    reached, stated = end, file.stated_duration
    if not file.stream.duration:
        reached = max(end, file.others_end - zero)
    stated_end = stated + (start if file.stream.duration else 0)
    # Of a file that was cut off, what is missing shall be missed. (Matroska counts its
    # duration from the clock's 0, wherever the streams begin.)
    slack = _SLACK * MICROSECONDS / (file.frame_rate or 25)
    is_whole = not stated or reached + max(zero, 0) + slack >= stated_end
    duration = (end if is_whole else stated_end) - start
    found_rate = packets * MICROSECONDS / max(end + zero - first, 1)
    rate = float(file.frame_rate or found_rate)
    # One that is far off is that of the clock, not of the frames.
    if not found_rate / 2 < rate < found_rate * 2:
        rate = found_rate
    return Measurement(start, duration, end, stated, rate, packets)


@contextlib.contextmanager
def open_video(path: str | os.PathLike | BinaryIO) -> Iterator[VideoFile]:
    """Opens a file and its video stream; errors of reading it mean damage.

    Args:
        path: A local file, or an open binary file that can seek.

    Raises:
        UnreadableVideoError: The file holds no video, or reading fails in the context.
    """
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
            yield VideoFile(container, _video_stream(container))
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
    """The default video stream, else the largest; never an audio file's cover."""
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & pictures]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams})
        raise UnreadableVideoError(
            "no video",
            f"the file has no video stream, only {', '.join(kinds) or 'a header'}",
        )
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise UnreadableVideoError(
            "unreadable", "there is no decoder for the video stream's codec"
        )
    return max(
        decodable,
        key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height),
    )


def is_joined(path: str | os.PathLike | BinaryIO, file: VideoFile) -> bool:
    """Whether the clock starts anew or jumps, so that a time cannot be sought.

    Only broadcast formats are looked through, each file once in a process.
    """
    if not file.is_broadcast:
        return False
    if hasattr(path, "read"):
        return _is_joined(path)
    status = os.stat(path)
    return _is_joined_file(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _is_joined_file(path: str | os.PathLike, size: int, changed: int) -> bool:
    del size, changed  # they tell another file of the same name
    return _is_joined(path)


def _is_joined(path: str | os.PathLike | BinaryIO) -> bool:
    with open_video(path) as file:
        file.span()
        return file.joined
