"""Checks a dataset folder: every record, every frame, the index, the counts."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import itertools
import os
import struct
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from spl_tf import clips
from spl_tf.clips.frame_shape import CropSize
from spl_tf.clips.framing import FOOTER_BYTES, HEADER_BYTES, masked_crc
from spl_tf.clips.record import IndexFacts
from spl_tf.progress import Progress
from tfrecords_tools.inspection.record_checks import UNKNOWN, Schema, check_record
from tfrecords_tools.inspection.reindexing import TOOL as REINDEXING_TOOL
from tfrecords_tools.inspection.shard_reading import (
    FramingError,
    map_shards,
    record_length,
)

# Faults of one kind that are listed per shard: when all of ten million records are
# faulty, a list of them would not fit in memory.
_MAX_LISTED = 100

_COLUMNS = ("offset", "length", "frames", "label", "teacher")


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something wrong in a dataset.

    Attributes:
        kind: "framing", "checksum", "schema", "label", "teacher", "timestamps",
            "jpeg", "crop", "flow", "duplicate", "index", "counts" or "file".
        message: What was found and what was expected.
        shard: File name; empty for the whole dataset.
        record: Number in the shard, from 0; None for the whole shard.
        offset: Byte where the record starts; None for the whole shard.
        clip: The id of the record's clip; empty where it is not known.
        count: More than 1 where one entry stands for several faults.
    """

    kind: str
    message: str
    shard: str = ""
    record: int | None = None
    offset: int | None = None
    clip: str = ""
    count: int = 1

    def __str__(self) -> str:
        place = self.shard
        if self.record is not None:
            place += f", record {self.record} at byte {self.offset}"
        if self.clip:
            place += f", clip {self.clip!r}"
        return f"{place}: {self.message}" if place else self.message


@dataclasses.dataclass
class _ShardReport:
    """What one shard holds.

    Attributes:
        faults: What is wrong with the shard itself.
        rows: Per record `_COLUMNS` of the index, int64 [records, 5]; `UNKNOWN` where
            the record is damaged.
        contexts: Per record the other columns; None where the record is damaged.
        ids: A 64-bit hash of each id, uint64 [records]; 0 without an id.
        whole: Whether all of the shard could be read.
    """

    faults: list[Fault]
    rows: np.ndarray
    contexts: list[IndexFacts | None]
    ids: np.ndarray
    whole: bool


def validate(
    directory: str | os.PathLike, num_workers: int = 0, crop_size: CropSize = 0
) -> list[Fault]:
    """Checks a dataset folder without trusting its index.

    A record whose data is damaged does not stop the check of the next one. After a
    damaged length field the rest of that shard cannot be found.

    Args:
        directory: The dataset's folder.
        num_workers: Processes; 0 for one per core, 1 for this process alone.
        crop_size: Frames that are smaller than this crop are a fault, as they are to a
            training that crops without scaling; 0 for none.

    Returns:
        The faults, shard by shard, then those of the folder; empty when all is well.
        At most 100 of a kind are listed per shard, the rest counted in one entry.

    Raises:
        FileNotFoundError: The folder has no `dataset.json`.
        ValueError: It is damaged, so that nothing says what to expect.
    """
    directory = clips.usable_path(directory)
    info = clips.DatasetInfo.load(directory)
    names = [shard["name"] for shard in info.shards]
    foreign = info.source.get("tool") == REINDEXING_TOOL
    schema = Schema(info.class_names, not foreign, crop_size, "flow" in info.source)
    index, index_rows, faults = _index_rows(directory, names)
    check = functools.partial(_check_shard, directory, schema)
    reports = []
    with Progress(info.num_clips, "clip", "validating") as progress:
        for position, report in enumerate(map_shards(check, names, num_workers)):
            name = names[position]
            faults += _limited(report.faults, name)
            report.faults.clear()
            if report.whole:
                faults += _count_faults(info.shards[position], report.rows[:, 1])
            if index is not None:
                rows = _row_faults(name, report, index, index_rows[position])
                faults += _limited(rows, name)
            report.contexts.clear()
            reports.append(report)
            progress.update(len(report.rows))
    faults += _duplicates(directory, names, reports)
    faults += _extra_files(directory, names)
    return faults


def format_faults(faults: Sequence[Fault], limit: int = 20) -> str:
    """Returns a text of the faults by kind, at most `limit` of each, with totals."""
    if not faults:
        return "no fault found"
    kinds = collections.defaultdict(list)
    for fault in faults:
        kinds[fault.kind].append(fault)
    lines = []
    for kind, members in kinds.items():
        total = sum(fault.count for fault in members)
        lines.append(f"{kind}: {total:,}")
        lines += [f"  {fault}" for fault in members[:limit]]
        rest = total - sum(fault.count for fault in members[:limit])
        if rest:
            lines.append(f"  and {rest:,} more")
    total = sum(fault.count for fault in faults)
    return "\n".join([*lines, f"{total:,} fault{'s' if total > 1 else ''} found"])


def _limited(faults: Iterable[Fault], shard: str) -> Iterator[Fault]:
    """Passes on a shard's first faults of each kind, and counts the others."""
    seen = collections.Counter()
    for fault in faults:
        seen[fault.kind] += 1
        if seen[fault.kind] <= _MAX_LISTED:
            yield fault
    for kind, count in seen.items():
        if count > _MAX_LISTED:
            rest = count - _MAX_LISTED
            yield Fault(kind, f"{rest:,} more of this kind", shard, count=rest)


def _check_shard(directory: str, schema: Schema, name: str) -> _ShardReport:
    """Reads one shard from front to back; the only work of a worker."""
    faults: list[Fault] = []
    rows: list[tuple[int, ...]] = []
    contexts: list[IndexFacts | None] = []
    ids: list[int] = []
    offset, whole = 0, False
    path = os.path.join(clips.usable_path(directory), name)
    try:
        for data, length, intact in _read_shard(path):
            here = (name, len(rows), offset)
            if intact:
                checked = check_record(data, schema)
                faults += [
                    Fault(kind, message, *here, checked.id)
                    for kind, message in checked.faults
                ]
                contents = (checked.frames, checked.label, checked.teacher)
                contexts.append(checked.context)
                ids.append(_hash(checked.id))
            else:
                message = "the checksum of the data is wrong"
                faults.append(Fault("checksum", message, *here))
                contents = (UNKNOWN,) * 3
                contexts.append(None)
                ids.append(0)
            rows.append((offset, length, *contents))
            offset += HEADER_BYTES + length + FOOTER_BYTES
        whole = True
    except FramingError as error:
        message = f"{error}; the rest of the shard is lost"
        faults.append(Fault("framing", message, name, len(rows), offset))
    except (OSError, tf.errors.OpError) as error:
        faults.append(Fault("file", f"cannot be read: {error}", name))
    table = np.asarray(rows, np.int64).reshape(-1, len(_COLUMNS))
    return _ShardReport(faults, table, contexts, np.asarray(ids, np.uint64), whole)


def _read_shard(path: str) -> Iterator[tuple[bytes, int, bool]]:
    """Yields data, length and whether the checksum is right, of each record."""
    left = tf.io.gfile.stat(path).length
    with tf.io.gfile.GFile(path, "rb") as file:
        while left:
            length = record_length(file.read(HEADER_BYTES), left)
            data = file.read(length)
            (checksum,) = struct.unpack("<I", file.read(FOOTER_BYTES))
            yield data, length, checksum == masked_crc(data)
            left -= HEADER_BYTES + length + FOOTER_BYTES


def _hash(clip_id: str) -> int:
    if not clip_id:
        return 0
    digest = hashlib.blake2b(clip_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def _count_faults(expected: dict, lengths: np.ndarray) -> Iterator[Fault]:
    for key, found in (
        ("num_clips", len(lengths)),
        ("num_bytes", int(lengths.sum())),
    ):
        if expected[key] != found:
            yield Fault(
                "counts",
                f"dataset.json says {key} {expected[key]:,}, the shard has {found:,}",
                expected["name"],
            )


def _index_rows(
    directory: str, names: Sequence[str]
) -> tuple[clips.ClipIndex | None, list[np.ndarray], list[Fault]]:
    """Returns the index and its rows per shard, int64 [rows] each, or why not."""
    try:
        index = clips.ClipIndex.load(directory)
    except (FileNotFoundError, ValueError) as error:
        return None, [], [Fault("index", f"{error}; --reindex makes a new one")]
    sizes = {len(getattr(index, column)) for column in ("shard", *_COLUMNS)}
    sizes |= {
        len(values) - (name == "label_splits")
        for name, values in index.added.items()
        if name not in ("labels", "frame_teacher", "frame_confidence")
    }
    of_frames = index.frame_choices or ()
    sizes |= {len(each) for each in of_frames if len(each) != index.frames.sum()}
    if len(sizes) != 1 or index.shard_names != tuple(names):
        message = (
            f"index.npz lists {len(index.shard_names)} shards and columns of "
            f"{sorted(sizes)} rows, dataset.json {len(names)} shards: the two do not "
            "belong together; --reindex makes new ones"
        )
        return None, [], [Fault("index", message)]
    order = np.argsort(index.shard, kind="stable")
    shard = index.shard[order]
    bounds = np.searchsorted(shard, np.arange(len(names) + 1))
    faults = []
    strays = len(shard) - int(bounds[-1] - bounds[0])
    if strays:
        message = f"{strays:,} rows of index.npz are of no shard"
        faults.append(Fault("index", message, count=strays))
    spans = [order[first:last] for first, last in itertools.pairwise(bounds)]
    return index, spans, faults


def _row_faults(
    name: str, report: _ShardReport, index: clips.ClipIndex, rows: np.ndarray
) -> Iterator[Fault]:
    found = report.rows
    expected = np.stack([getattr(index, column)[rows] for column in _COLUMNS], axis=1)
    if report.whole and len(found) != len(expected):
        message = (
            f"index.npz lists {len(expected):,} clips, the shard has {len(found):,}"
        )
        yield Fault("index", message, name)
    both = min(len(found), len(expected))
    found, expected = found[:both], expected[:both]
    wrong = (found != expected) & (found != UNKNOWN)
    for record in range(both):
        columns = [
            f"{_COLUMNS[i]} {expected[record, i]}, found {found[record, i]}"
            for i in np.flatnonzero(wrong[record])
        ]
        columns += _context_faults(index, int(rows[record]), report.contexts[record])
        if columns:
            message = f"index.npz says {'; '.join(columns)}"
            yield Fault("index", message, name, record, int(found[record, 0]))


def _context_faults(
    index: clips.ClipIndex, row: int, found: IndexFacts | None
) -> Iterator[str]:
    if found is None or not index.added:
        return
    listed = found._replace(
        labels=tuple(index.labels_of(row).tolist()),
        **{
            name: index.column(name)[row].item()
            for name in IndexFacts._fields
            if name != "labels" and name in index.added
        },
    )
    for column, one, other in zip(IndexFacts._fields, listed, found, strict=True):
        if one != other:
            yield f"{column} {one}, found {other}"


def _duplicates(
    directory: str, names: Sequence[str], reports: Sequence[_ShardReport]
) -> Iterator[Fault]:
    """Finds ids that occur more than once, in all shards together."""
    ids = np.concatenate([np.zeros(0, np.uint64), *(r.ids for r in reports)])
    starts = np.cumsum([0] + [len(report.ids) for report in reports])
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    repeated = 1 + np.flatnonzero((ids[1:] == ids[:-1]) & (ids[1:] != 0))

    def place(row: int) -> tuple[str, int, int]:
        shard = int(np.searchsorted(starts, row, side="right")) - 1
        record = int(row - starts[shard])
        return names[shard], record, int(reports[shard].rows[record, 0])

    for position in repeated[:_MAX_LISTED]:
        first = order[np.searchsorted(ids, ids[position])]
        shard, record, _ = place(first)
        message = f"the id is also that of {shard}, record {record}"
        here = place(order[position])
        yield Fault("duplicate", message, *here, _id_at(directory, here[0], here[2]))
    rest = len(repeated) - _MAX_LISTED
    if rest > 0:
        yield Fault("duplicate", f"{rest:,} more of this kind", count=rest)


def _id_at(directory: str, name: str, offset: int) -> str:
    with tf.io.gfile.GFile(os.path.join(directory, name), "rb") as file:
        left = file.size() - offset
        file.seek(offset)
        record = file.read(record_length(file.read(HEADER_BYTES), left))
    return clips.parse_clip(record).id


def _extra_files(directory: str, names: Sequence[str]) -> Iterator[Fault]:
    known = set(names)
    for name in sorted(tf.io.gfile.listdir(directory)):
        if ".incomplete-" in name:
            yield Fault("file", "is left over from an interrupted write", name)
        elif ".tfrecord" in name and name not in known:
            yield Fault("file", "is no shard that dataset.json lists", name)
