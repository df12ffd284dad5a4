"""The manifest: a CSV of videos and their labels, checked before any work starts."""

from __future__ import annotations

import csv
import dataclasses
import math
import os

_REQUIRED = ("video", "label")
_OPTIONAL = ("start", "end", "media_id")


@dataclasses.dataclass(frozen=True)
class ManifestRow:
    """One line of a manifest.

    Attributes:
        line: Its line number, for messages.
        video: Path of the video as the manifest names it.
        label: Class index.
        media_id: Name of the video in clip ids; the path where the manifest has none.
        start: Seconds; None when the clip starts with the video.
        end: Seconds; None when the clip ends with the video.
    """

    line: int
    video: str
    label: int
    media_id: str
    start: float | None = None
    end: float | None = None


def read_manifest(path: str | os.PathLike, class_names: list[str]) -> list[ManifestRow]:
    """Reads and checks a whole manifest.

    Args:
        path: CSV with a header; columns `video` and `label` (a class name), optionally
            `start` and `end` (seconds) and `media_id`.
        class_names: Labels must be among these.

    Raises:
        ValueError: Anything is wrong with it; the message names the line.
    """
    label_of = {name: index for index, name in enumerate(class_names)}
    rows: list[ManifestRow] = []
    first_line: dict[tuple, int] = {}
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        _check_header(path, reader.fieldnames or [])
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            row = _parse_row(where, reader.line_num, cells, label_of)
            key = (row.media_id, row.start, row.end)
            if key in first_line:
                raise ValueError(
                    f"{where}: {row.media_id!r} with this start and end stands "
                    f"already in line {first_line[key]}; ids must be unique"
                )
            first_line[key] = row.line
            rows.append(row)
    if not rows:
        raise ValueError(f"{path} lists no videos")
    return rows


def _check_header(path, columns) -> None:
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise ValueError(
            f"{path}, line 1: column {missing[0]!r} is missing; found {list(columns)}, "
            f"needed are {list(_REQUIRED)}, known also {list(_OPTIONAL)}"
        )


def _parse_row(where, line, cells, label_of) -> ManifestRow:
    if None in cells or None in cells.values():
        raise ValueError(f"{where}: the number of cells differs from the header's")
    video, label = cells["video"], cells["label"]
    if not video:
        raise ValueError(f"{where}: the video's path is empty")
    if label not in label_of:
        raise ValueError(
            f"{where}: label {label!r} is not in the classes file; known are "
            f"{', '.join(list(label_of)[:5])}, ... ({len(label_of)} classes)"
        )
    start = _seconds(where, "start", cells.get("start"))
    end = _seconds(where, "end", cells.get("end"))
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"{where}: end {end} is not after start {start or 0.0}")
    media_id = cells.get("media_id") or video
    return ManifestRow(line, video, label_of[label], media_id, start, end)


def _seconds(where: str, column: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{where}: {column} is {text!r}, expected seconds >= 0")
    return value
