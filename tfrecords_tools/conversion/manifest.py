"""The manifest: a CSV of files and their labels, checked before any work starts."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import math
import os
import re

import tensorflow as tf

from spl_tf.clips.remote import scheme, usable_path
from spl_tf.files import absolute_path
from spl_tf.text_files import composed, listed_ids, text_of

_REQUIRED = ("video", "label")
_OPTIONAL = ("start", "end", "media_id", "split", "more_labels")
# Between the labels in a cell of `more_labels`.
LABEL_SEPARATOR = "|"
# What is watched on a network, with or without a scheme.
_URL = re.compile(
    r"(https?|ftps?|sftp|rtsps?|rtmps?|rtp|srt|mms|udp)://|youtube:"
    r"|(//)?(www\.|m\.)?(youtube\.com/(watch|shorts/|embed/|live/)|youtu\.be/)",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True, slots=True)  # there may be very many
class ManifestRow:
    """One line of a manifest.

    Attributes:
        line: Number of the line in the file (the last one, if it spans several), for
            messages.
        video: Path of the video (or image) as the manifest names it.
        label: Index of its class.
        media_id: Name of the video in clip ids; the path where the manifest has none.
        start: Where it begins, in seconds; None when it starts with the video.
        end: Where it ends, in seconds; None when it ends with the video.
        more_labels: Indices of its further classes, e.g. of other hashtags.
    """

    line: int
    video: str
    label: int
    media_id: str
    start: float | None = None
    end: float | None = None
    # Not in its text, of which image datasets of one label each have kept a digest.
    more_labels: tuple[int, ...] = dataclasses.field(default=(), repr=False)


def read_manifest(
    path: str, class_names: list[str], split: str = "", classes: str = ""
) -> list[ManifestRow]:
    """Reads and checks a whole manifest.

    Args:
        path: CSV in UTF-8 with a header; columns `video` and `label` (a class name),
            optionally `start` and `end` (seconds), `media_id`, `split` and
            `more_labels` (class names with `|` between).
        class_names: Labels must be among these, in Unicode's form NFC or NFD.
        split: Take only the rows whose `split` is this; all when empty. The other
            rows are checked too.
        classes: Where the class names are from, for messages.

    Raises:
        ValueError: Anything is wrong with it; the message names the line.
    """
    label_of = {composed(name): index for index, name in enumerate(class_names)}
    rows: list[ManifestRow] = []
    splits: set[str] = set()
    first_line: dict[tuple, int] = {}
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        _check_header(path, reader.fieldnames or [], split)
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            row = _parse_row(where, reader.line_num, cells, label_of, classes)
            # As clip ids tell them apart, which is in microseconds.
            start = round((row.start or 0.0) * 1e6)
            end = None if row.end is None else round(row.end * 1e6)
            part = cells.get("split") if split else ""
            key = (part, composed(row.media_id), start, end)
            if key in first_line:
                raise ValueError(
                    f"{where}: {row.media_id!r} with this start and end stands "
                    f"already in line {first_line[key]}; ids must be unique"
                )
            first_line[key] = row.line
            splits.add(cells.get("split") or "")
            if not split or cells["split"] == split:
                rows.append(row)
    except csv.Error as error:
        raise ValueError(f"{path}, after line {reader.line_num}: {error}") from error
    if not rows:
        wanted = f" of split {split!r}, only of {sorted(splits)}" if split else ""
        raise ValueError(f"{path} lists no files{wanted}")
    return rows


def labels_in(label: str, more_labels: str | None) -> list[str]:
    """All labels of a row, composed (NFC): that of `label`, then `more_labels`."""
    more = more_labels.split(LABEL_SEPARATOR) if more_labels else []
    return [composed(name) for name in (label, *more)]


def seconds_in(where: str, column: str, text: str | None) -> float | None:
    """The seconds that a cell gives; None where it is empty.

    Raises:
        ValueError: It is no number of seconds; the message has the place and column.
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{where}: {column} is {text!r}, expected seconds >= 0")
    return value


def read_ids(path: str) -> frozenset[str]:
    """Reads a file of media ids, see `listed_ids`.

    Raises:
        ValueError: It does not exist, or is not UTF-8.
    """
    return listed_ids(read_text(path))


def read_text(path: str) -> str:
    """Reads a UTF-8 file, local or remote, with or without a byte order mark.

    It may be compressed: gzip, bzip2, xz or zstd.

    Raises:
        ValueError: It does not exist, is of another format, which the message names,
            or is not UTF-8; the message names the line.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except tf.errors.OpError as error:
        raise ValueError(f"{path} cannot be read: {error.message}") from error
    return text_of(content, path)


def folder_of(path: str) -> str:
    """The folder that a manifest's paths start from unless another one is given."""
    return os.path.dirname(root_of(path))


def root_of(path: str) -> str:
    """A path that means the same in every process and working directory."""
    return absolute_path(path)


def path_of(root: str, name: str) -> str:
    """The path of a file that a manifest names, which may be remote by itself.

    A local file that is not there by that name may be by one that differs in Unicode's
    form alone (NFC or NFD), which is then taken.
    """
    path = name if "://" in name else os.path.join(root, name)
    return path if path.isascii() or "://" in path else _as_on_disk(path)


def _as_on_disk(path: str) -> str:
    folder, name = os.path.split(path)
    if not name or os.path.lexists(path):
        return path
    folder = _as_on_disk(folder)
    try:
        names = _composed_names(folder, os.stat(folder or ".").st_mtime_ns)
    except OSError:
        return path
    return os.path.join(folder, names.get(composed(name), name))


@functools.lru_cache(maxsize=16)
def _composed_names(folder: str, unused_changed: int) -> dict[str, str]:
    """The names in a folder by their composed form, listed once while it stays."""
    return {composed(name): name for name in os.listdir(folder or ".")}


def _check_header(path, columns, split) -> None:
    required = [*_REQUIRED, "split"] if split else _REQUIRED
    missing = [name for name in required if name not in columns]
    repeated = [name for name in columns if columns.count(name) > 1]
    if repeated:
        raise ValueError(f"{path}, line 1: column {repeated[0]!r} stands there twice")
    if missing:
        raise ValueError(
            f"{path}, line 1: column {missing[0]!r} is missing; found {list(columns)}, "
            f"needed are {list(required)}, known also {list(_OPTIONAL)}"
        )


def _parse_row(where, line, cells, label_of, classes) -> ManifestRow:
    if None in cells or None in cells.values():
        raise ValueError(f"{where}: the number of cells differs from the header's")
    video = cells["video"]
    if not video:
        raise ValueError(f"{where}: the video's path is empty")
    _check_place(where, video)
    labels = labels_in(cells["label"], cells.get("more_labels"))
    for label in labels:
        if label not in label_of:
            raise ValueError(
                f"{where}: label {label!r} is not in the classes file"
                f"{classes and f' {classes}'}; known are "
                f"{', '.join(list(label_of)[:5])}, ... ({len(label_of)} classes)"
            )
    if len(set(labels)) < len(labels):
        raise ValueError(f"{where}: a label stands there twice: {labels}")
    start = seconds_in(where, "start", cells.get("start"))
    end = seconds_in(where, "end", cells.get("end"))
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"{where}: end {end} is not after start {start or 0.0}")
    media_id = cells.get("media_id") or video
    first, *more = (label_of[label] for label in labels)
    return ManifestRow(line, video, first, media_id, start, end, tuple(more))


def _check_place(where: str, video: str) -> None:
    if _URL.match(video):
        raise ValueError(
            f"{where}: {video!r} is a URL, expected a file: download the videos first "
            "(with yt-dlp, for example) and list the files"
        )
    if scheme(video):
        try:
            usable_path(video)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
