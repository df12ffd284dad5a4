"""Arrays in an `.npz` file whose local readers share one copy of them in memory.

NumPy's own writer puts arrays at any byte; here each begins at a multiple of 64, so
that what is mapped is aligned, too. `np.load` reads these files as all others.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from spl_tf.clips.remote import scheme
from spl_tf.clips.remote_files import replacing

_ALIGNMENT = 64
_ALIGNMENT_FIELD = 0xD935  # Android's, in APPNOTE.TXT's list of extra fields
_LOCAL_HEADER_BYTES = 30
_ZIP64_FIELD_BYTES = 20
_NAME_LENGTH_OFFSET = 26  # in the local header; the extra field's length follows

# Smaller files are read: sharing them saves nothing.
_LEAST_MAPPED_BYTES = 1 << 20


def save_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the file, whole or not at all; equal arrays give equal bytes."""
    with replacing(path) as temporary:
        if not scheme(temporary):
            with open(temporary, "wb") as file:
                _write(file, arrays)
            return
        content = io.BytesIO()  # behind `s3://` no file can go back to its headers
        _write(content, arrays)
        with tf.io.gfile.GFile(temporary, "wb") as file:
            file.write(content.getvalue())


def _write(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            field = struct.pack("<HHH", _ALIGNMENT_FIELD, 2, _ALIGNMENT)
            start = file.tell() + _LOCAL_HEADER_BYTES + len(member.filename)
            padding = -(start + _ZIP64_FIELD_BYTES + len(field)) % _ALIGNMENT
            field = struct.pack("<HHH", _ALIGNMENT_FIELD, 2 + padding, _ALIGNMENT)
            member.extra = field + bytes(padding)
            with archive.open(member, "w", force_zip64=True) as content:
                array = np.asarray(array)
                np.lib.format.write_array(content, array, allow_pickle=False)


def load_arrays(path: str) -> dict[str, np.ndarray]:
    """Reads all arrays of an `.npz` file; large local ones are mapped.

    A mapped array takes memory for what is looked at, once for all processes of a
    machine, and until it is changed: changes stay in the process. The file may be
    replaced meanwhile (renamed over), but not be written to or cut.

    Raises:
        Exception: It is damaged, in ways that NumPy and `zipfile` have many errors for.
    """
    if scheme(path):
        with tf.io.gfile.GFile(path, "rb") as file:
            return _read(io.BytesIO(file.read()))
    with open(path, "rb") as file:
        is_large = os.fstat(file.fileno()).st_size >= _LEAST_MAPPED_BYTES
        return _map(file) if is_large else _read(file)


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _map(file: BinaryIO) -> dict[str, np.ndarray]:
    content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        damaged = archive.testzip()  # reads the file once, and keeps nothing
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            arrays[name] = _map_member(archive, member, content)
    return arrays


def _map_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, content: mmap.mmap
) -> np.ndarray:
    if member.compress_type == zipfile.ZIP_STORED:
        lengths = member.header_offset + _NAME_LENGTH_OFFSET
        start = lengths + 4 + sum(struct.unpack_from("<HH", content, lengths))
        with archive.open(member) as file:
            if np.lib.format.read_magic(file) == (1, 0):
                shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
                start += file.tell()
                flat = np.frombuffer(content, dtype, math.prod(shape), start)
                return flat.reshape(shape, order="F" if is_fortran else "C")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
