"""What a reader of a dataset's own files hands over, and the settings it gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from tfrecords_tools.conversion import options
from tfrecords_tools.conversion.manifest import labels_in

# Why an entry is not in the manifest.
MISSING = "missing"
UNREADABLE = "unreadable"
BROKEN = "broken"
WRONG_ENCODING = "wrong encoding"
UNUSED = "unused"
REPEATED = "repeated"
UNKNOWN_LABEL = "other label"
EXCLUDED = "excluded"


class Entry(NamedTuple):
    """One video, image or span of a video that a dataset lists.

    Attributes:
        source: Path of the file that lists it.
        line: Number of its line there; 0 where lines do not tell.
        name: What that file calls it, for messages.
        label: Name of its class.
        split: "train" and the like; empty when the dataset has one part.
        media_id: Name of the video in clip ids.
        video: Path of the file, relative to the video root; empty without a file.
        start: Where it begins, in seconds; None when it starts with the video.
        end: Where it ends, in seconds; None when it ends with the video.
        reason: Why it is left out; empty when it is not.
        more_labels: Names of its further classes, with `LABEL_SEPARATOR` between.
        duration: How long the video is, in seconds; None where nothing tells.
    """

    source: str
    line: int
    name: str
    label: str
    split: str
    media_id: str
    video: str = ""
    start: float | None = None
    end: float | None = None
    reason: str = ""
    more_labels: str = ""
    duration: float | None = None

    @property
    def labels(self) -> list[str]:
        """Names of all its classes."""
        return labels_in(self.label, self.more_labels) if self.label else []

    @property
    def where(self) -> str:
        """The place in the dataset's files, for messages."""
        return f"{self.source}, line {self.line}" if self.line else self.source


class Listing(NamedTuple):
    """All that a dataset lists.

    Attributes:
        class_names: Names of the classes, in the distribution's order.
        entries: Entries in the distribution's order, those without a file among them;
            they can be gone through several times.
        notes: What the reader could not do as asked, for the summary.
        marks_repeats: Whether entries of a media id that was kept before have the
            reason `REPEATED` already, so that nobody has to remember all.
    """

    class_names: list[str]
    entries: Iterable[Entry]
    notes: tuple[str, ...] = ()
    marks_repeats: bool = False


@dataclasses.dataclass(frozen=True)
class ManifestSettings:
    """What enters the manifest; the fields after `duplicates` are of some formats."""

    splits: str = options.option(
        "", "Take only these splits, with commas between; all when empty."
    )
    missing: str = options.option(
        "skip", "A listed file that is not there: skip (and count it) or error."
    )
    unknown_labels: str = options.option(
        "error", "A label that is not in --classes: error or skip."
    )
    duplicates: str = options.option(
        "error", "A media id that was listed before: error or skip (the first stays)."
    )
    fold: int = options.option(1, "ucf101, hmdb51: which of the three splits.")
    split_folders: bool = options.option(
        False,
        "folders: the first level of folders are splits, the second classes.",
    )
    queries: str = options.option(
        "",
        "yt_dlp, img2dataset, search_folders, hashtags: CSV of make_queries; what a "
        "query found gets its label.",
    )
    min_videos: int = options.option(
        50, "hashtags: labels of fewer videos go, and posts that have no others."
    )
    query_from: str = options.option(
        "folder",
        "yt_dlp: the query is the name of the video's folder (folder), or the search "
        "that .info.json states as playlist_title (search).",
    )
    query_column: str = options.option(
        "caption",
        "img2dataset: the query is in this column, caption or one of its "
        "--save_additional_columns.",
    )
    extract_images: bool = options.option(
        False,
        "img2dataset: write images that are inside of Parquet files beside them.",
    )
    label_of: str = options.option(
        "verb", "epic_kitchens: the label is the verb, the noun or the action, both."
    )
    validation_kitchens: str = options.option(
        "",
        "epic_kitchens: participants, e.g. P26,P27, whose segments are the split "
        "validation.",
    )
    split_lists: tuple = options.option(
        (), "soccernet: SPLIT=FILE, e.g. train=SoccerNetGamesTrain.json; repeat."
    )
    labels_file: str = options.option(
        "Labels.json", "soccernet: the annotation file of a match, or Labels-v2.json."
    )
    half_video: str = options.option(
        "", "soccernet: name of a half's video, e.g. {half}_224p.mkv; found if empty."
    )
    clip_seconds: float = options.option(
        10.0, "soccernet: length of a clip; an event is in its middle."
    )
    background_clips: int = options.option(
        5, "soccernet: Background clips per match, seeded random times."
    )
    background_margin: float = options.option(
        30.0, "soccernet: seconds between a Background clip and any event."
    )
    seed: int = options.option(0, "soccernet: of the Background clips' times.")

    def __post_init__(self):
        choices = ("error", "skip")
        options.check(
            self,
            ("missing", self.missing in choices, "error or skip"),
            ("unknown_labels", self.unknown_labels in choices, "error or skip"),
            ("duplicates", self.duplicates in choices, "error or skip"),
            ("fold", self.fold in (1, 2, 3), "1, 2 or 3"),
            ("min_videos", self.min_videos >= 1, "1 or more"),
            ("query_from", self.query_from in ("folder", "search"), "folder or search"),
            (
                "label_of",
                self.label_of in ("verb", "noun", "action"),
                "verb, noun or action",
            ),
            ("half_video", self._names_half(), "a file name with {half} in it"),
            ("clip_seconds", 1e-3 <= self.clip_seconds < 1e6, "0.001 to 1,000,000"),
            ("background_clips", self.background_clips >= 0, "0 or more"),
            ("background_margin", self.background_margin >= 0, "0 or more"),
            ("seed", self.seed >= 0, "0 or more"),
        )

    def wants(self, split: str) -> bool:
        """Whether the split is among those asked for."""
        return not self.splits or split in self.splits.split(",")

    def _names_half(self) -> bool:
        return not self.half_video or "{half}" in self.half_video
