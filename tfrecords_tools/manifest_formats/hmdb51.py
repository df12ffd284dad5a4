"""HMDB51: `<class>_test_split1.txt`, a file per class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import tensorflow as tf

from spl_tf.text_files import composed
from tfrecords_tools.conversion.manifest import path_of
from tfrecords_tools.manifest_formats.annotations import only_path, read_words, stem_of
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    UNUSED,
    Entry,
    Listing,
    ManifestSettings,
)

_FILE_NAME = re.compile(r"(.+)_test_split([123])\.txt")
_SPLITS = {"0": "", "1": "train", "2": "test"}


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Reads a fold of the three.

    Args:
        files: The videos, in a folder per class or not.
        annotations: The folder of the split files.
        settings: `fold` says which of the three.

    Returns:
        The classes in alphabetical order; the splits are train (1 in the files) and
        test (2). Videos that the fold does not use (0) are left out.

    Raises:
        ValueError: A line is malformed; the message names file and line.
    """
    folder = only_path(annotations, "the folder of *_test_split1.txt")
    if not tf.io.gfile.isdir(folder):
        raise ValueError(f"--annotations {folder!r} is no folder")
    names = map(composed, tf.io.gfile.listdir(folder))
    matches = map(_FILE_NAME.fullmatch, names)
    class_names = sorted(
        match[1] for match in matches if match and match[2] == str(settings.fold)
    )
    if not class_names:
        raise ValueError(
            f"{folder} holds no file named <class>_test_split{settings.fold}.txt"
        )
    entries = []
    for name in class_names:
        path = path_of(folder, f"{name}_test_split{settings.fold}.txt")
        entries += _read_class(files, path, name)
    return Listing(class_names, entries)


def _read_class(files, path, label) -> Iterator[Entry]:
    for line, (name, number) in read_words(path, (2,)):
        if number not in _SPLITS:
            raise ValueError(
                f"{path}, line {line}: {name} has the number {number}, expected 1 "
                "(train), 2 (test) or 0 (not used)"
            )
        stem = stem_of(name)
        video = files.find(stem, label)
        reason = "" if video else MISSING
        yield Entry(
            path,
            line,
            name,
            label,
            _SPLITS[number],
            f"{label}/{stem}",
            video,
            reason=UNUSED if number == "0" else reason,
        )
