"""Shards: TFRecord files of a dataset, each written whole or not at all."""

from __future__ import annotations

import array
import contextlib
import dataclasses
import os
from collections.abc import Iterable

import tensorflow as tf

from spl_tf.clips import wire
from spl_tf.clips.framing import FOOTER_BYTES, HEADER_BYTES
from spl_tf.clips.record import (
    FrameChoices,
    IndexFacts,
    frame_choices,
    index_facts,
)
from spl_tf.clips.remote_files import replacing
from spl_tf.files import plain_name


def shard_name(shard: int, num_shards: int) -> str:
    """File name of a shard, `clips.tfrecord-00003-of-00016` for (3, 16)."""
    if not 0 <= shard < num_shards:
        raise ValueError(f"shard {shard} is not in [0, {num_shards})")
    return f"clips.tfrecord-{shard:05d}-of-{num_shards:05d}"


@dataclasses.dataclass(frozen=True)
class ShardSummary:
    """What the index needs to know of the records of one shard, in order.

    The columns are lists, or arrays (see `compact`).

    Attributes:
        name: File name of the shard.
        lengths: Bytes of each record's data.
        frames: Frames of each record.
        labels: Label index of each record.
        teachers: Teacher's first choice of each record, -1 before prediction.
        confidences: Probability of that choice, -1 before prediction. This and the next
            are empty in what was written before there were such columns.
        groups: Media group of each record, see `media_group`.
        label_counts: How many labels each record has.
        label_values: Label indices of all records, one after another.
        label_confidences: Probability of each record's label, see `IndexFacts`.
        frame_teachers: Teacher's first choice of each frame of all records, one record
            after another; empty where it was not asked for them.
        frame_confidences: Probability of each of these choices.
    """

    name: str
    lengths: list[int]
    frames: list[int]
    labels: list[int]
    teachers: list[int]
    confidences: list[float] = dataclasses.field(default_factory=list)
    groups: list[int] = dataclasses.field(default_factory=list)
    label_counts: list[int] = dataclasses.field(default_factory=list)
    label_values: list[int] = dataclasses.field(default_factory=list)
    label_confidences: list[float] = dataclasses.field(default_factory=list)
    frame_teachers: list[int] = dataclasses.field(default_factory=list)
    frame_confidences: list[float] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        plain_name(self.name, "the summary of a shard")

    @property
    def file_size(self) -> int:
        """Bytes of the shard, with the framing of its records."""
        return sum(self.lengths) + len(self.lengths) * (HEADER_BYTES + FOOTER_BYTES)

    def append(
        self,
        length: int,
        frames: int,
        label: int,
        teacher: int,
        facts: IndexFacts,
        choices: FrameChoices,
    ) -> None:
        """Adds the next record."""
        self.lengths.append(length)
        self.frames.append(frames)
        self.labels.append(label)
        self.teachers.append(teacher)
        self.confidences.append(facts.confidence)
        self.groups.append(facts.group)
        self.label_counts.append(len(facts.labels))
        self.label_values.extend(facts.labels)
        self.label_confidences.append(facts.label_confidence)
        self.frame_teachers.extend(choices.index)
        self.frame_confidences.extend(choices.confidence)

    def compact(self) -> ShardSummary:
        """The same in arrays, of up to 8 bytes a number instead of 40."""
        fields = dataclasses.asdict(self)
        return ShardSummary(
            fields.pop("name"),
            **{key: array.array(_typecode(key), each) for key, each in fields.items()},
        )

    @property
    def entry(self) -> dict[str, str | int]:
        """The shard's entry in `DatasetInfo.shards`."""
        return {
            "name": self.name,
            "num_clips": len(self.lengths),
            "num_bytes": sum(self.lengths),
        }


def _typecode(field: str) -> str:
    if field in ("lengths", "groups"):
        return "q"
    return "f" if "confidences" in field else "i"


def write_shard(
    directory: str | os.PathLike,
    name: str,
    records: Iterable[tuple[bytes, int, int, int]],
) -> ShardSummary:
    """Writes one shard under a temporary name and renames it when it is complete.

    Args:
        directory: The dataset folder.
        name: File name of the shard, see `shard_name`.
        records: (serialized clip, number of frames, label, teacher) in order; all else
            that the index has is read off the clip.

    Returns:
        The summary from which `ClipIndex.from_shards` makes the index.
    """
    summary = ShardSummary(name, [], [], [], [])
    with (
        replacing(os.path.join(os.fspath(directory), name)) as temporary,
        tf.io.TFRecordWriter(temporary) as writer,
    ):
        for record, frames, label, teacher in records:
            writer.write(record)
            found = _facts(record, label)
            summary.append(len(record), frames, label, teacher, *found)
    return summary


def _facts(record: bytes, label: int) -> tuple[IndexFacts, FrameChoices]:
    facts, choices = IndexFacts((label,), -1.0, -1), FrameChoices()
    # Who reads a record that is damaged says what is wrong with it.
    with contextlib.suppress(wire.WireError):
        context, lists = wire.example_parts(record, 0, len(record))
        facts = index_facts(context)
        choices = frame_choices(record, lists)
    return facts, choices
