"""Shards: TFRecord files of a dataset, each written whole or not at all."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

import tensorflow as tf

from spl_tf.clips.files import replacing
from spl_tf.clips.framing import FOOTER_BYTES, HEADER_BYTES
from spl_tf.files import plain_name


def shard_name(shard: int, num_shards: int) -> str:
    """File name of a shard, `clips.tfrecord-00003-of-00016` for (3, 16)."""
    if not 0 <= shard < num_shards:
        raise ValueError(f"shard {shard} is not in [0, {num_shards})")
    return f"clips.tfrecord-{shard:05d}-of-{num_shards:05d}"


@dataclasses.dataclass(frozen=True)
class ShardSummary:
    """What the index needs to know of the records of one shard, in order.

    Attributes:
        name: File name of the shard.
        lengths: Bytes of each record's data.
        frames: Frames of each record.
        labels: Label index of each record.
        teachers: Teacher's first choice of each record, -1 before prediction.
    """

    name: str
    lengths: list[int]
    frames: list[int]
    labels: list[int]
    teachers: list[int]

    def __post_init__(self):
        plain_name(self.name, "the summary of a shard")

    @property
    def file_size(self) -> int:
        """Bytes of the shard, with the framing of its records."""
        return sum(self.lengths) + len(self.lengths) * (HEADER_BYTES + FOOTER_BYTES)


def write_shard(
    directory: str | os.PathLike,
    name: str,
    records: Iterable[tuple[bytes, int, int, int]],
) -> ShardSummary:
    """Writes one shard under a temporary name and renames it when it is complete.

    Args:
        directory: The dataset folder.
        name: File name of the shard, see `shard_name`.
        records: (serialized clip, number of frames, label, teacher) in order.

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
            summary.lengths.append(len(record))
            summary.frames.append(frames)
            summary.labels.append(label)
            summary.teachers.append(teacher)
    return summary
