"""Writing one shard of a dataset again, with the optical flow of its clips."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import tensorflow as tf

from spl_tf import clips
from spl_tf.clips import keys, wire
from spl_tf.clips.jpeg import BadJpegError, decode_jpeg
from spl_tf.clips.shard_folder import ShardFolder
from spl_tf.motion import flow_encoding, optical_flow
from tfrecords_tools.conversion import options
from tfrecords_tools.conversion.shard_job import (
    ShardReport,
    SkippedClipError,
    skipped_entry,
    write_reported,
)

BAD_RECORD, TOO_SLOW = "bad record", "too slow"


@dataclasses.dataclass(frozen=True)
class FlowSettings:
    """How flow is found and written: all that decides what is written."""

    method: str = options.option(
        "dis_medium", f"{', '.join(optical_flow.METHODS)} (needs opencv-contrib)."
    )
    format: str = options.option("jpeg", "Of the flow's images: jpeg or png.")
    quality: int = options.option(95, "Of JPEG, 1 to 100.")
    clip_timeout: float = options.option(
        600.0, "Seconds that one clip may take; a slower one is left out."
    )

    def __post_init__(self):
        methods, formats = optical_flow.METHODS, flow_encoding.FORMATS
        options.check(
            self,
            ("method", self.method in methods, f"one of {', '.join(methods)}"),
            ("format", self.format in formats, " or ".join(formats)),
            ("quality", 1 <= self.quality <= 100, "1 to 100"),
            ("clip_timeout", self.clip_timeout > 0, "more than 0"),
        )


def flow_folder(output_dir: str) -> ShardFolder:
    """The folder that records with flow are written to."""
    remedy = "Give another --output_dir, or --overwrite to start over"
    return ShardFolder(output_dir, "flow", remedy, ShardReport)


@dataclasses.dataclass(frozen=True)
class FlowJob:
    """Writes shards again; in place of a `ShardJob`.

    Attributes:
        input_dir: Folder of the dataset without flow.
        output_dir: Folder of that with flow.
        num_shards: Number of all its shards.
        settings: How flow is found and written.
        replace_flow: Whether flow that records have is found anew; else it is an error.
        doing: What the progress bar says.
    """

    doing: ClassVar[str] = "finding flow"
    input_dir: str
    output_dir: str
    num_shards: int
    settings: FlowSettings
    replace_flow: bool = False

    def run(self, shard: int, rows: Sequence[int], advance: Callable[[], None]) -> None:
        """Writes a shard and then its report, each whole or not at all.

        Args:
            shard: Position of the shard among all, from 0.
            rows: Rows of the input's index, in the order in which they are written.
            advance: Called after each clip; may raise to stop.

        Raises:
            StorageFullError: There is no space left; nothing half-written stays.
            ValueError: A record has flow.
        """
        name = clips.shard_name(shard, self.num_shards)
        skipped: list[dict[str, str]] = []
        with optical_flow.one_thread():
            records = self._records(rows, skipped, advance)
            write_reported(flow_folder(self.output_dir), shard, name, records, skipped)

    def finished(self, shard: int) -> ShardReport | None:
        """The report of a shard that is complete, else None."""
        return flow_folder(self.output_dir).report(shard)

    def _records(self, rows, skipped, advance) -> Iterator[tuple[bytes, int, int, int]]:
        dataset = clips.ClipDataset(self.input_dir)
        index = dataset.index
        find = optical_flow.flow_finder(self.settings.method)
        with dataset.reader() as reader:
            for row in rows:
                shard, clip_id = index.shard_names[index.shard[row]], ""
                try:
                    record = _read(reader, row)
                    context, lists = _parts(record)
                    clip_id = _id(context)
                    self._check_flow(clip_id, lists)
                    frames = _frames(record, lists)
                    images = self._images(frames, find)
                except SkippedClipError as error:
                    entry = skipped_entry(shard, clip_id, error.kind, str(error))
                    skipped.append(entry)
                else:
                    facts = (len(frames), int(index.label[row]))
                    yield with_flow(record, images), *facts, int(index.teacher[row])
                advance()

    def _check_flow(self, clip_id: str, lists: Mapping) -> None:
        if keys.FLOW_ENCODED in lists and not self.replace_flow:
            raise ValueError(
                f"{self.input_dir}: clip {clip_id!r} has flow already, the feature "
                f"list {keys.FLOW_ENCODED!r}; --replace_flow finds it anew"
            )

    def _images(self, frames: Sequence[bytes], find) -> list[bytes]:
        """A flow image per frame; the last is that before it."""
        settings, images = self.settings, []
        end = time.monotonic() + settings.clip_timeout
        try:
            for flow in optical_flow.clip_flow(_decoded(frames), find):
                pixels = flow_encoding.encode_flow(flow)
                images.append(
                    flow_encoding.to_image_file(
                        pixels, settings.format, settings.quality
                    )
                )
                is_done = len(images) >= len(frames) - 1
                if time.monotonic() > end and not is_done:
                    raise SkippedClipError(
                        TOO_SLOW,
                        f"after the time limit of {settings.clip_timeout:g} s "
                        f"(--clip_timeout) it is at frame {len(images)} of "
                        f"{len(frames)}",
                    )
        except ValueError as error:
            raise SkippedClipError(BAD_RECORD, str(error)) from error
        return images if len(frames) == 1 else [*images, images[-1]]


def with_flow(record: bytes, images: Sequence[bytes]) -> bytes:
    """Returns the record with the flow's images, all else untouched.

    Args:
        record: A serialized clip; flow that it has is replaced.
        images: An encoded image per frame.
    """
    flow = tf.train.FeatureList()
    for image in images:
        flow.feature.add().bytes_list.value.append(image)
    context, others = wire.split_context(record)  # which never looks at the frames
    serialized = flow.SerializeToString(deterministic=True)
    return wire.join_context(
        context, wire.with_lists(others, {keys.FLOW_ENCODED: serialized})
    )


def _read(reader: clips.RecordReader, row: int) -> bytes:
    try:
        return reader.read(row)
    except ValueError as error:
        raise SkippedClipError(BAD_RECORD, str(error)) from error


def _parts(record: bytes) -> tuple[Mapping, dict[str, wire.Span]]:
    try:
        return wire.example_parts(record, 0, len(record))
    except wire.WireError as error:
        raise SkippedClipError(
            BAD_RECORD, f"no tf.train.SequenceExample: {error}"
        ) from error


def _id(context: Mapping) -> str:
    ids = (
        context[keys.EXAMPLE_ID].bytes_list.value if keys.EXAMPLE_ID in context else ()
    )
    return ids[0].decode(errors="backslashreplace") if ids else ""


def _frames(record: bytes, lists: Mapping[str, wire.Span]) -> list[bytes]:
    """The clip's JPEGs, one or more."""
    try:
        frames = wire.step_values(record, lists, keys.IMAGE_ENCODED)
    except wire.WireError as error:
        raise SkippedClipError(BAD_RECORD, str(error)) from error
    if not frames:
        raise SkippedClipError(
            BAD_RECORD, f"the feature list {keys.IMAGE_ENCODED!r} is absent or empty"
        )
    return frames


def _decoded(frames: Sequence[bytes]):
    for number, frame in enumerate(frames):
        try:
            yield decode_jpeg(frame)
        except BadJpegError as error:
            raise SkippedClipError(BAD_RECORD, f"frame {number} {error}") from error
