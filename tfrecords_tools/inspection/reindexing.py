"""Makes `index.npz` and `dataset.json` for shards that have none, or damaged ones."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import fnmatch
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from spl_tf import clips
from spl_tf.clips.framing import FOOTER_BYTES, HEADER_BYTES
from spl_tf.labels import ConfusionMatrix, parse_class_names
from spl_tf.progress import Progress
from spl_tf.text_files import composed
from tfrecords_tools.conversion.shard_job import WORK_DIR
from tfrecords_tools.inspection.record_scan import LayoutError, scan_record
from tfrecords_tools.inspection.shard_reading import (
    FramingError,
    map_shards,
    record_length,
)

TOOL = "inspect_records"
_HEAD_BYTES = 16  # of a field: more than its number and length take


@dataclasses.dataclass(frozen=True)
class _ShardScan:
    """A shard's summary, and what its records tell of the classes.

    Attributes:
        summary: What the index needs to know of the records.
        names: Class index -> (name, number of the first record with it).
        top_k: The fewest classes that a record has from the teacher.
    """

    summary: clips.ShardSummary
    names: dict[int, tuple[str, int]]
    top_k: int


def reindex(
    directory: str | os.PathLike,
    label_kind: str = "",
    classes: str = "",
    pattern: str = "*.tfrecord*",
    overwrite: bool = False,
    num_workers: int = 0,
) -> clips.DatasetInfo:
    """Makes a dataset of a folder of SequenceExample shards, leaving them as they are.

    Of local shards only record headers and contexts are read, and no frames.

    Args:
        directory: The folder that holds the shards.
        label_kind: "weak" or "clean"; may be left out where `dataset.json` says it.
        classes: Classes file; when empty, the names are those of `dataset.json`, or
            else those in the records.
        pattern: What the shards' file names match; their order is that of the names.
        overwrite: Replace a `dataset.json` that is there. What the shards do not tell
            (class names, label kind, source, skipped, files) is taken over from it.
        num_workers: Processes; 0 for one per core.

    Returns:
        The description, as written to `dataset.json`.

    Raises:
        FileNotFoundError: No such folder, or no shard in it.
        FileExistsError: There is a `dataset.json`, and no `overwrite`.
        ValueError: A record is no labelled clip (shard and record are named), or the
            classes do not fit together.
    """
    directory = clips.usable_path(directory)
    if tf.io.gfile.exists(os.path.join(directory, WORK_DIR)):
        raise ValueError(
            f"{directory}: a conversion into it did not finish; give its command "
            "again, which continues"
        )
    old = _existing(directory, overwrite)
    label_kind = _label_kind(label_kind, old)
    given, origin = _given_classes(classes, old)
    scans = _scan_shards(directory, _shard_names(directory, pattern), num_workers)
    index = clips.ClipIndex.from_shards([scan.summary for scan in scans])
    class_names = _class_names(directory, scans, given, origin)
    _check_range(directory, index, len(class_names))
    _warn_of_lost_shards(old, index.shard_names)
    info = clips.DatasetInfo(
        class_names=class_names,
        label_kind=label_kind,
        shards=[scan.summary.entry for scan in scans],
        source=old.source if old else {"tool": TOOL, "pattern": pattern},
        skipped=old.skipped if old else [],
        files=old.files if old else {},
        teacher=_teacher(index, class_names, scans, old),
    )
    index.save(directory)
    info.save(directory)
    return info


def _existing(directory: str, overwrite: bool) -> clips.DatasetInfo | None:
    path = os.path.join(directory, "dataset.json")
    if not tf.io.gfile.exists(path):
        return None
    if not overwrite:
        raise FileExistsError(
            f"{path} is there; give --overwrite to replace it (its class names, label "
            "kind, source and skipped files are kept)"
        )
    try:
        return clips.DatasetInfo.load(directory)
    except ValueError as error:
        raise ValueError(
            f"{error}. Delete it to make a new one from the records alone"
        ) from error


def _label_kind(given: str, old: clips.DatasetInfo | None) -> str:
    kind = given or (old.label_kind if old else "")
    if kind not in ("weak", "clean"):
        raise ValueError(
            f"label_kind is {kind!r}, expected weak or clean (the records do not "
            "tell); give --label_kind"
        )
    return kind


def _given_classes(
    path: str, old: clips.DatasetInfo | None
) -> tuple[list[str] | None, str]:
    """Returns the class names that do not come from the records, and their place."""
    if path:
        with tf.io.gfile.GFile(clips.usable_path(path), "rb") as file:
            return parse_class_names(file.read(), path), path
    return (old.class_names, "dataset.json") if old else (None, "")


def _shard_names(directory: str, pattern: str) -> list[str]:
    if not tf.io.gfile.isdir(directory):
        raise FileNotFoundError(f"{directory} is no folder")
    names = sorted(
        name
        for name in tf.io.gfile.listdir(directory)
        if fnmatch.fnmatchcase(name, pattern) and ".incomplete-" not in name
    )
    if not names:
        raise FileNotFoundError(
            f"no file in {directory} fits the pattern {pattern!r}; give another "
            "--pattern"
        )
    return names


def _scan_shards(directory, names, num_workers) -> list[_ShardScan]:
    scan = functools.partial(_scan_shard, directory)
    scans = []
    with Progress(len(names), "shard", "reindexing") as progress:
        for result in map_shards(scan, names, num_workers):
            scans.append(result)
            progress.update(1)
    if not any(scan.summary.lengths for scan in scans):
        raise ValueError(f"{directory}: the {len(scans)} shards hold no record")
    return scans


def _scan_shard(directory: str, name: str) -> _ShardScan:
    """Scans the records of one shard; the only work of a worker."""
    path = os.path.join(clips.usable_path(directory), name)
    summary = clips.ShardSummary(name, [], [], [], [])
    names: dict[int, tuple[str, int]] = {}
    top_k = sys.maxsize
    for record, (length, facts) in enumerate(_scan_records(path)):
        labels, (first_choice, *_) = facts.context.labels, (*facts.teacher, -1)
        described = (facts.context, facts.choices)
        summary.append(length, facts.frames, labels[0], first_choice, *described)
        top_k = min(top_k, len(facts.teacher))
        for label, name in zip(labels, map(composed, facts.names), strict=False):
            known, first = names.setdefault(label, (name, record)) if name else ("", 0)
            if known != name:
                raise ValueError(
                    f"{path}, record {record}: label {label} is {name!r}, but "
                    f"{known!r} in record {first}"
                )
    return _ShardScan(summary, names, top_k)


def _scan_records(path: str):
    size = tf.io.gfile.stat(path).length
    with _opened(path) as shard:
        offset = record = 0
        while offset < size:
            try:
                start = offset + HEADER_BYTES
                length = record_length(shard[offset:start], size - offset)
                stop = start + length
                if "://" in path:  # a request per record is faster than one per frame
                    facts = scan_record(shard[start:stop], 0, length)
                else:
                    facts = scan_record(shard, start, stop)
            except (FramingError, LayoutError) as error:
                raise ValueError(
                    f"{path}, record {record} at byte {offset}: {error}"
                ) from error
            yield length, facts
            offset += HEADER_BYTES + length + FOOTER_BYTES
            record += 1


@contextlib.contextmanager
def _opened(path: str) -> Iterator[_Shard]:
    if "://" in path:
        with tf.io.gfile.GFile(path, "rb") as file:

            def seek_and_read(size: int, position: int) -> bytes:
                file.seek(position)
                return file.read(size)

            yield _Shard(seek_and_read)
        return
    with open(path, "rb", buffering=0) as file:
        # Reading ahead would fetch the frames that are hopped over.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        yield _Shard(functools.partial(os.pread, file.fileno()))


class _Shard:
    """A file whose bytes are read when they are asked for, by place or slice."""

    def __init__(self, read: Callable[[int, int], bytes]):
        self._read = read  # of size and position
        self._head, self._start, self._stop = b"", 0, 0

    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, slice):
            return self._read(place.stop - place.start, place.start)
        if not self._start <= place < self._stop:
            self._head = self._read(_HEAD_BYTES, place)
            self._start, self._stop = place, place + _HEAD_BYTES
        return self._head[place - self._start]


def _class_names(
    directory: str,
    scans: Sequence[_ShardScan],
    given: list[str] | None,
    origin: str,
) -> list[str]:
    """Returns the names by index, and checks that all sources agree."""
    known = {index: (name, origin) for index, name in enumerate(given or [])}
    for scan in scans:
        for label, (name, record) in scan.names.items():
            place = f"{scan.summary.name}, record {record}"
            expected, first = known.setdefault(label, (name, place))
            if name != expected and (given is None or label < len(given)):
                raise ValueError(
                    f"{directory}: label {label} is {name!r} in {place}, but "
                    f"{expected!r} in {first}; the classes must be the same"
                )
    if given is not None:
        return given
    values = [scan.summary.label_values for scan in scans]
    num_classes = max(max(each, default=-1) for each in values) + 1
    missing = [label for label in range(num_classes) if label not in known]
    if missing:
        raise ValueError(
            f"{directory}: no record names the classes {missing[:10]} "
            f"({len(missing)} of {num_classes}); give a file of all names with "
            "--classes"
        )
    names = [known[label][0] for label in range(num_classes)]
    name, count = collections.Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{directory}: the records give the name {name!r} to {count} class indices "
            f"({[i for i in range(num_classes) if names[i] == name]}), expected one"
        )
    return names


def _check_range(directory: str, index: clips.ClipIndex, num_classes: int) -> None:
    clip = np.arange(len(index))
    of_labels = np.repeat(clip, np.diff(index.label_splits))
    for column, values, rows, lowest in (
        ("label", index.labels, of_labels, 0),
        ("teacher", index.teacher, clip, -1),
    ):
        bad = np.flatnonzero((values < lowest) | (values >= num_classes))
        if len(bad):
            row, count = int(rows[bad[0]]), len(np.unique(rows[bad]))
            shard = int(index.shard[row])
            record = row - int(np.searchsorted(index.shard, shard))
            raise ValueError(
                f"{os.path.join(directory, index.shard_names[shard])}, record "
                f"{record}: {column} {values[bad[0]]} is no class, expected 0 to "
                f"{num_classes - 1}; {count} clips are affected. Give the file of "
                "all class names with --classes"
            )


def _warn_of_lost_shards(old: clips.DatasetInfo | None, names: Sequence[str]) -> None:
    former = {shard["name"] for shard in old.shards} if old else set()
    lost = sorted(former - set(names))
    if lost:
        logging.warning(
            "%d shards of the former dataset.json are not among those read, the first: "
            "%s",
            len(lost),
            lost[0],
        )


def _teacher(index, class_names, scans, old) -> dict | None:
    """Counts the confusion anew where every clip has a teacher's prediction."""
    without = int((index.teacher < 0).sum())
    if without:
        if without < len(index):
            logging.warning(
                "%d of %d clips have no teacher's prediction, so the dataset counts as "
                "one without; predict again",
                without,
                len(index),
            )
        return None
    confusion = ConfusionMatrix(class_names)
    confusion.update(index.label, index.teacher)
    former = (old.teacher if old else None) or {"checkpoint": "unknown"}
    return former | {
        "top_k": min(scan.top_k for scan in scans if scan.summary.lengths),
        "confusion": confusion.cell_lists(),
    }
