"""Local files: whole or absent, also when the power fails, and one process at a time.

Without TensorFlow, so that the label code can use it; `spl_tf.clips.remote_files` has
the same for remote paths.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# What file systems say that cannot lock, or cannot flush a folder.
_NOT_SUPPORTED = (
    errno.EINVAL,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.ENOLCK,
    errno.EBADF,
)


class FolderBusyError(RuntimeError):
    """Another process works in the folder."""


def plain_name(name: Any, origin: str) -> str:
    """Returns the name of a file, once it cannot lead out of the file's folder.

    Args:
        name: The name that a file gives, not trusted yet.
        origin: The file that gives it, for the message.

    Raises:
        ValueError: It is a path, or no name at all.
    """
    if (
        not isinstance(name, str)
        or name in ("", os.curdir, os.pardir)
        or any(character in name for character in "/\\\0")
    ):
        raise ValueError(
            f"{origin} names the file {name!r}, expected a plain file name of its own "
            "folder: it is damaged or was tampered with; do not use it"
        )
    return name


def absolute_path(path: str) -> str:
    """A path that is the same however it is spelled, in every working directory."""
    if "://" in path:
        return path.rstrip("/")  # of a bucket, all other slashes are part of the name
    return "/" + os.path.abspath(path).lstrip("/")


def same_path(first: Any, second: Any) -> bool:
    """Whether two texts, neither of them empty, are spellings of one path."""
    texts = isinstance(first, str) and isinstance(second, str) and first and second
    return bool(texts) and absolute_path(first) == absolute_path(second)


def temporary_name(path: str) -> str:
    """A new name beside a file; listings of unfinished files know it."""
    return f"{path}.incomplete-{uuid.uuid4().hex[:8]}"


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary name beside path, which replaces path if the block succeeds.

    Raises:
        OSError: With `errno.ENOSPC` or `EDQUOT`, no space is left.
    """
    # Not tempfile, whose files nobody else may read whatever the umask says.
    temporary = Path(temporary_name(os.fspath(path)))
    try:
        yield temporary
        move_into_place(temporary, path)
    except OSError as error:
        if error.errno in NO_SPACE and error.filename is None:
            error.filename = os.fspath(path)
        raise
    finally:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            temporary.unlink()


def move_into_place(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Renames a file or a folder that is written; it is on the disk before its name."""
    for folder, _, names in os.walk(source):
        for name in names:
            _flush(os.path.join(folder, name))
        _flush(folder)
    _flush(source)
    os.replace(source, target)
    _flush(os.path.dirname(os.path.abspath(target)))


def _flush(path: str | os.PathLike) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    is_folder = os.path.isdir(path)
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not is_folder or error.errno not in (*_NOT_SUPPORTED, errno.EACCES):
            raise


@contextlib.contextmanager
def locked(folder: str, name: str) -> Iterator[None]:
    """Holds a folder's lock; the system lets go of it when the process ends.

    The lock is a file that is there while somebody holds it, and after a kill. A file
    system without locks keeps nobody out.

    Args:
        folder: The folder to hold, which exists.
        name: File name of the lock in it.

    Raises:
        FolderBusyError: Another process holds it.
    """
    path = os.path.join(folder, name)
    with _lock_file(folder, path) as file:
        file.truncate(0)
        file.write(f"{os.getpid()}\n{socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _lock_file(folder: str, path: str):
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115, the caller closes it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with file:
                file.seek(0)
                process, _, host = file.read().strip().partition("\n")
                raise FolderBusyError(
                    f"another process (id {process}) of {host or 'this machine'} works "
                    f"in {folder}; wait for it, or choose another folder"
                ) from error
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                file.close()
                raise
        # Whoever held it before may have removed the file that is locked now.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                return file
        file.close()
