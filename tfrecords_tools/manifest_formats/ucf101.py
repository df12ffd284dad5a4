"""UCF101, of which `classInd.txt`, `trainlistNN.txt` and `testlistNN.txt` are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from tfrecords_tools.manifest_formats.annotations import only_path, read_words, stem_of
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    Entry,
    Listing,
    ManifestSettings,
)


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Reads a fold of the lists for action recognition.

    Capitals are not looked at, neither in a class's folder nor in a file's name: the
    lists write HandStandPushups, other files of the distribution HandstandPushups.

    Args:
        files: The videos, in a folder per class or not.
        annotations: Path of the folder `ucfTrainTestlist`, alone.
        settings: `fold` says which of the three.

    Returns:
        The classes in the order of `classInd.txt`; the splits are train and test.

    Raises:
        ValueError: A line is malformed; the message names file and line.
    """
    folder = only_path(annotations, "the folder ucfTrainTestlist")
    class_names = _read_classes(os.path.join(folder, "classInd.txt"))
    entries = []
    for split in ("train", "test"):
        path = os.path.join(folder, f"{split}list{settings.fold:02d}.txt")
        if settings.wants(split):
            entries += _read_list(files, path, split, class_names)
    return Listing(class_names, entries)


def _read_classes(path: str) -> list[str]:
    names: list[str] = []
    for line, (number, name) in read_words(path, (2,)):
        if number != str(len(names) + 1):
            raise ValueError(
                f"{path}, line {line}: class {name} has the number {number}, expected "
                f"{len(names) + 1}"
            )
        names.append(name)
    return names


def _read_list(files, path, split, class_names) -> Iterator[Entry]:
    index_of = {name.lower(): index for index, name in enumerate(class_names)}
    for line, words in read_words(path, (1, 2)):
        folder, _, name = words[0].rpartition("/")
        index = index_of.get(folder.lower())
        if index is None:
            raise ValueError(
                f"{path}, line {line}: {words[0]!r} is in no folder that has the name "
                "of a class in classInd.txt"
            )
        if len(words) == 2 and words[1] != str(index + 1):
            raise ValueError(
                f"{path}, line {line}: {words[0]} has the number {words[1]}, but "
                f"classInd.txt says {index + 1}"
            )
        stem = stem_of(name)
        video = files.find(stem, folder, any_case=True)
        yield Entry(
            path,
            line,
            words[0],
            class_names[index],
            split,
            stem,
            video,
            reason="" if video else MISSING,
        )
