"""`dataset.json`: what a folder of clips is, how it was made and what was left out."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf

from spl_tf.clips.remote import usable_path
from spl_tf.clips.remote_files import write_atomically
from spl_tf.files import plain_name
from spl_tf.text_files import composed

FILE_NAME = "dataset.json"
_FORMAT = "spl_tf.clips"
_VERSION = 1
_LABEL_KINDS = ("weak", "clean")


@dataclasses.dataclass
class DatasetInfo:
    """The description of a dataset.

    Attributes:
        class_names: Names of the classes, in index order, composed (NFC).
        label_kind: "weak" (the query that found the video) or "clean".
        shards: One {"name", "num_clips", "num_bytes"} per shard.
        source: The tool that made it, and its settings; under "flow", if the records
            have optical flow, how that was found.
        skipped: One {"video", "clip", "kind", "reason"} per file, or clip of one, that
            was left out; "clip" is empty for a whole file, "kind" is the category of
            the reason.
        teacher: None before prediction; then the checkpoint, the number of classes
            kept per clip ("top_k"), how it looked, and under "confusion" the non-empty
            cells of weak label x teacher's first choice as three lists "weak",
            "teacher", "count".
        files: "<size> <modification time, ns>" of each source file, by the name that
            the manifest has for it; empty where that is not known.
    """

    class_names: list[str]
    label_kind: str
    shards: list[dict[str, Any]]
    source: dict[str, Any]
    skipped: list[dict[str, str]] = dataclasses.field(default_factory=list)
    teacher: dict[str, Any] | None = None
    files: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.class_names = list(map(composed, self.class_names))
        if self.label_kind not in _LABEL_KINDS:
            raise ValueError(
                f"label_kind is {self.label_kind!r}, expected one of {_LABEL_KINDS}"
            )

    @property
    def num_clips(self) -> int:
        """Clips in all shards."""
        return sum(shard["num_clips"] for shard in self.shards)

    def save(self, directory: str | os.PathLike) -> None:
        """Writes `dataset.json`; done last, it makes the folder a dataset."""
        content = {"format": _FORMAT, "version": _VERSION, "num_clips": self.num_clips}
        content.update(dataclasses.asdict(self))
        path = os.path.join(os.fspath(directory), FILE_NAME)
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(path, text.encode())

    @classmethod
    def load(cls, directory: str | os.PathLike) -> DatasetInfo:
        """Reads `dataset.json`.

        Raises:
            FileNotFoundError: The folder is no finished dataset.
            ValueError: The file is damaged, of another format or version, or names
                shards outside of the folder.
        """
        path = os.path.join(usable_path(directory), FILE_NAME)
        if not tf.io.gfile.exists(path):
            raise FileNotFoundError(
                f"{path} does not exist: {os.fspath(directory)} is no dataset of "
                "clips, or its conversion did not finish (run it again)"
            )
        with tf.io.gfile.GFile(path, "rb") as file:
            try:
                content = json.loads(file.read())
            except ValueError as error:
                raise ValueError(f"{path} is damaged: {error}") from error
        if content.get("format") != _FORMAT or content.get("version") != _VERSION:
            raise ValueError(
                f"{path} has format {content.get('format')!r} version "
                f"{content.get('version')!r}, expected {_FORMAT!r} version {_VERSION}"
            )
        content.setdefault("files", {})  # of datasets from before there was such a key
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in content]
        if missing:
            raise ValueError(f"{path} lacks the keys {missing}")
        for shard in content["shards"]:
            plain_name(shard["name"], path)
        return cls(**{name: content[name] for name in names})
