"""`index.npz`: where each clip is, and reading a clip by its row."""

from __future__ import annotations

import dataclasses
import io
import os
import struct
import threading
from collections.abc import Sequence

import google_crc32c
import numpy as np
import tensorflow as tf

from spl_tf.clips.files import write_atomically
from spl_tf.clips.shards import FOOTER_BYTES, HEADER_BYTES, ShardSummary

FILE_NAME = "index.npz"
_VERSION = 1
_COLUMNS = {
    "shard": np.int32,
    "offset": np.int64,
    "length": np.int64,
    "frames": np.int32,
    "label": np.int32,
    "teacher": np.int32,
}


@dataclasses.dataclass(frozen=True)
class ClipIndex:
    """One row per clip, in the order of the shards.

    Attributes:
        shard_names: File names of the shards.
        shard: int32 [n], position in `shard_names`.
        offset: int64 [n], byte where the record (its length field) starts.
        length: int64 [n], bytes of the record's data.
        frames: int32 [n].
        label: int32 [n], the source's label.
        teacher: int32 [n], the teacher's first choice, -1 before prediction.
    """

    shard_names: tuple[str, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    frames: np.ndarray
    label: np.ndarray
    teacher: np.ndarray

    def __len__(self) -> int:
        return len(self.shard)

    @classmethod
    def from_shards(cls, summaries: Sequence[ShardSummary]) -> ClipIndex:
        """Makes the index of shards that were just written."""
        lengths = [np.asarray(s.lengths, np.int64) for s in summaries]
        framing = HEADER_BYTES + FOOTER_BYTES
        columns = {
            "shard": [np.full(len(n), i, np.int32) for i, n in enumerate(lengths)],
            "offset": [np.cumsum(n + framing) - (n + framing) for n in lengths],
            "length": lengths,
            "frames": [s.frames for s in summaries],
            "label": [s.labels for s in summaries],
            "teacher": [s.teachers for s in summaries],
        }
        return cls(
            shard_names=tuple(s.name for s in summaries),
            **{
                name: np.concatenate(
                    [np.asarray(part, dtype) for part in columns[name]]
                )
                for name, dtype in _COLUMNS.items()
            },
        )

    def save(self, directory: str | os.PathLike) -> None:
        """Writes `index.npz` into the dataset folder."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            version=np.int32(_VERSION),
            shard_names=np.asarray(self.shard_names, np.str_),
            **{name: getattr(self, name) for name in _COLUMNS},
        )
        write_atomically(
            os.path.join(os.fspath(directory), FILE_NAME), buffer.getvalue()
        )

    @classmethod
    def load(cls, directory: str | os.PathLike) -> ClipIndex:
        """Reads `index.npz`.

        Raises:
            FileNotFoundError: There is none.
            ValueError: It is damaged or of another version.
        """
        path = os.path.join(os.fspath(directory), FILE_NAME)
        if not tf.io.gfile.exists(path):
            raise FileNotFoundError(
                f"{path} does not exist: {os.fspath(directory)} is no finished "
                "dataset of clips"
            )
        with tf.io.gfile.GFile(path, "rb") as file:
            content = io.BytesIO(file.read())
        try:
            with np.load(content, allow_pickle=False) as arrays:
                version = int(arrays["version"])
                names = tuple(str(name) for name in arrays["shard_names"])
                columns = {name: arrays[name] for name in _COLUMNS}
        except Exception as error:
            raise ValueError(f"{path} is damaged or no clip index: {error}") from error
        if version != _VERSION:
            raise ValueError(f"{path} has version {version}, expected {_VERSION}")
        return cls(shard_names=names, **columns)


class RecordReader:
    """Reads records by index row, from any thread.

    Shards are opened once and read with `os.pread`, so threads do not wait for each
    other. Length and both checksums of the TFRecord framing are verified.
    """

    def __init__(self, directory: str | os.PathLike, index: ClipIndex):
        """Opens nothing yet.

        Args:
            directory: The dataset folder.
            index: Its index.
        """
        self._directory = os.fspath(directory)
        self._index = index
        self._descriptors: dict[int, int] = {}
        self._lock = threading.Lock()

    def read(self, row: int) -> bytes:
        """Returns the serialized clip of an index row.

        Raises:
            ValueError: What is in the shard is not what the index says; the message
                names shard and row.
        """
        index = self._index
        shard = int(index.shard[row])
        offset, length = int(index.offset[row]), int(index.length[row])
        descriptor = self._descriptor(shard)
        # Three reads, so that the data, which can be megabytes, is never copied.
        header = os.pread(descriptor, HEADER_BYTES, offset)
        data = os.pread(descriptor, length, offset + HEADER_BYTES)
        footer = os.pread(descriptor, FOOTER_BYTES, offset + HEADER_BYTES + length)
        fault = _framing_fault(header, data, footer, length)
        if fault:
            raise ValueError(
                f"{self._shard_path(shard)}, row {row} at byte {offset}: {fault}. The "
                "shard is damaged, or index.npz belongs to other shards; convert the "
                "dataset again"
            )
        return data

    def _shard_path(self, shard: int) -> str:
        return os.path.join(self._directory, self._index.shard_names[shard])

    def _descriptor(self, shard: int) -> int:
        descriptor = self._descriptors.get(shard)
        if descriptor is None:
            with self._lock:
                descriptor = self._descriptors.get(shard)
                if descriptor is None:
                    descriptor = os.open(self._shard_path(shard), os.O_RDONLY)
                    self._descriptors[shard] = descriptor
        return descriptor

    def close(self) -> None:
        """Closes the shards; the reader can be used again afterwards."""
        with self._lock:
            for descriptor in self._descriptors.values():
                os.close(descriptor)
            self._descriptors.clear()

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(self, *unused) -> None:
        self.close()

    def __del__(self):
        self.close()


def _framing_fault(header: bytes, data: bytes, footer: bytes, length: int) -> str:
    """Says what is wrong with a TFRecord-framed record, or nothing."""
    if len(footer) != FOOTER_BYTES:
        found = len(header) + len(data) + len(footer)
        return f"the file ends after {found} bytes of a {length}-byte record"
    found, length_crc = struct.unpack("<QI", header)
    if length_crc != _masked_crc(header[:8]):
        return "the checksum of the length field is wrong"
    if found != length:
        return f"the record has {found} bytes, the index says {length}"
    (data_crc,) = struct.unpack("<I", footer)
    if data_crc != _masked_crc(data):
        return "the checksum of the data is wrong"
    return ""


def _masked_crc(data: bytes) -> int:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
