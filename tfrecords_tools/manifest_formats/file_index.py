"""The media files below a folder, found once."""

from __future__ import annotations

import collections
import functools
import os
from collections.abc import Iterator

import tensorflow as tf

from spl_tf.text_files import composed
from tfrecords_tools.decoding.file_endings import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    ending_of,
)
from tfrecords_tools.manifest_formats.annotations import stem_of


class FileIndex:
    """Paths of the files below a folder, listed once; hidden files do not count.

    Names are compared composed (NFC), and given as they are on disk.

    Attributes:
        root: Path of the folder, local or remote.
        paths: Paths of the files, relative to the root, with `/`, sorted.
    """

    def __init__(self, root: str):
        """Lists the folder.

        Args:
            root: Path of the folder; links to folders are followed.

        Raises:
            ValueError: It is no folder, or holds no files.
        """
        if not root or not tf.io.gfile.isdir(root):
            raise ValueError(f"--video_root {root!r} is no folder")
        self.root = root
        self.paths = sorted(_walk(root))
        if not self.paths:
            raise ValueError(f"--video_root {root!r} holds no files")

    def lookup(self, path: str) -> str:
        """The path of a file below the root; empty if it is not there."""
        return self._known.get(path) or self._known.get(composed(path), "")

    def path(self, name: str) -> str:
        """The path of a file by its name below the root."""
        return os.path.join(self.root, name)

    def find(self, stem: str, folder: str = "", any_case: bool = False) -> str:
        """The video with a name, wherever below the root it lies.

        A folder that holds images and no videos is a video, too: its frames.

        Args:
            stem: Name of the file without folders and ending, or of the folder.
            folder: Name of the folder that is preferred where several videos have this
                name; else files come before folders, in the order of their paths.
            any_case: Whether capitals count as small letters.

        Returns:
            The path of the video, relative to the root; empty if there is none.
        """
        if any_case:
            found = self._by_small_stem.get(composed(stem).lower(), ())
        else:
            found = self._by_stem.get(composed(stem), ())
        folders = [composed(folder)]
        beside = [path for path in found if composed(path).split("/")[-2:-1] == folders]
        return next(iter(beside or found), "")

    @functools.cached_property
    def _known(self) -> dict[str, str]:
        known = {composed(path): path for path in self.paths}
        return known | {path: path for path in self.paths}

    @functools.cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        by_stem = collections.defaultdict(list)
        of_images, of_videos = set(), set()
        for path in self.paths:
            ending, folder = ending_of(path), path.rpartition("/")[0]
            if ending in VIDEO_ENDINGS:
                by_stem[stem_of(composed(path))].append(path)
                of_videos.add(folder)
            elif ending in IMAGE_ENDINGS:
                of_images.add(folder)
        for folder in sorted(of_images - of_videos):
            by_stem[composed(folder.rpartition("/")[2])].append(folder)
        return dict(by_stem)

    @functools.cached_property
    def _by_small_stem(self) -> dict[str, list[str]]:
        by_stem = collections.defaultdict(list)
        for stem, paths in self._by_stem.items():
            by_stem[stem.lower()] += paths
        return dict(by_stem)


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
    """`os.walk` along links too, each folder once even where links go round."""
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
