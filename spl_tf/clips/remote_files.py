"""Files that are either whole or absent, local or remote."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
from collections.abc import Iterator

import tensorflow as tf

from spl_tf import files
from spl_tf.clips.remote import scheme, usable_path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Gives a temporary name to write; renames it to `path` when the block succeeds.

    When the block fails, the temporary file is removed and `path` stays as it was.

    Raises:
        OSError: With `errno.ENOSPC` or `EDQUOT`, no space is left.
    """
    path = usable_path(path)
    replace = _replacing_remote if scheme(path) else files.replacing
    try:
        with replace(path) as temporary:
            yield os.fspath(temporary)
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path) from error


@contextlib.contextmanager
def _replacing_remote(path: str) -> Iterator[str]:
    temporary = files.temporary_name(path)
    try:
        yield temporary
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)
        raise


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Writes a whole file under a temporary name, then renames it into place."""
    with replacing(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(content)


def write_if_absent(path: str | os.PathLike, content: bytes) -> None:
    """Writes a whole file unless it exists; of several processes, one succeeds.

    A remote file system offers no such step: there the last of those that look at the
    same moment wins.
    """
    path = usable_path(path)
    if scheme(path):
        if not tf.io.gfile.exists(path):
            write_atomically(path, content)
        return
    temporary = files.temporary_name(path)
    write_atomically(temporary, content)
    try:
        os.link(temporary, path)  # which fails where the name is taken
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        if not os.path.exists(path):  # a file system without hard links
            os.rename(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def matching(directory: str | os.PathLike, pattern: str) -> list[str]:
    """Paths in a folder whose last names fit a pattern, sorted; none without it.

    Unlike a glob, it takes the folder by its name, whatever characters that has.
    """
    directory = usable_path(directory)
    if not tf.io.gfile.isdir(directory):
        return []
    listed = tf.io.gfile.listdir if scheme(directory) else os.listdir
    names = sorted(name.rstrip("/") for name in listed(directory))
    return [
        os.path.join(directory, name)
        for name in names
        if fnmatch.fnmatchcase(name, pattern)
    ]
