"""Sports-1M: YouTube addresses, each with the numbers of one or several labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from spl_tf.labels import parse_class_names
from tfrecords_tools.conversion.manifest import LABEL_SEPARATOR, read_text
from tfrecords_tools.decoding.file_endings import VIDEO_ENDINGS, ending_of
from tfrecords_tools.manifest_formats.annotations import by_name, read_words
from tfrecords_tools.manifest_formats.chosen_entries import video_keys
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    Entry,
    Listing,
    ManifestSettings,
)

# Words in the names of files: labels.txt, train_partition.txt, test_partition.txt
_LABELS, *_ = _KINDS = ("labels", "train", "test")
_ADDRESS = re.compile(r"\S*(?:[?&]v=|youtu\.be/)([\w-]{11})(?:[&#?]\S*)?", re.ASCII)


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Reads the videos of the training set, the test set, or both.

    A video is the file with the YouTube id as its name, or as the last part of it, in
    brackets, as yt-dlp has it. The media id is the YouTube id. A video's first label is
    its `label`, others are its `more_labels`.

    Args:
        files: Files below the root.
        annotations: labels.txt, and files with `train` and `test` in their names, which
            may be compressed: lines of an address, a blank, and the numbers of labels
            with commas between.
        settings: No field of it is asked.

    Returns:
        The classes in the order of labels.txt. The splits are train and test.

    Raises:
        ValueError: A line is malformed; the message names file and line.
    """
    paths = list(by_name(annotations, _KINDS))
    found = [path for kind, path in paths if kind == _LABELS]
    if len(found) != 1:
        raise ValueError(
            f"--annotations is {list(annotations)}, expected one with {_LABELS!r} in "
            "its name: labels.txt"
        )
    class_names = parse_class_names(read_text(found[0]).encode(), found[0])
    if any(LABEL_SEPARATOR in name for name in class_names):
        raise ValueError(
            f"{found[0]}: a label has {LABEL_SEPARATOR!r} in it, which stands between "
            "labels in a manifest"
        )
    videos = _videos_by_id(files)
    entries = [
        entry
        for kind, path in paths
        if kind != _LABELS
        for entry in _entries(path, kind, class_names, videos)
    ]
    return Listing(class_names, entries)


def _videos_by_id(files: FileIndex) -> dict[str, str]:
    videos: dict[str, str] = {}
    for path in files.paths:
        if ending_of(path) in VIDEO_ENDINGS:
            for key in video_keys(path):
                videos.setdefault(key, path)
    return videos


def _entries(
    path: str, split: str, class_names: list[str], videos: dict[str, str]
) -> Iterator[Entry]:
    for line, (address, numbers) in read_words(path, (2,)):
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise ValueError(
                f"{path}, line {line}: {address!r} is no address of a YouTube video"
            )
        labels = [
            _label(f"{path}, line {line}", number, class_names)
            for number in numbers.split(",")
        ]
        label, *more = dict.fromkeys(labels)
        video = videos.get(match[1], "")
        yield Entry(
            *(path, line, match[1], label, split, match[1], video),
            reason="" if video else MISSING,
            more_labels=LABEL_SEPARATOR.join(more),
        )


def _label(where: str, number: str, class_names: list[str]) -> str:
    is_number = number.isdecimal() and number.isascii()
    if not is_number or int(number) >= len(class_names):
        raise ValueError(
            f"{where}: the label is {number!r}, expected 0 to {len(class_names) - 1}"
        )
    return class_names[int(number)]
