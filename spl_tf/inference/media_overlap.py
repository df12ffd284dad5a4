"""Which videos the clips of a dataset were cut from, without reading the frames.

The context of a `tf.train.SequenceExample` comes before its feature lists, so the
first bytes of a record hold its media id.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from spl_tf.clips import ClipDataset, keys, parse_clip, wire
from spl_tf.clips.framing import HEADER_BYTES
from spl_tf.clips.remote import scheme
from spl_tf.text_files import composed

_HEAD_BYTES = 4096  # the context of most records takes some hundred
_THREADS = 16


def media_ids(dataset: ClipDataset) -> set[str]:
    """The distinct media ids of a dataset's clips, composed; "" does not count.

    Raises:
        OSError: A shard cannot be read.
        ValueError: A record is damaged.
    """
    with (
        dataset.reader() as reader,
        concurrent.futures.ThreadPoolExecutor(_THREADS) as pool,
    ):
        shards = range(len(dataset.index.shard_names))
        found = pool.map(lambda shard: _of_shard(dataset, reader, shard), shards)
        return set().union(*found) - {""}


def media_id(record: bytes) -> str:
    """The media id of a serialized clip, composed (NFC); empty where it has none.

    Raises:
        ValueError: The record is damaged.
    """
    found = _of_head(record)
    return composed(parse_clip(record).media_id) if found is None else found


def _of_shard(dataset: ClipDataset, reader, shard: int) -> set[str]:
    index, found = dataset.index, set()
    path = os.path.join(dataset.directory, index.shard_names[shard])
    with _opened(path) as file:
        for row in np.flatnonzero(index.shard == shard):
            file.seek(int(index.offset[row]) + HEADER_BYTES)
            head = file.read(min(_HEAD_BYTES, int(index.length[row])))
            known = _of_head(head)
            found.add(media_id(reader.read(row)) if known is None else known)
    return found


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Opens a file without reading ahead, which only a local one can do without."""
    if scheme(path):
        with tf.io.gfile.GFile(path, "rb") as file:
            yield file
    else:
        with open(path, "rb", buffering=0) as file:
            yield file


def _of_head(head: bytes) -> str | None:
    """The media id, if the context is at the beginning and all of it is there."""
    try:
        number, (start, stop) = wire.fields(head, 0, len(head), whole=False)[0]
        if number != wire.CONTEXT or stop > len(head):
            return None
        context = wire.parse_context(head[start:stop])
    except (wire.WireError, IndexError):  # the whole record then says what is wrong
        return None
    values = context[keys.MEDIA_ID].bytes_list.value
    return composed(values[0].decode(errors="backslashreplace")) if values else ""
