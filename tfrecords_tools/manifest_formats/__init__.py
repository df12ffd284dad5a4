"""Readers of datasets in the form in which they are distributed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tfrecords_tools.manifest_formats import (
    clothing1m,
    epic_kitchens,
    folders,
    hashtags,
    hmdb51,
    img2dataset,
    kinetics,
    search_folders,
    soccernet,
    something_something,
    sports1m,
    ucf101,
    yt_dlp,
)
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import Entry, Listing, ManifestSettings


class Format(NamedTuple):
    """How a dataset is read.

    Attributes:
        read: Makes its listing from the files, `--annotations` and the settings.
        fields: The settings of its own that it reads.
        extract: Writes the files of the entries that enter the manifest, where they are
            still inside of others; None for formats of files.
    """

    read: Callable[[FileIndex, Sequence[str], ManifestSettings], Listing]
    fields: tuple[str, ...] = ()
    extract: Callable[[FileIndex, Sequence[Entry]], None] | None = None


FORMATS = {
    "kinetics": Format(kinetics.read),
    "ucf101": Format(ucf101.read, ("fold",)),
    "hmdb51": Format(hmdb51.read, ("fold",)),
    "soccernet": Format(
        soccernet.read,
        (
            "split_lists",
            "labels_file",
            "half_video",
            "clip_seconds",
            "background_clips",
            "background_margin",
            "seed",
        ),
    ),
    "epic_kitchens": Format(epic_kitchens.read, ("label_of", "validation_kitchens")),
    "something_something": Format(something_something.read),
    "sports1m": Format(sports1m.read),
    "clothing1m": Format(clothing1m.read),
    "yt_dlp": Format(yt_dlp.read, ("queries", "query_from")),
    "img2dataset": Format(
        img2dataset.read,
        ("queries", "query_column", "extract_images"),
        img2dataset.extract_images,
    ),
    "search_folders": Format(search_folders.read, ("queries",)),
    "hashtags": Format(hashtags.read, ("queries", "min_videos")),
    "folders": Format(folders.read, ("split_folders",)),
}
