"""Kinetics: the official CSV files, and videos named as the common downloaders do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfrecords_tools.manifest_formats.annotations import read_columns
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    Entry,
    Listing,
    ManifestSettings,
)

_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Reads `train.csv`, `val.csv`, ... of Kinetics-400, -600 or -700.

    A row's video is the file `<youtube_id>_<start>_<end>` with six digits each, which
    is taken whole; or, where nobody cut it, `<youtube_id>`, of which the row's seconds
    are taken. Both may lie in any folder: below their split, their label, or neither.
    Of several files of one name the first in the order of the paths is taken, so that
    `replacement/...` comes before `train/...`.

    Args:
        files: Files below the root, the videos among them.
        annotations: CSV files with the columns label, youtube_id, time_start, time_end
            and split.
        settings: No field of it is asked.

    Returns:
        The classes in alphabetical order, of all rows, with or without a file.

    Raises:
        ValueError: A row is malformed; the message names file and line.
    """
    if not annotations:
        raise ValueError("--annotations is missing, expected Kinetics' CSV files")
    entries = []
    for path in annotations:
        for line, cells in read_columns(path, _COLUMNS):
            entries.append(_entry(files, path, line, *cells))
    return Listing(sorted({entry.label for entry in entries}), entries)


def _entry(files, path, line, label, youtube_id, time_start, time_end, split) -> Entry:
    where = f"{path}, line {line}"
    if not label or not youtube_id:
        raise ValueError(f"{where}: label {label!r} or youtube_id {youtube_id!r} empty")
    start, end = _seconds(where, time_start), _seconds(where, time_end)
    if end <= start:
        raise ValueError(f"{where}: time_end {end} is not after time_start {start}")
    name = f"{youtube_id}_{int(start):06d}_{int(end):06d}"
    if video := files.find(name):
        return Entry(path, line, name, label, split, name, video)
    if video := files.find(youtube_id):
        return Entry(path, line, name, label, split, youtube_id, video, start, end)
    return Entry(path, line, name, label, split, name, reason=MISSING)


def _seconds(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{where}: {text!r} is no time, expected seconds >= 0")
    return value
