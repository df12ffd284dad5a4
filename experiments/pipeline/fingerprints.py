"""What a stage was made from, kept beside its result, and compared before it runs.

A fingerprint is a flat dictionary: `settings.<key>` of all settings, and
`inputs.<name>` with a digest of each input's content. So a stage runs again when
something that it uses has changed, wherever that came from, and can say what.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from experiments.pipeline.stages import Input, Stage
from spl_tf.clips import ClipDataset
from spl_tf.files import same_path
from spl_tf.runs import run_folder
from tfrecords_tools.conversion.conversion import digest_of_file
from tfrecords_tools.conversion.manifest import path_of

STARTED, DONE = "started", "done"
_BLOCK_BYTES = 1 << 20
_SHOWN_CHANGES = 3
_SHOWN_VALUE = 40  # characters
_SHOWN_DIGEST = 8


@dataclasses.dataclass(frozen=True)
class Record:
    """The file `stages/<name>.json`: a stage that was started, or is done.

    Attributes:
        state: How far the stage is: `STARTED` or `DONE`.
        fingerprint: What it was started with, as `Fingerprints.of` gives it.
        workdir: Absolute; unfinished work does not go on in a folder that was moved.
        output: The folder that the stage writes, as in `Stage`.
        seconds: Seconds that its last run took, which may have continued others.
        is_whole: Whether that run did all the work.
        facts: What the stage reports about its result.
    """

    state: str
    fingerprint: dict[str, Any]
    workdir: str
    output: str
    seconds: float = 0.0
    is_whole: bool = True
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def save(self, workdir: str, name: str) -> None:
        """Writes the record of a stage."""
        path = _record_path(workdir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        run_folder.write_json(path, dataclasses.asdict(self))


def load_record(workdir: str, name: str) -> Record | None:
    """The record of a stage; None if it never started.

    Raises:
        ValueError: The record's file is damaged.
    """
    path = _record_path(workdir, name)
    if not os.path.exists(path):
        return None
    try:
        return Record(**run_folder.read_json(path))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it, and the stage runs again"
        ) from error


def _record_path(workdir: str, name: str) -> str:
    return os.path.join(workdir, "stages", f"{name}.json")


class Fingerprints:
    """Makes fingerprints of stages whose inputs are there."""

    def __init__(self, workdir: str):
        """Takes the folder that inputs' paths start from; reads nothing yet."""
        self._workdir = workdir
        self._digests: dict[Input, str] = {}

    def of(self, stage: Stage, makers: Mapping[str, Record]) -> dict[str, Any]:
        """The fingerprint of a stage.

        Args:
            stage: Stage whose inputs are there.
            makers: Records of finished stages by output.

        Raises:
            OSError, ValueError: An input is missing or damaged.
        """
        found = flatten(stage.settings, "settings.")
        for name, read in stage.inputs.items():
            if read.kind == "stage":
                found[f"inputs.{name}"] = _digest_of_json(makers[read.path].fingerprint)
            elif read.kind == "results":
                found[f"inputs.{name}"] = _digest_of_results(self._path(read))
            else:
                found[f"inputs.{name}"] = self._digest(read)
        return json.loads(json.dumps(found))

    def forget(self, folder: str) -> None:
        """Lets the digests of a folder that was written be computed anew."""
        for read in list(self._digests):
            if read.path == folder or read.path.startswith(f"{folder}/"):
                del self._digests[read]

    def _digest(self, read: Input) -> str:
        if read not in self._digests:
            self._digests[read] = _DIGESTS[read.kind](self._path(read))
        return self._digests[read]

    def _path(self, read: Input) -> str:
        return path_of(self._workdir, read.path)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, its keys joined by dots."""
    found = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def describe_changes(former: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Which keys of two fingerprints differ, from what to what; "" if none does."""
    changes = []
    for key in sorted({*former, *current}):
        old, new = former.get(key), current.get(key)
        if old == new or (key.startswith("settings.") and same_path(old, new)):
            continue
        if key.startswith("inputs.") and old and new:
            old, new = old[:_SHOWN_DIGEST], new[:_SHOWN_DIGEST]
            changes.append(f"{key} changed ({old} to {new})")
        else:
            changes.append(f"{key} was {_shown(old)}, is {_shown(new)}")
    more = len(changes) - _SHOWN_CHANGES
    if more > 0:
        changes[_SHOWN_CHANGES:] = [f"and {more} more"]
    return "; ".join(changes)


def _shown(value: Any) -> str:
    text = "absent" if value is None else repr(value)
    return text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}..."


def _digest_of_json(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest_of_results(path: str) -> str:
    # Not of how this run went, which is another each time.
    content = run_folder.read_json(path)
    return _digest_of_json({k: v for k, v in content.items() if k != "stages"})


def _digest_of_weights(workdir: str) -> str:
    digest = hashlib.sha256()
    path = os.path.join(workdir, "weights.npz")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); if a stage made it, remove {workdir}, "
            "and the stage runs again"
        ) from error
    return digest.hexdigest()


def _digest_of_label_map(folder: str) -> str:
    # It names the checksum of the arrays.
    with open(os.path.join(folder, "label_map.json"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _digest_of_content(path: str) -> str:
    """Digest of a file's bytes, or of all files of a folder with their names."""
    if not os.path.isdir(path):
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()
    names = [os.path.relpath(each, path) for each in _files_below(path)]
    return _digest_of_json(
        {name: _digest_of_content(os.path.join(path, name)) for name in names}
    )


def _digest_of_listing(folder: str) -> str:
    """Digest of the names and sizes of all files of a folder, local or remote."""
    return _digest_of_json(
        {
            os.path.relpath(path, folder): tf.io.gfile.stat(path).length
            for path in _files_below(folder)
        }
    )


def _files_below(folder: str) -> Iterator[str]:
    for parent, _, names in tf.io.gfile.walk(folder):
        for name in names:
            yield os.path.join(parent, name)


_DIGESTS = {
    "content": _digest_of_content,
    "dataset": lambda folder: run_folder.dataset_fingerprint(ClipDataset(folder)),
    "file": digest_of_file,
    "label_map": _digest_of_label_map,
    "listing": _digest_of_listing,
    "weights": _digest_of_weights,
}
