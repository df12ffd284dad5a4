"""Clothing1M: labels as `<image> <number>` lines, and a list of images per split."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from spl_tf.labels import parse_class_names
from tfrecords_tools.conversion.manifest import read_text
from tfrecords_tools.manifest_formats.annotations import only_path, read_words
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    Entry,
    Listing,
    ManifestSettings,
)

_SPLITS = {
    "noisy_train": ("noisy_label_kv.txt", "noisy_train_key_list.txt"),
    "train": ("clean_label_kv.txt", "clean_train_key_list.txt"),
    "val": ("clean_label_kv.txt", "clean_val_key_list.txt"),
    "test": ("clean_label_kv.txt", "clean_test_key_list.txt"),
}
_PREFIX = "images/"


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Reads the noisy and the clean part.

    Some images have a noisy and a clean label; `--exclude` with a manifest of the clean
    splits takes them out of the noisy one.

    Args:
        files: The images, with or without the folder `images` that the lists name.
        annotations: The folder of the lists; the root of `files` when empty.
        settings: Only the lists of its `splits` are read.

    Returns:
        The classes in the order of `category_names_eng.txt`; the splits are
        noisy_train, train, val and test.

    Raises:
        ValueError: A line is malformed, or an image has no label; the message names
            file and line.
    """
    folder = files.root
    if annotations:
        folder = only_path(annotations, "the folder of Clothing1M's lists")
    path = os.path.join(folder, "category_names_eng.txt")
    class_names = parse_class_names(read_text(path).encode(), path)
    entries = []
    labels: dict[str, dict[str, int]] = {}
    for split, (label_file, list_file) in _SPLITS.items():
        if settings.wants(split):
            path = os.path.join(folder, label_file)
            if label_file not in labels:
                labels[label_file] = _read_labels(path, len(class_names))
            list_path = os.path.join(folder, list_file)
            entries += _read_split(
                files, list_path, split, path, labels[label_file], class_names
            )
    return Listing(class_names, entries)


def _read_labels(path: str, num_classes: int) -> dict[str, int]:
    known = {str(number): number for number in range(num_classes)}
    labels: dict[str, int] = {}
    for line, (image, number) in read_words(path, (2,)):
        if number not in known:
            raise ValueError(
                f"{path}, line {line}: {image} has the label {number!r}, expected 0 to "
                f"{num_classes - 1}"
            )
        if labels.setdefault(image, known[number]) != known[number]:
            raise ValueError(
                f"{path}, line {line}: {image} has the label {number}, but "
                f"{labels[image]} in a line before"
            )
    return labels


def _read_split(files, path, split, label_path, labels, class_names) -> Iterator[Entry]:
    for line, (image,) in read_words(path, (1,)):
        if image not in labels:
            raise ValueError(
                f"{path}, line {line}: {image} has no label in {label_path}"
            )
        short = image.removeprefix(_PREFIX)
        video = files.lookup(image) or files.lookup(short)
        yield Entry(
            path,
            line,
            image,
            class_names[labels[image]],
            split,
            image,
            video,
            reason="" if video else MISSING,
        )
