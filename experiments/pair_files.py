"""Streams (weak label, teacher prediction) pairs out of CSV, gzip and Parquet files."""

import contextlib
import csv
import gzip
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

STANDARD_INPUT = "-"

# Bytes of CSV, or rows of Parquet, that are in memory at once.
_BLOCK_BYTES = 1 << 23
_BATCH_ROWS = 1 << 19

_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_INDEX = re.compile(r"\s*(\d+)(?:\.0*)?\s*", re.ASCII)
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
_UNREADABLE = (pa.ArrowException, EOFError, gzip.BadGzipFile, zlib.error, csv.Error)


def read_pairs(
    path: str,
    class_names: Sequence[str],
    weak_column: str | None = None,
    teacher_column: str | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the pairs of a file in its order, batch by batch.

    A value is a class name, exactly as in class_names, or else a class index (`3` or
    `3.0`). A CSV file has a header. What a file is, is told from its first bytes.

    Args:
        path: A CSV file, one in gzip, or a Parquet file; `-` reads a CSV, in gzip or
            not, from standard input.
        class_names: The N names in index order.
        weak_column: Name of the column with weak labels; without it the column
            `weak`, or else the first one.
        teacher_column: Name of the column with the teacher's predictions; without it
            the column `teacher`, or else the second one.

    Yields:
        weak and teacher, int32 [n], in [0, N).

    Raises:
        FileNotFoundError: The file is not there.
        ValueError: A column is missing, a value is neither a name nor an index, or
            the file is damaged; the message names file, row, column and value. Row 1
            is the first row after the header.
    """
    name = "standard input" if path == STANDARD_INPUT else path
    decoder = _LabelDecoder(class_names, name)
    columns = (weak_column, teacher_column)
    with contextlib.ExitStack() as stack:
        file = sys.stdin.buffer
        if path != STANDARD_INPUT:
            file = stack.enter_context(open(path, "rb"))
        magic = file.peek(4)[:4]
        if magic == _PARQUET_MAGIC:
            batches = _parquet_batches(file, name, columns)
        else:
            if magic[:2] == _GZIP_MAGIC:
                file = stack.enter_context(gzip.open(file))
            batches = _csv_batches(file, name, columns, decoder)
        try:
            for labels, weak, teacher in batches:
                yield decoder.decode(labels, weak, teacher)
        except _UNREADABLE as error:
            raise ValueError(
                f"{name} cannot be read after row {decoder.rows}: {error}"
            ) from error


class _LabelDecoder:
    """Turns columns of names or indices into class indices, and counts the rows."""

    def __init__(self, class_names: Sequence[str], name: str):
        self._indices = {name: index for index, name in enumerate(class_names)}
        self._name = name
        self.rows = 0

    def index_of(self, value: object) -> int | None:
        """Returns the class index that a value stands for, or None."""
        text = value if isinstance(value, str) else str(value)
        index = self._indices.get(text)
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
            self._refuse(values[place].as_py(), self.rows + place + 1, column)
        return labels

    def _refuse(self, value: object, row: int, column: str) -> None:
        found = "empty" if value is None or value == "" else repr(value)
        raise ValueError(
            f"{self._name}, row {row}, column {column!r}: {found}, expected one of the "
            f"class names or an index from 0 to {len(self._indices) - 1}"
        )


def _csv_batches(
    file: BinaryIO,
    name: str,
    columns: tuple[str | None, str | None],
    decoder: _LabelDecoder,
) -> Iterator[tuple[Sequence[str], pa.Array, pa.Array]]:
    header = _read_header(file, name)
    places = _find_columns(header, columns, name)
    labels = [header[place] for place in places]
    if columns == (None, None) and None not in map(decoder.index_of, labels):
        raise ValueError(
            f"{name} has no header: its first row is the labels {labels[0]!r} and "
            f"{labels[1]!r}; add one, such as weak,teacher (or name the columns)"
        )
    # The header is read, so Arrow sees rows only, and names the columns f0, f1, ...
    wanted = [f"f{place}" for place in places]
    try:
        reader = pyarrow.csv.open_csv(
            file,
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
        yield labels, batch.column(wanted[0]), batch.column(wanted[1])


def _read_header(file: BinaryIO, name: str) -> list[str]:
    try:
        # The csv module asks for a second line only inside of quotes.
        header = next(csv.reader(line.decode("utf-8-sig") for line in file), None)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is no CSV in UTF-8: {error}") from error
    if not header:
        raise ValueError(f"{name} is empty, expected a CSV with a header")
    return [column.strip() for column in header]


def _find_columns(
    header: Sequence[str], columns: tuple[str | None, str | None], name: str
) -> tuple[int, int]:
    if len(header) < 2:
        raise ValueError(
            f"{name} has the single column {header[0]!r}, expected two columns, "
            "separated by a comma"
        )
    places: list[int] = []
    for position, (wanted, default) in enumerate(
        zip(columns, ("weak", "teacher"), strict=True)
    ):
        if wanted is None and default in header:
            wanted = default
        if wanted is None:
            places.append(position)
        elif header.count(wanted) == 1:
            places.append(header.index(wanted))
        else:
            raise ValueError(
                f"{name} has {header.count(wanted)} columns {wanted!r}, expected one; "
                f"its columns are {', '.join(map(repr, header))}"
            )
    if places[0] == places[1]:
        raise ValueError(
            f"{name}: column {header[places[0]]!r} cannot hold both the weak label and "
            "the teacher's prediction; name both columns"
        )
    return places[0], places[1]


def _parquet_batches(
    file: BinaryIO, name: str, columns: tuple[str | None, str | None]
) -> Iterator[tuple[Sequence[str], pa.Array, pa.Array]]:
    if not file.seekable():
        raise ValueError(f"{name} is a Parquet stream; Parquet needs a file")
    parquet = pyarrow.parquet.ParquetFile(file)
    header = parquet.schema_arrow.names
    labels = [header[place] for place in _find_columns(header, columns, name)]
    for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=labels):
        yield labels, batch.column(labels[0]), batch.column(labels[1])
