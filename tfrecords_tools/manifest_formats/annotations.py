"""Reading the CSV files, lists and JSON files that datasets come with."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from spl_tf.text_files import composed
from tfrecords_tools.conversion.manifest import read_text


def only_path(annotations: Sequence[str], expected: str) -> str:
    """The one path given.

    Args:
        annotations: Paths that `--annotations` gave.
        expected: What it is, for the message.

    Raises:
        ValueError: No path or several were given.
    """
    if len(annotations) != 1:
        raise ValueError(
            f"--annotations is {list(annotations)}, expected one path: {expected}"
        )
    return annotations[0]


def no_path(annotations: Sequence[str], why: str) -> None:
    """Raises a ValueError if `--annotations` was given to a format that has none."""
    if annotations:
        raise ValueError(f"--annotations is {list(annotations)}, but {why}")


def by_name(
    annotations: Sequence[str], kinds: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """What each of several files is, by its name.

    Args:
        annotations: Paths that `--annotations` gave.
        kinds: Words of file names.

    Yields:
        The first of `kinds` that a file's name has in it, and its path.

    Raises:
        ValueError: No file was given, or a name has none of `kinds` in it.
    """
    if not annotations:
        raise ValueError(
            f"--annotations is missing, expected files with {list(kinds)} in their "
            "names; repeat it for each"
        )
    for path in annotations:
        name = path.rsplit("/", 1)[-1].lower()
        kind = next((kind for kind in kinds if kind in name), None)
        if kind is None:
            raise ValueError(
                f"--annotations {path}: expected one of {list(kinds)} in the file's "
                "name, which says what it holds"
            )
        yield kind, path


def header_of(path: str) -> list[str]:
    """The names of a CSV's columns, without surrounding blanks.

    Raises:
        ValueError: It cannot be read.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    return [name.strip() for name in next(reader, [])]


def read_columns(path: str, names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Reads the named columns of a CSV in UTF-8 with a header.

    Args:
        path: The file; it may have further columns.
        names: The columns that are wanted, by their header.

    Yields:
        The line number and the cells in the order of `names`, stripped and composed
        (NFC).

    Raises:
        ValueError: It cannot be read, a column is missing, or a row is malformed; the
            message names the line.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        for name in names:
            if header.count(name) != 1:
                raise ValueError(
                    f"{path}, line 1: expected one column {name!r}, found {header}; "
                    f"needed are {list(names)}"
                )
        positions = [header.index(name) for name in names]
        for cells in reader:
            if len(cells) != len(header):
                raise ValueError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, but the "
                    f"header has {len(header)}"
                )
            found = [composed(cells[position]).strip() for position in positions]
            yield reader.line_num, found
    except csv.Error as error:
        raise ValueError(f"{path}, after line {reader.line_num}: {error}") from error


def read_words(path: str, counts: tuple[int, ...]) -> Iterator[tuple[int, list[str]]]:
    """Reads lines of words with spaces between; empty lines do not count.

    Args:
        path: Path of the text file.
        counts: How many words a line may have.

    Yields:
        The line number and its words, composed (NFC).

    Raises:
        ValueError: It cannot be read, or a line has another number of words.
    """
    for number, line in enumerate(composed(read_text(path)).split("\n"), start=1):
        words = line.split()
        if words and len(words) not in counts:
            raise ValueError(
                f"{path}, line {number}: {line.strip()!r} has {len(words)} words, "
                f"expected {' or '.join(map(str, counts))}"
            )
        if words:
            yield number, words


def read_json(path: str) -> Any:
    """Reads a JSON file.

    Raises:
        ValueError: It cannot be read, or is not JSON; the message names the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}: not JSON: {error.msg}"
        ) from error
    except RecursionError as error:
        raise ValueError(f"{path}: not JSON that can be read: {error}") from error


def stem_of(path: str) -> str:
    """A file's name without folders and ending."""
    return os.path.splitext(path.rsplit("/", 1)[-1])[0]
