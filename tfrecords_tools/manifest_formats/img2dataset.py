"""What img2dataset downloaded: images in shards, with a Parquet file beside each.

`--output_format=files` makes `00000/000000012.jpg` and so on, and `00000.parquet` that
lists them; `--output_format=parquet` only the latter, which then holds the images, too.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf

from spl_tf import clips
from spl_tf.files import plain_name
from spl_tf.progress import Progress
from spl_tf.text_files import composed
from tfrecords_tools.manifest_formats.annotations import no_path
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    Entry,
    Listing,
    ManifestSettings,
)
from tfrecords_tools.manifest_formats.queries import QueryLabels

_SHARD = re.compile(r"(.*/)?\d+\.parquet")
_ENCODINGS = ("jpg", "png", "webp")  # its --encode_format; also names of the column
_SUCCESS, _NO_QUERY = "success", "no query"
_QUERY_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
_BATCH = 100  # rows, as it writes them


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Lists what the Parquet files do; what was not downloaded has that as its reason.

    The label of an image is its query, or what `queries` says for it. The query is the
    caption, or another column that img2dataset was told to keep
    (`--save_additional_columns`). The media id is the image's path.

    Args:
        files: Parquet files and, of `--output_format=files`, images.
        annotations: Must be empty: the Parquet files say all.
        settings: Its `queries`, `query_column` and `extract_images` are read.

    Returns:
        The classes in alphabetical order.

    Raises:
        ValueError: A Parquet file is damaged or lacks a column, a query is not in
            `queries`, or images are inside of Parquet files and may not be extracted.
    """
    no_path(annotations, "the Parquet files are beside the images")
    shards = [path for path in files.paths if _SHARD.fullmatch(path)]
    if not shards:
        raise ValueError(
            f"{files.root} holds no 00000.parquet or the like, expected what "
            "img2dataset wrote with --output_format=files or parquet"
        )
    queries = QueryLabels(settings.queries)
    entries: list[Entry] = []
    with Progress(len(shards), "shard", "reading shards") as progress:
        for shard in shards:
            entries += _entries(files, shard, queries, settings)
            progress.update()
    tar = files.lookup(shards[0].removesuffix(".parquet") + ".tar")
    if tar and not any(entry.video for entry in entries):
        raise ValueError(
            f"{files.path(tar)}: the images are in archives (--output_format="
            "webdataset), expected files: unpack each into a folder of its name"
        )
    return Listing(queries.class_names(entries), entries)


def extract_images(files: FileIndex, entries: Sequence[Entry]) -> None:
    """Writes images that are inside of Parquet files beside them.

    They get the places that `--output_format=files` gives them, and are replaced.

    Args:
        files: The files that `read` looked at.
        entries: Entries of `read` whose images are to be written.

    Raises:
        ValueError: A Parquet file is damaged.
    """
    shards = collections.defaultdict(dict)
    for entry in entries:
        shards[entry.source][entry.name] = files.path(entry.video)
    with Progress(len(entries), "image", "extracting images") as progress:
        for shard, places in shards.items():
            tf.io.gfile.makedirs(os.path.dirname(next(iter(places.values()))))
            columns = ["key", _image_column(_schema(shard))]
            for key, content in _rows(shard, columns) if all(columns) else ():
                if key in places:
                    clips.write_atomically(places[key], content)
                    progress.update()


def _entries(files, shard, queries, settings) -> Iterator[Entry]:
    folder, where = shard.removesuffix(".parquet"), files.path(shard)
    schema = _schema(where)
    column = _image_column(schema)
    if column and not settings.extract_images:
        raise ValueError(
            f"{where} holds the images itself, and convert_images reads files: "
            f"--extract_images writes those that enter the manifest to {folder}/"
        )
    endings = [column] if column else _ENCODINGS
    columns = _columns(schema, settings.query_column, where)
    for key, status, query in _rows(where, columns):
        plain_name(key, where)
        query = composed(str("" if query is None else query)).strip()
        paths = [f"{folder}/{key}.{ending}" for ending in endings]
        there = paths if column else filter(None, map(files.lookup, paths))
        video = next(iter(there), "")
        reason = "" if video else MISSING
        if status != _SUCCESS:
            reason = status or MISSING
        elif not query:
            reason = _NO_QUERY
        label = queries.label_of(query, where) if query else ""
        yield Entry(where, 0, key, label, "", video or paths[0], video, reason=reason)


def _columns(schema: pa.Schema, query: str, where: str) -> list[str]:
    """Key, status and query, which must be text or whole numbers."""
    for name in ("key", "status", query):
        if name not in schema.names:
            hint = ""
            if name == query:
                hint = "; --query_column says which one has the query"
            raise ValueError(
                f"{where} has no column {name!r}, found {schema.names}{hint}"
            )
    kind = schema.field(query).type
    if not any(is_kind(kind) for is_kind in _QUERY_TYPES):
        raise ValueError(f"{where}: the column {query!r} has {kind}, expected text")
    return ["key", "status", query]


def _image_column(schema: pa.Schema) -> str:
    """The column that has the images; empty if they are files."""
    names = [name for name in schema.names if name in _ENCODINGS]
    return next((n for n in names if pa.types.is_binary(schema.field(n).type)), "")


def _schema(path: str) -> pa.Schema:
    with _opened(path) as parquet:
        return parquet.schema_arrow


def _rows(path: str, names: Sequence[str]) -> Iterator[tuple]:
    with _opened(path) as parquet:
        for batch in parquet.iter_batches(batch_size=_BATCH, columns=list(names)):
            columns = [batch.column(name).to_pylist() for name in names]
            yield from zip(*columns, strict=True)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pyarrow.parquet.ParquetFile]:
    with tf.io.gfile.GFile(path, "rb") as file:
        file.closed = False  # as pyarrow asks
        try:
            yield pyarrow.parquet.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{path} cannot be read: {error}; a shard that was interrupted is made "
                "anew by the same img2dataset command"
            ) from error
