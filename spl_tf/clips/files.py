"""Files that are either whole or absent."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator

import tensorflow as tf

from spl_tf.clips.remote import usable_path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Gives a temporary name to write; renames it to `path` when the block succeeds.

    When the block fails, the temporary file is removed and `path` stays as it was.

    Raises:
        OSError: With `errno.ENOSPC`, no space is left.
    """
    path = usable_path(path)
    temporary = f"{path}.incomplete-{uuid.uuid4().hex[:8]}"
    try:
        yield temporary
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException as error:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path) from error
        raise


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Writes a whole file under a temporary name, then renames it into place."""
    with replacing(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(content)
