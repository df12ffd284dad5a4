"""A manifest as columns: 65 million rows in a few GB, their text left in the file."""

from __future__ import annotations

import array
import dataclasses
import math
from collections.abc import Callable

import numpy as np

from spl_tf.labels.several import SeveralLabels
from spl_tf.media_groups import media_group
from spl_tf.progress import shown
from tfrecords_tools.conversion.manifest import labels_in, seconds_in
from tfrecords_tools.subsets.records import read_records


@dataclasses.dataclass(frozen=True)
class ManifestTable:
    """What decides about n rows of a manifest.

    Attributes:
        names: Names of the labels, in alphabetical order.
        labels: All labels of the rows, as numbers of names.
        media: int32 [n], numbers in [0, m) of the rows' media. Rows of one `media_id`,
            or of one `video` where there is none, are of one medium.
        places: bool [r], which of the manifest's rows these are.
        seconds: float64 [n], how long each row is, NaN where nothing tells; empty where
            it was not asked for.
    """

    names: tuple[str, ...]
    labels: SeveralLabels
    media: np.ndarray
    places: np.ndarray
    seconds: np.ndarray

    def in_manifest(self, rows: np.ndarray) -> np.ndarray:
        """Marks some of these rows, bool [n], among the manifest's: bool [r]."""
        marked = self.places.copy()
        marked[self.places] = rows
        return marked

    def part(self, rows: np.ndarray) -> ManifestTable:
        """The table of some of the rows, bool [n], and the media that they have."""
        counts = np.diff(self.labels.splits)
        return dataclasses.replace(
            self,
            labels=_several(self.labels.values[np.repeat(rows, counts)], counts[rows]),
            media=_numbered(self.media[rows]),
            places=self.in_manifest(rows),
            seconds=self.seconds[rows] if len(self.seconds) else self.seconds,
        )

    def of_labels(self, labels: np.ndarray) -> ManifestTable:
        """The table of rows with one of some labels, bool [C], and these labels alone.

        Names stay, also those of labels that no row has any more.
        """
        kept = labels[self.labels.values]
        # How many are kept before each value.
        before = np.zeros(len(kept) + 1, np.int64)
        np.cumsum(kept, out=before[1:])
        counts = np.diff(before[self.labels.splits])
        rows = self.part(counts > 0)
        several = _several(self.labels.values[kept], counts[counts > 0])
        return dataclasses.replace(rows, labels=several)


def read_table(path: str, split: str = "", with_seconds: bool = False) -> ManifestTable:
    """Reads what decides about the rows of a manifest.

    Args:
        path: The file, see `tfrecords_tools.conversion.manifest`.
        split: Rows of other splits are passed over; none are when it is empty.
        with_seconds: Whether to read how long rows are: from `start` to `end`, or to
            the end of the video by a column `duration`.

    Raises:
        ValueError: It is no manifest, or has no row of the split; the message names
            the line.
    """
    records = read_records(path)
    header = next(records).cells
    column = {name: place for place, name in enumerate(header)}
    if split and "split" not in column:
        raise ValueError(f"{path}, line 1: column 'split' is missing; found {header}")
    video, label = column["video"], column["label"]
    media_id, more = column.get("media_id", video), column.get("more_labels")
    part, span = column.get("split"), spans_of(header)
    numbers: dict[str, int] = {}
    alone: dict[str, int] = {}  # the number of a cell's only label
    values, counts = array.array("i"), array.array("i")
    media, places, seconds = array.array("q"), array.array("b"), array.array("d")
    for line, _, cells in shown(records, None, "row", "reading rows"):
        if not cells[video] or not cells[label]:
            raise ValueError(f"{path}, line {line}: the video or its label is empty")
        is_wanted = not split or cells[part] == split
        places.append(is_wanted)
        if not is_wanted:
            continue
        first, others = cells[label], "" if more is None else cells[more]
        if first in alone and not others:
            values.append(alone[first])
            counts.append(1)
        else:
            names = labels_in(first, others)
            if "" in names or len(set(names)) < len(names):
                raise ValueError(
                    f"{path}, line {line}: the labels are {names}, expected names, "
                    "each once"
                )
            for name in names:
                values.append(numbers.setdefault(name, len(numbers)))
            counts.append(len(names))
            alone[first] = numbers[names[0]]
        media.append(media_group(cells[media_id] or cells[video]))
        if with_seconds:
            start, end = span(f"{path}, line {line}", cells)
            seconds.append(math.nan if end is None else end - start)
    if not counts:
        raise ValueError(f"{path} lists no files{split and f' of split {split!r}'}")
    names = tuple(sorted(numbers))
    rank = {name: place for place, name in enumerate(names)}
    ranks = np.array([rank[name] for name in numbers], np.int32)
    return ManifestTable(
        names,
        _several(ranks[np.frombuffer(values, np.int32)], np.array(counts)),
        _numbered(np.frombuffer(media, np.int64)),
        np.frombuffer(places, bool),
        np.array(seconds),
    )


def spans_of(header: list[str]) -> Callable[[str, list[str]], tuple]:
    """Makes what gives a row's start and end, in seconds, from its place and cells.

    The end is None where neither the column `end` nor `duration`, the video's, tells.
    """
    column = {name: place for place, name in enumerate(header)}
    places = [column.get(name) for name in ("start", "end", "duration")]

    def span(where: str, cells: list[str]) -> tuple[float, float | None]:
        start, end, duration = (
            None if place is None else seconds_in(where, header[place], cells[place])
            for place in places
        )
        start, end = start or 0.0, duration if end is None else end
        if end is not None and end <= start:
            raise ValueError(f"{where}: end {end} is not after start {start}")
        return start, end

    return span


def _several(values: np.ndarray, counts: np.ndarray) -> SeveralLabels:
    splits = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=splits[1:])
    return SeveralLabels(values, splits)


def _numbered(media: np.ndarray) -> np.ndarray:
    """The media's numbers in [0, m), int32 [n]."""
    ordered = np.sort(media)
    if (
        ordered[1:] != ordered[:-1]
    ).all():  # as in most manifests; a third of the memory
        return np.arange(len(media), dtype=np.int32)
    return np.unique(media, return_inverse=True)[1].astype(np.int32)
