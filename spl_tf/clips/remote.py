"""Paths that name a file system, such as `gs://bucket/clips`."""

from __future__ import annotations

import os
import re

import tensorflow as tf

_SCHEME = re.compile(r"([a-zA-Z][0-9a-zA-Z.]*)://")
_OF_TENSORFLOW_IO = ("az", "har", "hdfs", "http", "https", "oss", "s3", "viewfs")


def scheme(path: str | os.PathLike) -> str:
    """Returns "gs" for `gs://bucket/clips` and "" for a local path."""
    match = _SCHEME.match(os.fspath(path))
    return match.group(1) if match else ""


def usable_path(path: str | os.PathLike) -> str:
    """Returns the path as text, once TensorFlow has a file system for it.

    Local paths, `gs://` and `ram://` need nothing. For `s3://`, `hdfs://` and the
    others that tensorflow-io brings, it is imported here.

    Raises:
        ValueError: No file system is there for the path; the message says what to
            install.
    """
    path = os.fspath(path)
    name = scheme(path)
    if not name or name in tf.io.gfile.get_registered_schemes():
        return path
    fault = "that scheme is unknown"
    if name in _OF_TENSORFLOW_IO:
        fault = _import_tensorflow_io()
    known = tf.io.gfile.get_registered_schemes()
    if name not in known:
        raise ValueError(
            f"{path}: TensorFlow has no file system for {name}://, only for "
            f"{', '.join(f'{other}://' for other in sorted(filter(None, known)))}: "
            f"{fault}"
        )
    return path


def _import_tensorflow_io() -> str:
    """Imports tensorflow-io; says what to do if that brought nothing."""
    remedy = (
        "run `pip install 'spl_tf[tfio]'` (for Python 3.11 or older; it pins "
        "TensorFlow 2.17)"
    )
    try:
        import tensorflow_io  # noqa: F401, registers its file systems
    except ModuleNotFoundError:
        return f"tensorflow-io is not installed, {remedy}"
    except (ImportError, NotImplementedError, tf.errors.OpError) as error:
        return f"tensorflow-io does not load ({error}), {remedy}"
    return f"tensorflow-io does not fit TensorFlow {tf.__version__}, {remedy}"
