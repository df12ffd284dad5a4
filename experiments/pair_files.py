"""Streams (weak label, teacher prediction) pairs out of CSV and Parquet files."""

import contextlib
import csv
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from spl_tf.text_files import DAMAGED, composed, unpacked

STANDARD_INPUT = "-"
_STANDARD_INPUT_NAME = "standard input"

# Bytes of CSV, or rows of Parquet, that are in memory at once.
_BLOCK_BYTES = 1 << 23
_BATCH_ROWS = 1 << 19

_PARQUET_MAGIC = b"PAR1"
_INDEX = re.compile(r"\s*(\d+)(?:\.0*)?\s*", re.ASCII)
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
_UNREADABLE = (pa.ArrowException, csv.Error, *DAMAGED)
_EXPECTED = "a CSV in UTF-8 (gzip, bzip2, xz and zstd are unpacked) or a Parquet file"
_SHOWN_LETTERS = 80

# What a column of weak labels and one of predictions may be called, in small letters;
# the first of each is taken before the others.
_KNOWN_NAMES = (
    ("weak", "weak_label", "weak_class", "query", "search_query", "hashtag", "label"),
    (
        *("teacher", "teacher_label", "teacher_class", "teacher_prediction"),
        *("prediction", "predictions", "predicted", "predicted_label"),
        *("predicted_class", "pred", "pred_label", "pred_class"),
    ),
)
_ROLES = ("weak label", "teacher's prediction")
_FLAGS = ("--weak_column", "--teacher_column")
# Last words of columns that hold something else. pandas calls an index "" or
# "Unnamed: 0", and "__index_level_0__" in Parquet.
_NO_LABEL = re.compile(
    r"(unnamed.*|_*index_level.*|(.*_)?(|index|idx|ids?|rows?|clips?|videos?|images?|"
    r"media|frames?|path|file|filename|key|ur[il]|number|split|score|confidence|"
    r"prob|probability))",
)


def read_pairs(
    path: str,
    class_names: Sequence[str],
    weak_column: str | None = None,
    teacher_column: str | None = None,
    classes: str | os.PathLike = "",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the pairs of a file in its order, batch by batch.

    A value is a class name, as in class_names but for Unicode's form (NFC, NFD), or
    else a class index (`3` or `3.0`). A CSV file has a header. What a file is, is told
    from its first bytes.

    Args:
        path: A CSV file, which may be compressed (gzip, bzip2, xz, zstd), or a Parquet
            file; `-` reads a CSV, compressed or not, from standard input.
        class_names: The N names in index order.
        weak_column: Name of the column with weak labels; without it `weak`, or else the
            only one of `_KNOWN_NAMES`, or else the first or the other one of two.
        teacher_column: Name of the column with the teacher's predictions; without it
            found likewise, from `teacher` to the second of two.
        classes: Where the class names are from, for messages.

    Yields:
        Weak and teacher's labels of a batch, int32 [n] each, in [0, N).

    Raises:
        FileNotFoundError: The file is not there.
        ValueError: It is not clear which columns are meant, a value is neither a name
            nor an index, or the file is of another format or damaged. The message
            names column, value and place: `line N` of a CSV file (the last one, where
            a row spans several), and `row N` where there are no lines to look up, in
            Parquet and standard input (1 is the first row after the header).
    """
    name = _STANDARD_INPUT_NAME if path == STANDARD_INPUT else path
    decoder = _LabelDecoder(class_names, name, os.fspath(classes))
    columns = (weak_column, teacher_column)
    with contextlib.ExitStack() as stack:
        file = sys.stdin.buffer
        if path != STANDARD_INPUT:
            file = stack.enter_context(open(path, "rb"))
        is_parquet = file.peek(4)[:4] == _PARQUET_MAGIC
        read = _read_parquet if is_parquet else _read_csv
        try:
            yield from read(file, name, columns, decoder)
        except _UNREADABLE as error:
            raise ValueError(
                f"{name} cannot be read after row {decoder.rows}: {error}"
            ) from error


class _FaultError(ValueError):
    """A value is neither a class name nor a class index."""


class _LabelDecoder:
    """Turns columns of names or indices into class indices, and counts the rows."""

    def __init__(self, class_names: Sequence[str], name: str, classes: str):
        self._indices = {composed(name): i for i, name in enumerate(class_names)}
        self._name = name
        self._classes = f" in {classes}" if classes else ""
        self.rows = 0

    def index_of(self, value: object) -> int | None:
        """Returns the class index that a value stands for, or None."""
        text = value if isinstance(value, str) else str(value)
        index = self._indices.get(composed(text))
        if index is None and (match := _INDEX.fullmatch(text)):
            index = int(match[1])
        return index if index is not None and index < len(self._indices) else None

    def decode(
        self, columns: Sequence[str], weak: pa.Array, teacher: pa.Array
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns both columns of a batch as int32 [n]."""
        pair = [self._decode(weak, columns[0]), self._decode(teacher, columns[1])]
        self.rows += len(weak)
        return pair[0], pair[1]

    def _decode(self, values: pa.Array, column: str) -> np.ndarray:
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        # Python looks at each distinct value once, not at each row.
        distinct = values.dictionary.to_pylist()
        indices = [self.index_of(value) for value in distinct]
        table = np.array([-1 if i is None else i for i in indices], np.int32)
        codes = values.indices.fill_null(len(table)).to_numpy(zero_copy_only=False)
        labels = np.append(table, np.int32(-1))[codes]
        # Only the labels that occur count: a dictionary may hold more.
        if len(labels) and labels.min() < 0:
            place = int(np.argmin(labels))
            where = f"row {self.rows + place + 1}"
            raise _FaultError(self.fault(values[place].as_py(), where, column))
        return labels

    def fault(self, value: object, where: str, column: str) -> str:
        """Says that a value is no label."""
        found = "empty" if value is None or value == "" else repr(value)
        if len(found) > _SHOWN_LETTERS:
            found = f"{found[:_SHOWN_LETTERS]}..."
        return (
            f"{self._name}, {where}, column {column!r}: {found}, expected one of the "
            f"class names{self._classes} or an index from 0 to {len(self._indices) - 1}"
        )


def _read_csv(
    file: BinaryIO,
    name: str,
    columns: tuple[str | None, str | None],
    decoder: _LabelDecoder,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    text = unpacked(file, name, _EXPECTED)
    header = next(_csv_rows(text, name))[1]
    if columns == (None, None) and None not in map(decoder.index_of, header[:2]):
        raise ValueError(
            f"{name} has no header: its first row is the labels "
            f"{' and '.join(map(repr, header[:2]))}; add one, such as weak,teacher (or "
            f"name the columns, {' and '.join(_FLAGS)})"
        )
    places = _find_columns(header, columns, name)
    labels = [header[place] for place in places]
    try:
        for weak, teacher in _csv_batches(text, places):
            yield decoder.decode(labels, weak, teacher)
    except (_FaultError, *_UNREADABLE) as error:
        # Arrow does not tell lines. A pipe cannot be read again.
        fault = ""
        if name != _STANDARD_INPUT_NAME and os.path.isfile(name):
            with open(name, "rb") as again:
                fault = _find_fault(again, name, places, decoder)
        if not fault:
            raise
        raise ValueError(fault) from error


def _csv_batches(
    file: BinaryIO, places: Sequence[int]
) -> Iterator[tuple[pa.Array, pa.Array]]:
    # The header is read, so Arrow sees rows only, and names the columns f0, f1, ...
    wanted = [f"f{place}" for place in places]
    try:
        reader = pyarrow.csv.open_csv(
            _EndedByNewline(file),
            pyarrow.csv.ReadOptions(
                block_size=_BLOCK_BYTES, autogenerate_column_names=True
            ),
            pyarrow.csv.ParseOptions(newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                include_columns=list(dict.fromkeys(wanted)),
                column_types=dict.fromkeys(wanted, _DICTIONARY),
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise
    for batch in reader:
        yield batch.column(wanted[0]), batch.column(wanted[1])


class _EndedByNewline(io.RawIOBase):
    """A file and a newline: to Arrow, a single row without one is no row."""

    def __init__(self, file: BinaryIO):
        self._file, self._has_ended = file, False

    def readable(self) -> bool:
        return True

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        if len(content) < size and not self._has_ended:
            self._has_ended = True
            content += b"\n"
        return content


def _csv_rows(file: BinaryIO, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the line and the cells of each row, first of the header."""
    # The csv module asks for a second line only inside of quotes.
    rows = csv.reader((line.decode("utf-8-sig") for line in file), strict=True)
    read = 0
    try:
        header = [composed(column).strip() for column in next(rows, [])]
        if not header:
            raise ValueError(f"{name} is empty, expected {_EXPECTED}, with a header")
        yield rows.line_num, header
        read = rows.line_num
        for row in rows:
            read = rows.line_num
            if row:  # Empty lines are no rows, to Arrow as well.
                yield read, row
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name}, line {rows.line_num + 1}: not UTF-8 ({error.reason}), expected "
            f"{_EXPECTED}"
        ) from error
    except _UNREADABLE as error:
        raise ValueError(f"{name} cannot be read after line {read}: {error}") from error


def _find_fault(
    file: BinaryIO, name: str, places: Sequence[int], decoder: _LabelDecoder
) -> str:
    """Says what is wrong with a CSV, and in which line; "" if nothing is found."""
    try:
        rows = _csv_rows(unpacked(file, name, _EXPECTED), name)
        header = next(rows)[1]
        for line, cells in rows:
            if len(cells) != len(header):
                return (
                    f"{name}, line {line}: {len(cells)} cells, but the header has "
                    f"{len(header)}"
                )
            for place in places:
                if decoder.index_of(cells[place]) is None:
                    return decoder.fault(cells[place], f"line {line}", header[place])
    except ValueError as error:
        return str(error)
    return ""


def _find_columns(
    header: Sequence[str], columns: tuple[str | None, str | None], name: str
) -> tuple[int, int]:
    if len(header) < 2:
        raise ValueError(
            f"{name} has the single column {header[0]!r}, expected two columns, "
            "separated by a comma"
        )
    places = [
        _known_place(header, known) if column is None else _place(header, column, name)
        for column, known in zip(columns, _KNOWN_NAMES, strict=True)
    ]
    if len(header) == 2:
        # The first is the weak label, unless the other one is.
        for role, other in ((0, places[1]), (1, places[0])):
            rest = role if other is None else 1 - other
            if places[role] is None and not _NO_LABEL.fullmatch(_plain(header[rest])):
                places[role] = rest
    if None in places:
        unclear = [role for role, place in enumerate(places) if place is None]
        raise ValueError(
            f"{name}: it is not clear which column is the "
            f"{' and which the '.join(_ROLES[role] for role in unclear)}; say so with "
            f"{' and '.join(_FLAGS[role] for role in unclear)}. The columns are "
            f"{', '.join(map(repr, header))}"
        )
    if places[0] == places[1]:
        raise ValueError(
            f"{name}: column {header[places[0]]!r} cannot hold both the weak label and "
            f"the teacher's prediction; name both, {' and '.join(_FLAGS)}"
        )
    return places[0], places[1]


def _place(header: Sequence[str], column: str, name: str) -> int:
    count = header.count(composed(column))
    if count != 1:
        raise ValueError(
            f"{name} has {count} columns {column!r}, expected one; its columns are "
            f"{', '.join(map(repr, header))}"
        )
    return header.index(composed(column))


def _known_place(header: Sequence[str], known: Sequence[str]) -> int | None:
    """The column of a known name, if there is no doubt."""
    plain = list(map(_plain, header))
    for names in (known[:1], known):
        found = [place for place, name in enumerate(plain) if name in names]
        if len(found) == 1:
            return found[0]
    return None


def _plain(column: str) -> str:
    return re.sub(r"[\s._-]+", "_", column.strip().lower())


def _read_parquet(
    file: BinaryIO,
    name: str,
    columns: tuple[str | None, str | None],
    decoder: _LabelDecoder,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if not file.seekable():
        raise ValueError(f"{name} is a Parquet stream; Parquet needs a file")
    parquet = pyarrow.parquet.ParquetFile(file)
    schema = parquet.schema_arrow
    places = _find_columns(list(map(composed, schema.names)), columns, name)
    labels = [schema.names[place] for place in places]
    for place in places:
        _check_type(schema.field(place), name)
    for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=labels):
        weak, teacher = (batch.column(label) for label in labels)
        yield decoder.decode(labels, weak, teacher)


def _check_type(field: pa.Field, name: str) -> None:
    kind = field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    known = ("integer", "float32", "float64", "decimal", "string", "large_string")
    # A column without a single value has the type null; its rows say so.
    if not any(getattr(pa.types, f"is_{type_name}")(kind) for type_name in known) and (
        not pa.types.is_null(kind)
    ):
        raise ValueError(
            f"{name}, column {field.name!r}: its type is {field.type}, expected "
            "strings (class names), or integers or whole float32 or float64 (indices)"
        )
