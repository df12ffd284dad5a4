"""EPIC-KITCHENS-55 and -100: segments of long videos, each with a verb and a noun."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tfrecords_tools.manifest_formats.annotations import (
    by_name,
    header_of,
    read_columns,
)
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    REPEATED,
    Entry,
    Listing,
    ManifestSettings,
)

# Words in the names of files: EPIC_verb_classes.csv, EPIC_100_validation.csv, ...
_CLASSES = ("verb_classes", "noun_classes")
_SPLITS = _VALIDATION, _TRAIN = "validation", "train"
_COLUMNS = ("participant_id", "video_id", "narration", "start_timestamp")
_COLUMNS += ("stop_timestamp", "verb_class", "noun_class")
_TIME = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", re.ASCII)


class _Segment(NamedTuple):
    path: str
    line: int
    split: str
    kitchen: str
    video_id: str
    narration: str
    start: float
    end: float
    classes: tuple[int, int]  # numbers of verb and noun


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Reads the segments of one or several annotation files.

    A segment's video is the file, or the folder of frames, that has the video's id as
    its name. The media id is the video's id; a segment with the id, start and end of
    one before it is a repeat (the distribution has two) and stays once.

    Args:
        files: The videos, below a folder per participant or not.
        annotations: EPIC_verb_classes.csv and EPIC_noun_classes.csv (or EPIC_100_...),
            and files of segments: EPIC_train_action_labels.csv, or EPIC_100_train.csv
            and EPIC_100_validation.csv.
        settings: `label_of` says which of its labels a segment gets. The split is
            `validation` for files with that word in their name and for participants
            among `validation_kitchens` (IG-65M, 3.2: unseen kitchens), else `train`.

    Returns:
        The classes: all verbs or all nouns in the order of their numbers, or the
        actions that occur, `VERB NOUN`, in that of both.

    Raises:
        ValueError: A file or row is wrong; the message names the place.
    """
    paths = list(by_name(annotations, (*_CLASSES, *_SPLITS)))
    names = [_class_names(paths, kind) for kind in _CLASSES]
    segments = [
        segment
        for kind, path in paths
        if kind in _SPLITS
        for segment in _segments(path, kind, names)
    ]
    kitchens = set(filter(None, settings.validation_kitchens.split(",")))
    if unknown := sorted(kitchens - {segment.kitchen for segment in segments}):
        raise ValueError(
            f"--validation_kitchens names {unknown[0]!r}, of whom there is no segment; "
            f"found {sorted({segment.kitchen for segment in segments})}"
        )
    verbs, nouns = names
    labels = {
        segment.classes: _label(settings.label_of, segment.classes, verbs, nouns)
        for segment in segments
    }
    entries = [
        _entry(files, segment, labels[segment.classes], kitchens)
        for segment in segments
    ]
    actions = [labels[classes] for classes in sorted(labels)]
    class_names = {"verb": verbs, "noun": nouns, "action": actions}
    return Listing(class_names[settings.label_of], list(_marked_repeats(entries)))


def _label(label_of: str, classes: tuple[int, int], verbs, nouns) -> str:
    verb, noun = verbs[classes[0]], nouns[classes[1]]
    return {"verb": verb, "noun": noun, "action": f"{verb} {noun}"}[label_of]


def _entry(files, segment: _Segment, label: str, kitchens: set[str]) -> Entry:
    video = files.find(segment.video_id, segment.kitchen)
    return Entry(
        segment.path,
        segment.line,
        f"{segment.video_id} {segment.narration}",
        label,
        _VALIDATION if segment.kitchen in kitchens else segment.split,
        segment.video_id,
        video,
        segment.start,
        segment.end,
        "" if video else MISSING,
    )


def _marked_repeats(entries) -> Iterator[Entry]:
    seen = set()
    for entry in entries:
        key = (entry.media_id, entry.start, entry.end)
        yield entry._replace(reason=REPEATED) if key in seen else entry
        seen.add(key)


def _class_names(paths: Sequence[tuple[str, str]], kind: str) -> list[str]:
    """The keys of the verb or noun classes, by number."""
    found = [path for each, path in paths if each == kind]
    if len(found) != 1:
        raise ValueError(
            f"--annotations gives {len(found)} files with {kind!r} in their names, "
            "expected one"
        )
    # EPIC-KITCHENS-55 and -100 name the columns differently.
    number, key = "id", "key"
    if "class_key" in header_of(found[0]):
        number, key = f"{kind.partition('_')[0]}_id", "class_key"
    names: list[str] = []
    for line, (text, name) in read_columns(found[0], (number, key)):
        if text != str(len(names)) or not name:
            raise ValueError(
                f"{found[0]}, line {line}: class {name!r} has the number {text!r}, "
                f"expected a name and {len(names)}"
            )
        names.append(name)
    return names


def _segments(path: str, split: str, names: list[list[str]]) -> Iterator[_Segment]:
    for line, cells in read_columns(path, _COLUMNS):
        where = f"{path}, line {line}"
        kitchen, video_id, narration, *times, verb, noun = cells
        start, end = (_seconds(where, text) for text in times)
        if not video_id or end <= start:
            raise ValueError(
                f"{where}: video_id is {video_id!r}, from {times[0]} to {times[1]}; "
                "expected a name, and an end after the start"
            )
        classes = (_number(where, "verb", verb, names[0]),)
        classes += (_number(where, "noun", noun, names[1]),)
        yield _Segment(
            path, line, split, kitchen, video_id, narration, start, end, classes
        )


def _number(where: str, kind: str, text: str, names: list[str]) -> int:
    if not (text.isdecimal() and text.isascii() and int(text) < len(names)):
        raise ValueError(
            f"{where}: {kind}_class is {text!r}, expected 0 to {len(names) - 1}"
        )
    return int(text)


def _seconds(where: str, text: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{where}: {text!r} is no time, expected HH:MM:SS.ss")
    hours, minutes, seconds = match.groups()
    return round(3600 * int(hours) + 60 * int(minutes) + float(seconds), 6)
