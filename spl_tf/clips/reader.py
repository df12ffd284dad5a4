"""Random access to the records of a dataset, local or remote."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import struct
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import tensorflow as tf

from spl_tf.clips.framing import FOOTER_BYTES, HEADER_BYTES, masked_crc
from spl_tf.clips.remote import scheme, usable_path

if TYPE_CHECKING:
    from spl_tf.clips.index import ClipIndex


class RecordReader:
    """Reads records by index row, from any thread.

    The shards used last stay open, and threads do not wait for each other. Length and
    both checksums of the TFRecord framing are verified.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        index: ClipIndex,
        max_open_shards: int = 64,
    ):
        """Opens nothing yet.

        Args:
            directory: The dataset folder, see `usable_path` for remote ones.
            index: Says where in which shard each record is.
            max_open_shards: Shards that stay open between reads.
        """
        self._open_shards = _OpenShards(max_open_shards)
        self._directory = usable_path(directory)
        self._index = index

    def read(self, row: int) -> bytes:
        """Returns the serialized clip of an index row.

        Raises:
            FileNotFoundError: The shard is missing.
            OSError: The shard cannot be read.
            ValueError: What is in the shard is not what the index says. All messages
                name the shard and the row.
        """
        index = self._index
        path = os.path.join(self._directory, index.shard_names[index.shard[row]])
        offset, length = int(index.offset[row]), int(index.length[row])
        try:
            with self._open_shards.borrow(path) as shard:
                header, data, footer = shard.read(offset, length)
        except (FileNotFoundError, tf.errors.NotFoundError) as error:
            raise FileNotFoundError(
                f"{path}, which holds row {row}, does not exist. {self._remedy()}"
            ) from error
        except (OSError, tf.errors.OpError) as error:
            raise OSError(f"{path}, row {row} at byte {offset}: {error}") from error
        fault = _framing_fault(header, data, footer, length)
        if fault:
            raise ValueError(
                f"{path}, row {row} at byte {offset}: {fault}. {self._remedy()}"
            )
        return data

    def _remedy(self) -> str:
        return (
            f"Run `python -m tfrecords_tools.inspect_records {self._directory} "
            "--validate` to see what is damaged, or with `--reindex --overwrite` if "
            "index.npz belongs to other shards"
        )

    def close(self) -> None:
        """Closes the shards; the reader can be used again afterwards."""
        self._open_shards.clear()

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(self, *unused) -> None:
        self.close()

    def __del__(self):
        self.close()


class _LocalShard:
    """An open file; `os.pread` has no position, so threads share it."""

    def __init__(self, path: str):
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, offset: int, length: int) -> tuple[bytes, bytes, bytes]:
        """Returns header, data and footer of a record, short if the file ends."""
        # Three reads, so that the data, which can be megabytes, is never copied.
        return (
            os.pread(self._descriptor, HEADER_BYTES, offset),
            os.pread(self._descriptor, length, offset + HEADER_BYTES),
            os.pread(self._descriptor, FOOTER_BYTES, offset + HEADER_BYTES + length),
        )

    def close(self) -> None:
        os.close(self._descriptor)


class _RemoteShard:
    """A file behind `tf.io.gfile`; it has a position, so each thread takes its own.

    A jump costs one request, and each 512 KiB of the record another: that is how
    `GFile` reads.
    """

    def __init__(self, path: str):
        self._path = path
        self._idle: list[tf.io.gfile.GFile] = []

    def read(self, offset: int, length: int) -> tuple[bytes, bytes, bytes]:
        """Returns header, data and footer of a record, short if the file ends."""
        size = HEADER_BYTES + length + FOOTER_BYTES
        try:
            file = self._idle.pop()
        except IndexError:
            file = tf.io.gfile.GFile(self._path, "rb")
        try:
            file.seek(offset)
            record = file.read(size)
        except tf.errors.OutOfRangeError:  # the file ends before the offset
            record = b""
        self._idle.append(file)
        data_end = HEADER_BYTES + length
        return record[:HEADER_BYTES], record[HEADER_BYTES:data_end], record[data_end:]

    def close(self) -> None:
        for file in self._idle:
            file.close()


@dataclasses.dataclass
class _Entry:
    """An open shard and its holders: the cache is one, each read another."""

    shard: _LocalShard | _RemoteShard
    holders: int = 1


class _OpenShards:
    """The open shards used last; whoever lets go of one last closes it."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._entries: collections.OrderedDict[str, _Entry] = collections.OrderedDict()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def borrow(self, path: str) -> Iterator[_LocalShard | _RemoteShard]:
        """Gives an open shard, which stays open until the block ends."""
        entry = self._take(path)
        try:
            yield entry.shard
        finally:
            self._let_go(entry)

    def _take(self, path: str) -> _Entry:
        with self._lock:
            entry = self._entries.get(path)
            if entry is not None:
                entry.holders += 1
                self._entries.move_to_end(path)
                return entry
        # Without the lock: opening takes long on a network file system.
        opened = _Entry(_RemoteShard(path) if scheme(path) else _LocalShard(path))
        oldest = None
        with self._lock:
            entry = self._entries.setdefault(path, opened)
            entry.holders += 1
            if len(self._entries) > self._capacity:
                _, oldest = self._entries.popitem(last=False)
        if entry is not opened:  # another thread was faster
            self._let_go(opened)
        if oldest is not None:
            self._let_go(oldest)
        return entry

    def _let_go(self, entry: _Entry) -> None:
        with self._lock:
            entry.holders -= 1
            unused = entry.holders == 0
        if unused:
            entry.shard.close()

    def clear(self) -> None:
        """Lets go of all shards."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            self._let_go(entry)


def _framing_fault(header: bytes, data: bytes, footer: bytes, length: int) -> str:
    """Says what is wrong with a TFRecord-framed record, or nothing."""
    if len(footer) != FOOTER_BYTES:
        found = len(header) + len(data) + len(footer)
        size = HEADER_BYTES + length + FOOTER_BYTES
        return f"the file ends after {found} of the record's {size} bytes"
    found, length_crc = struct.unpack("<QI", header)
    if length_crc != masked_crc(header[:8]):
        return "the checksum of the length field is wrong"
    if found != length:
        return f"the record has {found} bytes, the index says {length}"
    (data_crc,) = struct.unpack("<I", footer)
    if data_crc != masked_crc(data):
        return "the checksum of the data is wrong"
    return ""
