"""A manifest as columns: 65 million rows in a few GB, their text left in the file."""

from __future__ import annotations

import array
import contextlib
import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from spl_tf.clips.remote_files import replacing
from spl_tf.labels.several import SeveralLabels
from spl_tf.media_groups import media_group
from spl_tf.text_files import DAMAGED, unpacked
from tfrecords_tools.conversion.manifest import labels_in

_EXPECTED = "a manifest, a CSV in UTF-8"
_NEEDED = ("video", "label")
_BUFFER_BYTES = 1 << 20


class Record(NamedTuple):
    """One row of a manifest.

    Attributes:
        line: Number of its last line in the file, for messages.
        text: It as it stands in the file, with the end of its line.
        cells: Its cells, as many as the header has.
    """

    line: int
    text: str
    cells: list[str]


@dataclasses.dataclass(frozen=True)
class ManifestTable:
    """What decides about n rows of a manifest.

    Attributes:
        names: Names of the labels, in alphabetical order.
        labels: All labels of the rows, as numbers of names.
        media: int64 [n], numbers in [0, m) of the rows' media. Rows of one `media_id`,
            or of one `video` where there is none, are of one medium.
        places: bool [r], which of the manifest's rows these are.
    """

    names: tuple[str, ...]
    labels: SeveralLabels
    media: np.ndarray
    places: np.ndarray

    def in_manifest(self, rows: np.ndarray) -> np.ndarray:
        """Marks some of these rows, bool [n], among the manifest's: bool [r]."""
        marked = self.places.copy()
        marked[self.places] = rows
        return marked


def read_records(path: str) -> Iterator[Record]:
    """Streams a manifest, its header first; empty lines are passed over.

    Args:
        path: A local or remote file, which may be compressed.

    Raises:
        ValueError: It cannot be read, lacks a column, or a row has another number of
            cells; the message names the line.
    """
    lines: list[str] = []  # of the row that is being read
    line = 0
    try:
        with tf.io.gfile.GFile(path, "rb") as remote:
            file = io.BufferedReader(_Bytes(remote), _BUFFER_BYTES)
            stream = unpacked(file, path, _EXPECTED)
            text = io.TextIOWrapper(stream, "utf-8", newline="")
            reader = csv.reader(_kept_in(lines, text), strict=True)
            width = 0
            for cells in reader:
                line = reader.line_num
                if not width:
                    _check_header(path, cells)
                    width = len(cells)
                if cells and len(cells) != width:
                    raise ValueError(
                        f"{path}, line {line}: {len(cells)} cells, but the header has "
                        f"{width}"
                    )
                if cells:
                    yield Record(line, "".join(lines), cells)
                lines.clear()
    except (csv.Error, UnicodeDecodeError, *DAMAGED) as error:
        raise ValueError(f"{path}, after line {line}: {error}") from error
    except tf.errors.OpError as error:
        raise ValueError(f"{path} cannot be read: {error.message}") from error
    if not width:
        raise ValueError(f"{path} is empty, expected {_EXPECTED}")


def read_table(path: str, split: str = "") -> ManifestTable:
    """Reads what decides about the rows of a manifest.

    Args:
        path: The file, see `tfrecords_tools.conversion.manifest`.
        split: Rows of other splits are passed over; none are when it is empty.

    Raises:
        ValueError: It is no manifest, or has no row of the split; the message names
            the line.
    """
    records = read_records(path)
    header = next(records).cells
    column = {name: place for place, name in enumerate(header)}
    if split and "split" not in column:
        raise ValueError(f"{path}, line 1: column 'split' is missing; found {header}")
    video, label = (column[name] for name in _NEEDED)
    media_id, more = column.get("media_id", video), column.get("more_labels")
    part = column.get("split")
    numbers: dict[str, int] = {}
    values, counts = array.array("i"), array.array("i")
    media, places = array.array("q"), array.array("b")
    for line, _, cells in records:
        if not cells[video] or not cells[label]:
            raise ValueError(f"{path}, line {line}: the video or its label is empty")
        places.append(not split or cells[part] == split)
        if not places[-1]:
            continue
        names = labels_in(cells[label], more and cells[more])
        values.extend(numbers.setdefault(name, len(numbers)) for name in names)
        counts.append(len(names))
        media.append(media_group(cells[media_id] or cells[video]))
    if not counts:
        raise ValueError(f"{path} lists no files{split and f' of split {split!r}'}")
    names = tuple(sorted(numbers))
    rank = {name: place for place, name in enumerate(names)}
    ranks = np.array([rank[name] for name in numbers], np.int32)
    splits = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(np.frombuffer(counts, np.int32), out=splits[1:])
    return ManifestTable(
        names,
        SeveralLabels(ranks[np.frombuffer(values, np.int32)], splits),
        np.unique(np.frombuffer(media, np.int64), return_inverse=True)[1],
        np.frombuffer(places, bool),
    )


def write_rows(path: str, outputs: Mapping[str, np.ndarray]) -> None:
    """Copies rows of a manifest, byte for byte and in their order, behind its header.

    Args:
        path: The manifest.
        outputs: By the path of a file to write, bool [r]: which rows it gets. All
            files are written whole, or none.

    Raises:
        ValueError: The manifest changed since its rows were counted.
    """
    changed = ValueError(f"{path} changed while it was read; start anew")
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(_writing(output)) for output in outputs]
        records = read_records(path)
        header = next(records).text
        for file in files:
            file.write(header)
        # Unlike lists, these make no object for each row.
        kept = [memoryview(rows) for rows in outputs.values()]
        count = 0
        for row, record in enumerate(records):
            count = row + 1
            if count > len(kept[0]):
                raise changed
            for file, rows in zip(files, kept, strict=True):
                if rows[row]:
                    file.write(record.text)
        if count != len(kept[0]):
            raise changed


@contextlib.contextmanager
def _writing(path: str) -> Iterator[io.TextIOWrapper]:
    tf.io.gfile.makedirs(os.path.dirname(path) or ".")
    with replacing(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as remote:
        file = io.BufferedWriter(_Bytes(remote), _BUFFER_BYTES)
        with io.TextIOWrapper(file, "utf-8", newline="") as text:
            yield text


class _Bytes(io.RawIOBase):
    """What `io` needs of a file, local or remote, to buffer it."""

    def __init__(self, file: tf.io.gfile.GFile):
        self._file = file

    def readable(self) -> bool:
        """Always: opened for writing, the file itself refuses."""
        return True

    writable = readable

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer as far as there is something."""
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def write(self, content: memoryview) -> int:
        """Writes all of it."""
        self._file.write(bytes(content))
        return len(content)


def _check_header(path: str, header: list[str]) -> None:
    for name in _NEEDED:
        if name not in header:
            raise ValueError(
                f"{path}, line 1: column {name!r} is missing; found {header}"
            )
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise ValueError(f"{path}, line 1: column {repeated[0]!r} stands there twice")


def _kept_in(kept: list[str], lines: Iterable[str]) -> Iterator[str]:
    """Gives lines on and keeps them; a byte order mark is only kept."""
    for number, line in enumerate(lines):
        kept.append(line)
        yield line if number else line.removeprefix("\ufeff")
