"""Writing one shard of a plan: the only thing that workers do."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Protocol

from absl import logging

from spl_tf import clips
from spl_tf.clips.shard_folder import ShardFolder
from spl_tf.files import NO_SPACE
from tfrecords_tools.conversion.cutting import ClipPlan

WORK_DIR = ".conversion"


def work_folder(output_dir: str) -> ShardFolder:
    """The folder that a conversion writes to."""
    remedy = "Give another --output_dir, or --overwrite to start over"
    return ShardFolder(output_dir, "conversion", remedy, ShardReport)


class SkippedClipError(Exception):
    """A clip cannot be made from its file.

    Attributes:
        kind: The category, a few words; the message says what was found.
    """

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


class StorageFullError(RuntimeError):
    """The disk that the dataset goes to is full."""


class WorkerDiedError(RuntimeError):
    """The process that does a part of the work was killed, several times."""


MakeClip = Callable[[ClipPlan], clips.Clip]


class ClipSource(Protocol):
    """Where clips come from. Workers receive a copy, so it holds settings only."""

    def open(self) -> contextlib.AbstractContextManager[MakeClip]:
        """Gives a function that makes a planned clip, or raises `SkippedClipError`."""


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """What became of one shard.

    Attributes:
        summary: What the index needs to know of the records written.
        skipped: Clips that could not be made, as in `DatasetInfo.skipped`.
    """

    summary: clips.ShardSummary
    skipped: list[dict[str, str]]


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """Writes the shards of one conversion.

    Attributes:
        source: Makes the clips that a plan names.
        output_dir: Folder of the dataset.
        num_shards: Number of all shards of the dataset.
        doing: What the progress bar says.
    """

    doing: ClassVar[str] = "converting"
    source: ClipSource
    output_dir: str
    num_shards: int

    def run(
        self, shard: int, plans: list[ClipPlan], advance: Callable[[], None]
    ) -> None:
        """Writes a shard and then its report, each whole or not at all.

        The bytes depend on the arguments and the source files alone.

        Args:
            shard: Position of the shard among all, from 0.
            plans: The clips to make, in the order in which they are written.
            advance: Called after each clip; may raise to stop.

        Raises:
            StorageFullError: There is no space left; nothing half-written stays.
        """
        name = clips.shard_name(shard, self.num_shards)
        skipped: list[dict[str, str]] = []
        with self.source.open() as make:
            records = _records(make, plans, skipped, advance)
            write_reported(work_folder(self.output_dir), shard, name, records, skipped)

    def finished(self, shard: int) -> ShardReport | None:
        """The report of a shard that is complete, else None."""
        return work_folder(self.output_dir).report(shard)


def write_reported(
    folder: ShardFolder,
    shard: int,
    name: str,
    records: Iterable[tuple[bytes, int, int, int]],
    skipped: list[dict[str, str]],
) -> None:
    """Writes a shard and then its report, each whole or not at all.

    Args:
        folder: The folder that is being made.
        shard: Position of the shard among all, from 0.
        name: Its file name.
        records: Records as `clips.write_shard` takes them.
        skipped: What is left out, as in `DatasetInfo.skipped`; full once all `records`
            are taken.

    Raises:
        StorageFullError: There is no space left; nothing half-written stays.
    """
    try:
        with folder.writing(name):
            summary = clips.write_shard(folder.directory, name, records)
            folder.save_report(shard, ShardReport(summary, skipped))
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise StorageFullError(error.strerror) from error


def _records(make, plans, skipped, advance) -> Iterator[tuple[bytes, int, int, int]]:
    for plan in plans:
        try:
            clip = make(plan)
        except SkippedClipError as error:
            skipped.append(skipped_entry(plan.video, plan.id, error.kind, str(error)))
        else:
            yield clips.encode_clip(clip), len(clip.frames), clip.label_index, -1
        advance()


def skipped_entry(video: str, clip: str, kind: str, reason: str) -> dict[str, str]:
    """Logs a file or clip that is left out and gives its entry for `dataset.json`."""
    logging.warning("left out %s: %s", clip or video, reason)
    return {"video": video, "clip": clip, "kind": kind, "reason": reason}
