"""Rows of a manifest as their text, read and written one after the other."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from spl_tf.progress import shown
from tfrecords_tools.conversion.streams import reading, writing

_EXPECTED = "a manifest, a CSV in UTF-8"
_NEEDED = ("video", "label")


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


# Gives the cells that are written for those of a row, from the header's and them.
Edit = Callable[[list[str], list[str]], list[str]]


class Output(NamedTuple):
    """A manifest to write of some rows of another.

    Attributes:
        path: The file.
        rows: bool [r], which rows it gets.
        edits: What changes a row's cells, see `tfrecords_tools.subsets.edits`; a row
            whose cells stay keeps its bytes.
    """

    path: str
    rows: np.ndarray
    edits: Sequence[Edit] = ()


def read_records(path: str) -> Iterator[Record]:
    """Streams a manifest, its header first; empty lines are passed over.

    Args:
        path: A local or remote file, which may be compressed.

    Raises:
        ValueError: It cannot be read, lacks a column, or a row has another number of
            cells; the message names the line.
    """
    lines: list[str] = []  # of the row that is being read
    line = width = 0
    try:
        with reading(path, _EXPECTED) as stream:
            text = io.TextIOWrapper(stream, "utf-8", newline="")
            reader = csv.reader(_kept_in(lines, text), strict=True)
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
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}, after line {line}: {error}") from error
    if not width:
        raise ValueError(f"{path} is empty, expected {_EXPECTED}")


def write_rows(path: str, outputs: Sequence[Output]) -> None:
    """Copies rows of a manifest in their order, behind its header.

    Args:
        path: The manifest.
        outputs: What to write; each file is written whole, and none after an error.

    Raises:
        ValueError: The manifest changed since its rows were counted.
    """
    changed = ValueError(f"{path} changed while it was read; start anew")
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(writing(output.path)) for output in outputs]
        records = read_records(path)
        header = next(records)
        for file, output in zip(files, outputs, strict=True):
            file.write(_text(header, header.cells, output.edits))
        # Unlike lists, these make no object for each row.
        kept = [memoryview(output.rows) for output in outputs]
        number = 0
        records = shown(records, len(kept[0]), "row", "writing rows")
        for row, record in enumerate(records):
            number = row + 1
            if number > len(kept[0]):
                raise changed
            for file, output, rows in zip(files, outputs, kept, strict=True):
                if rows[row]:
                    file.write(_text(record, header.cells, output.edits))
        if number != len(kept[0]):
            raise changed


def _text(record: Record, header: list[str], edits: Sequence[Edit]) -> str:
    """What is written for a row."""
    if not edits:
        return record.text
    cells = record.cells
    for edit in edits:
        cells = edit(header, cells)
    if cells == record.cells:
        return record.text
    end = record.text[len(record.text.rstrip("\r\n")) :]
    text = io.StringIO()
    csv.writer(text, lineterminator=end or "\n").writerow(cells)
    mark = "\ufeff" if record.text.startswith("\ufeff") else ""
    return mark + text.getvalue()


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
