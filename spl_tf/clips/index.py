"""`index.npz`: where each clip is."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from spl_tf.clips.files import write_atomically
from spl_tf.clips.framing import FOOTER_BYTES, HEADER_BYTES
from spl_tf.clips.remote import scheme, usable_path
from spl_tf.clips.shards import ShardSummary
from spl_tf.files import plain_name

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
            ValueError: It is damaged, of another version, or names shards outside of
                the folder.
        """
        directory = usable_path(directory)
        path = os.path.join(directory, FILE_NAME)
        if not tf.io.gfile.exists(path):
            raise FileNotFoundError(
                f"{path} does not exist: {directory} is no finished dataset of clips; "
                "for shards of another tool run `python -m "
                f"tfrecords_tools.inspect_records {directory} --reindex`"
            )
        try:
            with _opened(path) as file, np.load(file, allow_pickle=False) as arrays:
                version = int(arrays["version"])
                names = tuple(str(name) for name in arrays["shard_names"])
                columns = {name: arrays[name] for name in _COLUMNS}
        except Exception as error:
            raise ValueError(f"{path} is damaged or no clip index: {error}") from error
        if version != _VERSION:
            raise ValueError(f"{path} has version {version}, expected {_VERSION}")
        for name in names:
            plain_name(name, path)
        return cls(shard_names=names, **columns)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Opens a file that NumPy can seek in, without a second copy of a local one."""
    if scheme(path):
        with tf.io.gfile.GFile(path, "rb") as file:
            yield io.BytesIO(file.read())
    else:
        with open(path, "rb") as file:
            yield file
