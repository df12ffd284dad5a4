"""The media files below a folder, found once."""

from __future__ import annotations

import collections
import functools
import os
from collections.abc import Iterator

import tensorflow as tf

from tfrecords_tools.manifest_formats.text_files import stem_of

VIDEO_ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov"),
        *("mp4", "mpeg", "mpg", "ogv", "ts", "webm", "wmv"),
    )
)
IMAGE_ENDINGS = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"))


class FileIndex:
    """Paths of the files below a folder, listed once; hidden files do not count.

    Attributes:
        root: The folder, local or remote.
        paths: Relative to it, with `/`, sorted.
    """

    def __init__(self, root: str):
        """Lists the folder.

        Args:
            root: Folder; links to folders are followed.

        Raises:
            ValueError: It is no folder, or holds no files.
        """
        if not root or not tf.io.gfile.isdir(root):
            raise ValueError(f"--video_root {root!r} is no folder")
        self.root = root
        self.paths = sorted(_walk(root))
        if not self.paths:
            raise ValueError(f"--video_root {root!r} holds no files")

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def path(self, name: str) -> str:
        """The path of a file by its name below the root."""
        return os.path.join(self.root, name)

    def find(self, stem: str, folder: str = "", any_case: bool = False) -> str:
        """The video with a name, wherever below the root it lies.

        Args:
            stem: File name without ending.
            folder: Of several such files the one in a folder of this name is taken,
                else the first in the order of their paths.
            any_case: Whether capitals count as small letters.

        Returns:
            Its path, relative to the root; empty if there is none.
        """
        if any_case:
            found = self._by_small_stem.get(stem.lower(), ())
        else:
            found = self._by_stem.get(stem, ())
        beside = [path for path in found if path.split("/")[-2:-1] == [folder]]
        return next(iter(beside or found), "")

    @functools.cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.paths)

    @functools.cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        by_stem = collections.defaultdict(list)
        for path in self.paths:
            if ending_of(path) in VIDEO_ENDINGS:
                by_stem[stem_of(path)].append(path)
        return dict(by_stem)

    @functools.cached_property
    def _by_small_stem(self) -> dict[str, list[str]]:
        by_stem = collections.defaultdict(list)
        for stem, paths in self._by_stem.items():
            by_stem[stem.lower()] += paths
        return dict(by_stem)


def ending_of(path: str) -> str:
    """A file's ending in small letters, with its dot."""
    return os.path.splitext(path)[1].lower()


def _walk(root: str) -> Iterator[str]:
    if "://" in root:
        steps = tf.io.gfile.walk(root, onerror=_raise)
    else:
        steps = _walk_local(root)
    for directory, _, names in steps:
        below = os.path.relpath(directory, root).replace(os.sep, "/")
        prefix = "" if below == "." else below + "/"
        if "/." in "/" + prefix:
            continue
        yield from (prefix + name for name in names if not name.startswith("."))


def _walk_local(root: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk` that follows links, each folder once even where links go round."""
    seen = set()
    for directory, folders, names in os.walk(root, onerror=_raise, followlinks=True):
        place = os.path.realpath(directory)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield directory, folders, names


def _raise(error: Exception) -> None:
    raise error
