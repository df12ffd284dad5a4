"""Text files as streams, local or remote: files that are larger than memory."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import BinaryIO

import tensorflow as tf

from spl_tf.clips.remote_files import replacing
from spl_tf.text_files import DAMAGED, unpacked

_BUFFER_BYTES = 1 << 20


@contextlib.contextmanager
def reading(
    path: str, expected: str, by_first_line: bool = False
) -> Iterator[BinaryIO]:
    """Opens a text, which may be compressed (gzip, bzip2, xz, zstd), as its bytes.

    Args:
        path: The file.
        expected: What it should be, for messages.
        by_first_line: As of `text_files.unpacked`.

    Raises:
        ValueError: It cannot be read, is damaged, or of another format.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as remote:
            file = io.BufferedReader(_Bytes(remote), _BUFFER_BYTES)
            yield unpacked(file, path, expected, by_first_line)
    except DAMAGED as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    except tf.errors.OpError as error:
        raise ValueError(f"{path} cannot be read: {error.message}") from error


@contextlib.contextmanager
def writing(path: str) -> Iterator[io.TextIOWrapper]:
    """Opens a file to write UTF-8 to it; it is there, whole, once the block succeeds.

    Raises:
        OSError: With `errno.ENOSPC` or `EDQUOT`, no space is left.
    """
    tf.io.gfile.makedirs(os.path.dirname(path) or ".")
    with replacing(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as remote:
        file = io.BufferedWriter(_Bytes(remote), _BUFFER_BYTES)
        with io.TextIOWrapper(file, "utf-8", newline="") as text:
            yield text


class _Bytes(io.RawIOBase):
    """What `io` needs of a file, local or remote, to buffer it."""

    def __init__(self, file: tf.io.gfile.GFile):
        self._file = file

    def readable(self) -> bool:
        """Always: opened for writing, the file itself refuses."""
        return True

    writable = readable

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer as far as there is something."""
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def write(self, content: memoryview) -> int:
        """Writes all of it."""
        self._file.write(bytes(content))
        return len(content)
