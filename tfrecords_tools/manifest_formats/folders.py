"""A folder per class, or per split and class, of videos or images."""

from __future__ import annotations

from collections.abc import Sequence

from spl_tf.text_files import composed
from tfrecords_tools.decoding.file_endings import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    ending_of,
)
from tfrecords_tools.manifest_formats.annotations import no_path
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import Entry, Listing, ManifestSettings


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Lists the videos and images below the root; a file's class is its top folder.

    Args:
        files: The files; those of other endings do not count, but are noted.
        annotations: Must be empty: the folders are the labels.
        settings: `split_folders` says whether top folders are splits.

    Returns:
        The files, and the classes in alphabetical order.

    Raises:
        ValueError: A video or image lies in no class's folder, or two folders have
            names that differ in Unicode's form alone.
    """
    no_path(annotations, "the folders are the labels")
    entries, others = [], []
    spelled: dict[str, str] = {}
    for path in files.paths:
        if ending_of(path) not in VIDEO_ENDINGS | IMAGE_ENDINGS:
            others.append(path)
            continue
        split, label = folders_of(files, path, settings.split_folders)
        top = "/".join(path.split("/")[: 1 + settings.split_folders])
        if spelled.setdefault(composed(top), top) != top:
            raise ValueError(
                f"{files.root} has two folders {top!r}, which differ in Unicode's form "
                "(NFC, NFD) alone; make them one"
            )
        entries.append(Entry(files.path(path), 0, path, label, split, path, path))
    notes = ()
    if others:
        notes = (f"{len(others)} files are no videos or images, e.g. {others[0]}",)
    return Listing(sorted({entry.label for entry in entries}), entries, notes)


def folders_of(files: FileIndex, path: str, split_folders: bool) -> tuple[str, str]:
    """The split (empty without `split_folders`) and the class of a path, composed.

    Raises:
        ValueError: It lies in too few folders.
    """
    *folders, _ = composed(path).split("/")
    expected = "SPLIT/CLASS/FILE" if split_folders else "CLASS/FILE"
    if len(folders) < 1 + split_folders:
        raise ValueError(f"{files.path(path)}: expected {expected} in {files.root}")
    split = folders[0] if split_folders else ""
    return split, folders[split_folders].strip()
