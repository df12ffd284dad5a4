"""Which entries of a listing enter the manifest."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from spl_tf.text_files import composed
from tfrecords_tools.conversion.manifest import read_text
from tfrecords_tools.decoding.file_endings import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    ending_of,
)
from tfrecords_tools.manifest_formats.annotations import stem_of
from tfrecords_tools.manifest_formats.listing import (
    EXCLUDED,
    MISSING,
    REPEATED,
    UNKNOWN_LABEL,
    Entry,
    ManifestSettings,
)

# A YouTube id as Kinetics' downloaders (ID_000010_000020), yt-dlp (title [ID]) and
# others name files.
_YOUTUBE = re.compile(r"([\w-]{11})(?:_\d{6}_\d{6})?|.*\[([\w-]{11})\]", re.ASCII)

# The settings that say whether a reason is an error.
_FLAGS = {
    MISSING: "missing",
    UNKNOWN_LABEL: "unknown_labels",
    REPEATED: "duplicates",
}


def video_keys(media_id: str) -> set[str]:
    """The names by which a video is the same as another manifest's.

    Args:
        media_id: Media id of a manifest's row; its path where it has none.

    Returns:
        The media id, composed (NFC), and the YouTube id in it (in its file name, if it
        is a path), if there is one.
    """
    media_id = composed(media_id)
    ending = ending_of(media_id)
    if ending in IMAGE_ENDINGS:
        return {media_id}
    name = media_id.rsplit("/", 1)[-1]
    # What follows a dot in a title is no ending.
    match = _YOUTUBE.fullmatch(stem_of(name) if ending in VIDEO_ENDINGS else name)
    return {media_id, match[1] or match[2]} if match else {media_id}


def read_excluded(paths: Iterable[str]) -> set[str]:
    """The keys of all videos of some manifests, see `video_keys`.

    Raises:
        ValueError: One cannot be read, or is no manifest.
    """
    keys: set[str] = set()
    for path in paths:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
        try:
            if "video" not in (reader.fieldnames or []):
                raise ValueError(
                    f"{path}, line 1: no manifest: expected a column 'video', found "
                    f"{reader.fieldnames}"
                )
            for row in reader:
                name = row.get("media_id") or row["video"]
                if not name:
                    raise ValueError(f"{path}, line {reader.line_num}: names no video")
                keys |= video_keys(name)
        except csv.Error as error:
            raise ValueError(
                f"{path}, after line {reader.line_num}: {error}"
            ) from error
    return keys


def select(
    entries: Iterable[Entry],
    class_names: Sequence[str],
    exclude: Sequence[str],
    settings: ManifestSettings,
    classes: str = "",
    marks_repeats: bool = False,
) -> Iterator[Entry]:
    """Gives every entry of the wanted splits a reason if it must be left out.

    The first of these that holds: a reader's reason other than `missing`, a label that
    is not among the classes, `missing`, a video of an excluded manifest, a media id
    with the same start and end that was kept before in the split.

    Args:
        entries: What a format's reader has listed.
        class_names: Names of the classes, which a label must be among.
        exclude: Paths of manifests whose videos must not enter.
        settings: Which splits to take, and which faults to skip.
        classes: Where the class names are from, for messages.
        marks_repeats: Whether the reader has found the last itself, see `Listing`.

    Raises:
        ValueError: Something is wrong that the settings do not say to skip; the message
            names the place.
    """
    known = frozenset(class_names)
    excluded = read_excluded(exclude)
    kept: dict[tuple, Entry] | None = None if marks_repeats else {}
    for entry in entries:
        if not settings.wants(entry.split):
            continue
        reason, fault = _judge(entry, known, excluded, kept, classes)
        flag = _FLAGS.get(reason)
        # A reader that found a repeat knows it to be harmless.
        if flag and getattr(settings, flag) == "error" and entry.reason != REPEATED:
            raise ValueError(
                f"{entry.where}: {entry.name!r}: {fault}; --{flag}=skip leaves such "
                "entries out"
            )
        yield entry._replace(reason=reason) if reason else entry


def _judge(entry, known, excluded, kept, classes) -> tuple[str, str]:
    """The reason to leave an entry out, or "", and what is wrong in words."""
    if entry.reason not in ("", MISSING):
        return entry.reason, ""
    unknown = next((name for name in entry.labels if name not in known), "")
    if unknown:
        of = f" of {classes}" if classes else ""
        fault = f"the label {unknown!r} is not among the {len(known)} classes{of}"
        return UNKNOWN_LABEL, fault
    if entry.reason == MISSING:
        return MISSING, "there is no file"
    if excluded and not video_keys(entry.media_id).isdisjoint(excluded):
        return EXCLUDED, ""
    if kept is None:
        return "", ""
    key = (entry.split, composed(entry.media_id), entry.start, entry.end)
    first = kept.setdefault(key, entry)
    if first is not entry:
        return REPEATED, (
            f"the id {entry.media_id!r} has the label {entry.label!r} here, and "
            f"{first.label!r} in {first.where}"
        )
    return "", ""
