"""Atomic, versioned files of a JSON header and NumPy arrays, without pickle.

A path that ends in `.npz` is one file, which holds the JSON as an array of bytes. Any
other path is a folder with `<kind>.json` and `<kind>-<hash>.npz`. The JSON names the
data file, and is renamed into place after it: at every moment the folder holds either
the complete old or the complete new version. Objects of different kinds may share one
folder.
"""

import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spl_tf import files

_HEADER = "header"
# What damaged bytes make zipfile and NumPy raise; the last one where a flipped byte
# names a compression that zipfile does not know.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    ValueError,
    NotImplementedError,
)


class FormatError(ValueError):
    """A file that is cut short, of another kind, or of another version."""


def save(
    path: str | os.PathLike,
    kind: str,
    version: int,
    header: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Writes header and arrays to path, replacing what is there in one step.

    Args:
        path: A file if it ends in `.npz`, else a folder. Parents are made.
        kind: What is stored, such as `label_map`; also the stem of the files' names.
        version: Version of that kind's format; `load` asks for the same.
        header: Further entries of the JSON; what `json` can hold.
        arrays: By name, none of them of Python objects.
    """
    path = Path(path)
    header = {"format": f"spl_tf.{kind}", "version": version, **header}
    if path.suffix == ".npz":
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not by way of memory, which arrays may fill half of.
        with files.replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **{_HEADER: _to_bytes(header), **arrays})
        return
    path.mkdir(parents=True, exist_ok=True)
    old_data = _named_data(path / f"{kind}.json", kind)
    content = _npz(arrays)
    digest = hashlib.sha256(content).hexdigest()
    data = path / f"{kind}-{digest[:16]}.npz"
    with files.replacing(data) as temporary:
        temporary.write_bytes(content)
    with files.replacing(path / f"{kind}.json") as temporary:
        header = {**header, "data": data.name, "sha256": digest}
        text = json.dumps(header, indent=2, ensure_ascii=False)
        temporary.write_bytes(text.encode())
    if old_data is not None and old_data != data:
        old_data.unlink(missing_ok=True)


def load(
    path: str | os.PathLike, kind: str, version: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Reads back what `save` wrote: the header and the arrays.

    Raises:
        FileNotFoundError: Nothing is there.
        FormatError: The file is cut short, damaged, of another kind, or newer than
            version. The message names the file.
    """
    path = Path(path)
    if path.suffix == ".npz":
        arrays = _read_npz(path, kind)
        if _HEADER not in arrays:
            raise FormatError(f"{path} has no header: it is not a {kind} of spl_tf")
        header = _parse(arrays.pop(_HEADER).tobytes(), path, kind, version)
        return header, arrays
    if path.is_file():
        raise FormatError(f"{path} is a file, expected the folder of a {kind} or .npz")
    json_file = path / f"{kind}.json"
    header = _parse(json_file.read_bytes(), json_file, kind, version)
    data = path / _data_name(header, json_file)
    if not data.is_file():
        # Somebody may have replaced both files since the JSON was read.
        header = _parse(json_file.read_bytes(), json_file, kind, version)
        data = path / _data_name(header, json_file)
    if not data.is_file():
        raise FormatError(f"{data} is missing, but {json_file} names it as its data")
    if _digest(data) != header.get("sha256"):
        raise FormatError(
            f"{data} is cut short or damaged: its checksum is not the one in "
            f"{json_file}; write the {kind} again"
        )
    return header, _read_npz(data, kind)


def _data_name(header: Mapping[str, Any], json_file: Path) -> str:
    try:
        return files.plain_name(header.get("data"), str(json_file))
    except ValueError as error:
        raise FormatError(str(error)) from error


def _named_data(json_file: Path, kind: str) -> Path | None:
    # Only a name that `save` itself makes: the file is going to be deleted.
    try:
        name = str(json.loads(json_file.read_bytes())["data"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    ours = re.fullmatch(re.escape(kind) + r"-[0-9a-f]{16}\.npz", name)
    return json_file.with_name(name) if ours else None


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _read_npz(path: Path, kind: str) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        path.stat()  # A file that is not there is another error.
        raise FormatError(
            f"{path} is not a complete .npz file: it is cut short, or not a {kind}"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise FormatError(
            f"{path} cannot be read as a {kind}; it is damaged or foreign: {error}"
        ) from error


def _to_bytes(header: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(json.dumps(header, ensure_ascii=False).encode(), np.uint8)


def _parse(content: bytes, path: Path, kind: str, version: int) -> dict[str, Any]:
    try:
        header = json.loads(content)
    except ValueError as error:
        raise FormatError(f"{path} holds no valid JSON, cut short? {error}") from error
    found = header.get("format") if isinstance(header, dict) else None
    if found != f"spl_tf.{kind}":
        raise FormatError(
            f"{path} has format {found!r}, expected 'spl_tf.{kind}': it is something "
            "else"
        )
    if header.get("version") != version:
        raise FormatError(
            f"{path} is a {kind} of format version {header.get('version')!r}, but "
            f"this version of spl_tf reads version {version}; write it again or use "
            "the version of spl_tf that wrote it"
        )
    return header


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
