"""`index.npz`: where each clip is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from spl_tf.clips.array_file import load_arrays, save_arrays
from spl_tf.clips.framing import FOOTER_BYTES, HEADER_BYTES
from spl_tf.clips.remote import usable_path
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
# Which datasets from before there were such lack.
_ADDED_COLUMNS = {
    "confidence": np.float32,
    "group": np.int64,
    "labels": np.int32,
    "label_splits": np.int64,
}
# Which datasets with the others may lack, too; the last two all that were not predicted
# frame by frame.
_LATEST_COLUMNS = {
    "label_confidence": np.float32,
    "frame_teacher": np.int32,
    "frame_confidence": np.float32,
}


@dataclasses.dataclass(frozen=True)
class ClipIndex:
    """One row per clip, in the order of the shards.

    Attributes:
        shard_names: File names of the shards.
        shard: int32 [n], position in `shard_names`.
        offset: int64 [n], byte where the record (its length field) starts.
        length: int64 [n], bytes of the record's data.
        frames: int32 [n], number of frames.
        label: int32 [n], the source's label; of several, the first.
        teacher: int32 [n], the teacher's first choice, -1 before prediction.
        added: The columns below, by name, which older datasets lack.
        directory: The dataset folder, for messages.
    """

    shard_names: tuple[str, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    frames: np.ndarray
    label: np.ndarray
    teacher: np.ndarray
    added: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    directory: str = ""

    def __len__(self) -> int:
        return len(self.shard)

    @property
    def confidence(self) -> np.ndarray:
        """float32 [n], probability of the teacher's choice, -1 before prediction."""
        return self.column("confidence")

    @property
    def group(self) -> np.ndarray:
        """int64 [n], `media_group` of the media id."""
        return self.column("group")

    @property
    def labels(self) -> np.ndarray:
        """int32 [m], all labels of all clips; see `label_splits`."""
        return self.column("labels")

    @property
    def label_splits(self) -> np.ndarray:
        """int64 [n + 1]; row i has the labels from `label_splits[i]` to the next."""
        return self.column("label_splits")

    @property
    def label_confidence(self) -> np.ndarray:
        """float32 [n], the teacher's probability of the label, see `IndexFacts`."""
        return self.column("label_confidence")

    @property
    def frame_choices(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The teacher's first choice of each frame of all clips, in their order.

        int32 [m], and its probability, float32 [m]; m is the sum of `frames`. None of a
        dataset that was not predicted frame by frame.
        """
        if "frame_teacher" not in self.added:
            return None
        return self.added["frame_teacher"], self.added["frame_confidence"]

    def labels_of(self, row: int) -> np.ndarray:
        """All labels of a clip, int32 [k]."""
        return self.labels[self.label_splits[row] : self.label_splits[row + 1]]

    def column(self, name: str) -> np.ndarray:
        """Returns a column by name.

        Raises:
            ValueError: The dataset was made before there was such a column; the message
                says how to get it.
        """
        if name in _COLUMNS:
            return getattr(self, name)
        if name not in self.added:
            raise ValueError(
                f"{self.directory}: index.npz has no column {name!r}; `python -m "
                f"tfrecords_tools.inspect_records {self.directory} --reindex "
                "--overwrite` adds it and keeps all else"
            )
        return self.added[name]

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
            "confidence": [s.confidences for s in summaries],
            "group": [s.groups for s in summaries],
            "labels": [s.label_values for s in summaries],
            "label_splits": [s.label_counts for s in summaries],
            "label_confidence": [s.label_confidences for s in summaries],
            "frame_teacher": [s.frame_teachers for s in summaries],
            "frame_confidence": [s.frame_confidences for s in summaries],
        }
        arrays = {
            name: np.concatenate([np.asarray(part, dtype) for part in columns[name]])
            for name, dtype in (_COLUMNS | _ADDED_COLUMNS | _LATEST_COLUMNS).items()
        }
        added = {name: arrays.pop(name) for name in _ADDED_COLUMNS | _LATEST_COLUMNS}
        added["label_splits"] = np.cumsum(np.append([0], added["label_splits"]))
        # Shards that an older version wrote have no summary of these, or the last.
        rows = len(arrays["shard"])
        frames = int(arrays["frames"].sum()) or -1
        sizes = {"label_confidence": rows}
        sizes |= dict.fromkeys(("frame_teacher", "frame_confidence"), frames)
        for name, size in sizes.items():
            if len(added[name]) != size:
                del added[name]
        if len(added["group"]) != rows:
            added = {}
        return cls(tuple(s.name for s in summaries), added=added, **arrays)

    def save(self, directory: str | os.PathLike) -> None:
        """Writes `index.npz` into the dataset folder."""
        arrays = {
            "version": np.int32(_VERSION),
            "shard_names": np.asarray(self.shard_names, np.str_),
            **{name: getattr(self, name) for name in _COLUMNS},
            **self.added,
        }
        save_arrays(os.path.join(os.fspath(directory), FILE_NAME), arrays)

    @classmethod
    def load(cls, directory: str | os.PathLike) -> ClipIndex:
        """Opens `index.npz`; of a large local one, the processes share the columns.

        Raises:
            FileNotFoundError: The folder has no index.
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
            arrays = load_arrays(path)
            version = int(arrays["version"])
            names = tuple(str(name) for name in arrays["shard_names"])
            columns = {name: arrays[name] for name in _COLUMNS}
            is_old = _ADDED_COLUMNS.keys().isdisjoint(arrays)
            added = {} if is_old else {n: arrays[n] for n in _ADDED_COLUMNS}
            added |= {n: arrays[n] for n in _LATEST_COLUMNS if n in arrays}
        except Exception as error:
            raise ValueError(f"{path} is damaged or no clip index: {error}") from error
        if version != _VERSION:
            raise ValueError(f"{path} has version {version}, expected {_VERSION}")
        for name in names:
            plain_name(name, path)
        return cls(names, added=added, directory=directory, **columns)
