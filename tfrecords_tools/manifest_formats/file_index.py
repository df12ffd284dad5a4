"""The media files below a folder, found once."""

from __future__ import annotations

import collections
import functools
import os
from collections.abc import Iterator

import tensorflow as tf

from spl_tf.progress import shown
from spl_tf.text_files import composed
from tfrecords_tools.decoding.file_endings import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    ending_of,
)
from tfrecords_tools.manifest_formats.annotations import stem_of
from tfrecords_tools.manifest_formats.sorted_texts import SortedTexts, TextTable


class FileIndex:
    """Paths of the files below a folder, listed once; hidden files do not count.

    Names are compared composed (NFC), and given as they are on disk. In memory are
    numbers alone, about 25 bytes for a file.

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
        self.paths = SortedTexts(shown(_walk(root), None, "file", "listing files"))
        if not self.paths:
            raise ValueError(f"--video_root {root!r} holds no files")

    def lookup(self, path: str) -> str:
        """The path of a file below the root; empty if it is not there."""
        for name in dict.fromkeys((path, composed(path))):
            if name in self.paths:
                return name
        return self._other_forms.get(composed(path), "")

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
        stem = composed(stem)
        if any_case:
            stem = stem.lower()
            found = self._by_small_stem.find(stem) + self._small_folders.get(stem, [])
        else:
            found = self._by_stem.find(stem) + self._folders.get(stem, [])
        folders = [composed(folder)]
        beside = [path for path in found if composed(path).split("/")[-2:-1] == folders]
        return next(iter(beside or found), "")

    @functools.cached_property
    def _other_forms(self) -> dict[str, str]:
        """The paths that are not composed, by what they are when they are."""
        forms = ((composed(path), path) for path in self.paths if not path.isascii())
        return {form: path for form, path in forms if form != path}

    @functools.cached_property
    def _folders(self) -> dict[str, list[str]]:
        """The folders of images and no videos, by their names."""
        of_images, of_videos = set(), set()
        for path in self.paths:
            if ending_of(path) in VIDEO_ENDINGS:
                of_videos.add(path.rpartition("/")[0])
            elif ending_of(path) in IMAGE_ENDINGS:
                of_images.add(path.rpartition("/")[0])
        folders = collections.defaultdict(list)
        for folder in sorted(of_images - of_videos):
            folders[composed(folder.rpartition("/")[2])].append(folder)
        return dict(folders)

    @functools.cached_property
    def _small_folders(self) -> dict[str, list[str]]:
        folders = collections.defaultdict(list)
        for name, paths in self._folders.items():
            folders[name.lower()] += paths
        return dict(folders)

    @functools.cached_property
    def _by_stem(self) -> TextTable:
        return TextTable(self.paths, _video_stem)

    @functools.cached_property
    def _by_small_stem(self) -> TextTable:
        return TextTable(self.paths, lambda path: _video_stem(path).lower())


def _video_stem(path: str) -> str:
    """A video's name without folders and ending, composed; empty of other files."""
    return stem_of(composed(path)) if ending_of(path) in VIDEO_ENDINGS else ""


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
