"""SoccerNet: `Labels.json` of each match to clips of events, and Background clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from spl_tf.progress import Progress
from spl_tf.text_files import composed
from tfrecords_tools.decoding.decoder import Decoder
from tfrecords_tools.decoding.file_endings import VIDEO_ENDINGS, ending_of
from tfrecords_tools.decoding.video import MICROSECONDS, UnreadableVideoError
from tfrecords_tools.manifest_formats.annotations import only_path, stem_of
from tfrecords_tools.manifest_formats.background import draw_background
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    REPEATED,
    UNREADABLE,
    UNUSED,
    Entry,
    Listing,
    ManifestSettings,
)
from tfrecords_tools.manifest_formats.match_lists import read_match_lists
from tfrecords_tools.manifest_formats.soccernet_labels import (
    BACKGROUND,
    CLASS_NAMES,
    Event,
    read_events,
)

_HALVES = ("1", "2")
_PROBE_SECONDS = 60.0


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Reads the matches below a folder, or those of `split_lists`.

    An event becomes a clip with the event in its middle, or that starts with the video
    if the event comes too early for that; of several events with the same clip the
    first in the file stays. Background clips lie away from all events of the three
    classes; how many and how far away is ours, the papers do not say.

    Args:
        files: `<league>/<season>/<match>/1.mkv` and `2.mkv`, or `1_224p.mkv` and so on.
        annotations: The folder of the annotation files, in the same folders as the
            videos; the root of `files` when empty.
        settings: All fields that name soccernet are read.

    Returns:
        The classes in the order of figure 8; the splits are those of `split_lists`.

    Raises:
        ValueError: An annotation file is malformed, or several videos could be a
            half's; the message names the file.
    """
    labels = files
    if annotations:
        labels = FileIndex(only_path(annotations, "the folder of annotation files"))
    matches = _matches(labels, settings)
    entries: list[Entry] = []
    notes: list[str] = []
    videos = _find_halves(files, settings.half_video)
    with (
        Decoder(_PROBE_SECONDS) as decoder,
        Progress(len(matches), "match", "reading matches") as progress,
    ):
        for name, split in matches.items():
            path = f"{name}/{settings.labels_file}"
            found = labels.lookup(path)
            where = labels.path(found or path)
            if found:
                halves = {
                    half: _read_half(files, decoder, name, half, videos, notes)
                    for half in _HALVES
                }
                match = _Match(name, split, where, halves, settings)
                entries += match.entries(notes)
            else:
                entries.append(Entry(where, 0, name, "", split, name, reason=MISSING))
            progress.update()
    return Listing(list(CLASS_NAMES), entries, tuple(notes))


def _matches(labels: FileIndex, settings: ManifestSettings) -> dict[str, str]:
    """The split of each match, by its composed name."""
    if settings.split_lists:
        matches = read_match_lists(settings.split_lists)
        return {m: split for m, split in matches.items() if settings.wants(split)}
    ending = "/" + settings.labels_file
    found = [path for path in labels.paths if path.endswith(ending)]
    if not found:
        raise ValueError(
            f"{labels.root} holds no {settings.labels_file} in a match's folder "
            "(--labels_file)"
        )
    return {composed(path.removesuffix(ending)): "" for path in found}


def _find_halves(files: FileIndex, half_video: str) -> dict[tuple[str, str], list[str]]:
    """The videos that may show a half, by match (composed) and half."""
    found: dict[tuple[str, str], list[str]] = {}
    names = {half_video.replace("{half}", half): half for half in _HALVES}
    for path in files.paths:
        match, _, name = path.rpartition("/")
        if half_video:
            half = names.get(name)
        elif ending_of(path) in VIDEO_ENDINGS:
            half = stem_of(name).split("_")[0]
        else:
            half = None
        if half in _HALVES:
            found.setdefault((composed(match), half), []).append(path)
    return found


class _Half(NamedTuple):
    """The video of a half: its path, its seconds, and why it cannot be used."""

    video: str = ""
    duration: float = 0.0
    fault: str = ""


def _read_half(files, decoder, match, half, videos, notes) -> _Half:
    found = videos.get((match, half), [])
    if not found:
        return _Half(fault=MISSING)
    if len(found) > 1:
        names = [path.rsplit("/", 1)[-1] for path in found]
        raise ValueError(
            f"{files.path(match)}: half {half} may be any of {names}; say which, e.g. "
            "--half_video={half}_224p.mkv"
        )
    try:
        probe = decoder.probe(files.path(found[0]))
    except UnreadableVideoError as error:
        notes.append(f"{files.path(found[0])}: {error}")
        return _Half(found[0], fault=UNREADABLE)
    return _Half(found[0], probe.end / MICROSECONDS)


@dataclasses.dataclass(frozen=True)
class _Match:
    """One match: its events and its Background clips."""

    name: str
    split: str
    path: str  # of the annotations
    halves: dict[str, _Half]
    settings: ManifestSettings

    def entries(self, notes: list[str]) -> Iterator[Entry]:
        events = read_events(self.path)
        yield from self._events(events)
        times = {
            half: [e.seconds for e in events if e.label and e.half == half]
            for half in _HALVES
        }
        durations = {h: half.duration for h, half in self.halves.items()}
        background = draw_background(self.name, durations, times, self.settings)
        for half, start in background:
            yield self._entry(BACKGROUND, BACKGROUND, half, start)
        wanted = self.settings.background_clips
        if len(background) < wanted and any(durations.values()):
            notes.append(
                f"{self.path}: room for {len(background)} of {wanted} Background clips"
            )

    def _events(self, events: Sequence[Event]) -> Iterator[Entry]:
        seen = set()
        for number, event in enumerate(events, start=1):
            start = max(0.0, event.seconds - self.settings.clip_seconds / 2)
            reason = self.halves[event.half].fault if event.label else UNUSED
            if not reason and event.label in CLASS_NAMES:
                reason = REPEATED if (event.half, start) in seen else ""
                seen.add((event.half, start))
            name = f"annotation {number}, {event.name} in half {event.half}"
            yield self._entry(name, event.label, event.half, start, reason)

    def _entry(self, name, label, half, start, reason="") -> Entry:
        return Entry(
            self.path,
            0,
            name,
            label,
            self.split,
            f"{self.name}/{half}",
            self.halves[half].video,
            start,
            round(start + self.settings.clip_seconds, 6),
            reason,
        )
