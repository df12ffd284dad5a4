"""The files that clips are made from: are they still those that they were?"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping

import tensorflow as tf

from spl_tf import clips
from spl_tf.clips.remote import scheme
from spl_tf.clips.shard_folder import INPUTS
from tfrecords_tools.conversion.manifest import path_of
from tfrecords_tools.conversion.shard_job import work_folder
from tfrecords_tools.decoding import frame_folder
from tfrecords_tools.decoding.video import UnreadableVideoError

# A request to a remote file system, or to one of a network, takes milliseconds.
_THREADS = 32
_MISSING = "missing"
_SHOWN = 3
FILES = "files.json"  # the stamps that a conversion began with
_ROOTS = ("video_root", "image_root")  # in the inputs of a conversion


def stamps(root: str, names: Iterable[str]) -> dict[str, str]:
    """Size and modification time of files, as `DatasetInfo.files` has them.

    Args:
        root: Folder that their paths start from.
        names: Paths as the manifest names them.
    """
    names = list(dict.fromkeys(names))
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda name: _stamp(path_of(root, name)), names)
        return dict(zip(names, found, strict=True))


def _stamp(path: str) -> str:
    try:
        if not scheme(path):
            status = os.stat(path)  # TensorFlow's has whole seconds
            if stat.S_ISDIR(status.st_mode):
                return _stamp_of_folder(path)
            return f"{status.st_size} {status.st_mtime_ns}"
        status = tf.io.gfile.stat(path)
        if status.is_directory:
            return _stamp_of_folder(path)
        return f"{status.length} {status.mtime_nsec}"
    except (OSError, ValueError, tf.errors.OpError, UnreadableVideoError):
        return _MISSING  # or unreadable, which conversion finds out and reports


def _stamp_of_folder(path: str) -> str:
    frames = hashlib.sha256()
    for name in frame_folder.frame_names(path):
        frames.update(f"{name}/{_stamp(os.path.join(path, name))}/".encode())
    return frames.hexdigest()


def replaced(former: Mapping[str, str], current: Mapping[str, str]) -> str:
    """Names the files that are others than when a conversion took them.

    A file that is gone is none: it may have been deleted because it is converted.

    Args:
        former: What `stamps` gave for that conversion.
        current: What `stamps` gives now.

    Returns:
        The first few names, and how many more; empty if there are none.
    """
    changed = [
        name
        for name, stamp in former.items()
        if current.get(name, _MISSING) not in (stamp, _MISSING)
    ]
    more = len(changed) - _SHOWN
    return ", ".join(changed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def replaced_since(output_dir: str) -> str:
    """As `replaced`, for the conversion that a folder holds, finished or not.

    Raises:
        ValueError: A description in it is damaged.
    """
    folder = work_folder(output_dir)
    if folder.holds("dataset.json"):
        info = clips.DatasetInfo.load(output_dir)
        inputs, former = info.source.get("inputs", {}), info.files
    else:
        inputs, former = folder.load(INPUTS) or {}, folder.load(FILES) or {}
    root = next((inputs[name] for name in _ROOTS if name in inputs), "")
    return replaced(former, stamps(root, former))
