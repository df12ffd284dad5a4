"""What can be asked of a manifest's rows, and which rows meet it.

A request that cannot be met is an error that says what there is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfrecords_tools.conversion import options
from tfrecords_tools.subsets import choice
from tfrecords_tools.subsets.choice import Media
from tfrecords_tools.subsets.table import ManifestTable, read_table


@dataclasses.dataclass(frozen=True)
class SubsetSettings:
    """Which rows are taken."""

    split: str = options.option(
        "", "Rows of this split alone; the others are in no output. All when empty."
    )
    fraction: float = options.option(
        0.0, "Share of the rows of each class, at least one row; above 0, below 1."
    )
    num_videos: int = options.option(
        0, "How many videos; with --num_labels, of each number of labels. 0 for all."
    )
    sampling: str = options.option(
        choice.RANDOM,
        "How --num_videos are taken: random; tail_preserving, of head classes equally "
        "many; or sqrt, of each class as many as the square root of its videos says.",
    )
    num_labels: str = options.option(
        "", "Numbers of random labels, with commas between; fewer are part of more."
    )
    seconds: str = options.option(
        "", "FROM:TO, only rows of this length, both included, e.g. 55:60."
    )
    like: str = options.option(
        "",
        "Manifest whose videos per label are taken, or their shares of --num_videos.",
    )
    center_seconds: float = options.option(
        0.0, "Leave of each row its central seconds; 0 for all of it."
    )
    seed: int = options.option(0, "Decides which rows and labels.")

    def __post_init__(self):
        ways = (self.fraction, self.num_videos or self.like)
        any_way = (*ways, self.num_labels, self.seconds, self.center_seconds)
        options.check(
            self,
            ("fraction", 0 <= self.fraction < 1, "above 0 and below 1"),
            ("fraction", any(any_way), "above 0, or another flag that chooses rows"),
            ("fraction", not all(ways), "0 beside --num_videos or --like"),
            ("num_videos", self.num_videos >= 0, "0 or more"),
            ("sampling", self.sampling in choice.SAMPLINGS, f"{choice.SAMPLINGS}"),
            ("sampling", self._samples_well(), "random, or --num_videos beside it"),
            ("num_labels", self._counts_well(), "whole numbers above 0, each once"),
            ("like", not (self.like and self.num_labels), "empty with --num_labels"),
            ("seconds", self._is_range(), "FROM:TO, e.g. 55:60"),
            ("center_seconds", 0 <= self.center_seconds < 1e6, "0 to 1,000,000"),
            ("seed", self.seed >= 0, "0 or more"),
        )

    @property
    def label_counts(self) -> list[int]:
        """The numbers of labels asked for."""
        return [int(text) for text in self.num_labels.split(",") if self.num_labels]

    @property
    def seconds_range(self) -> tuple[float, ...]:
        """The least and the greatest length of a row; empty for any."""
        return tuple(map(float, self.seconds.split(":"))) if self.seconds else ()

    def _samples_well(self) -> bool:
        by_number = self.num_videos and not self.like
        return self.sampling == choice.RANDOM or bool(by_number)

    def _counts_well(self) -> bool:
        texts = self.num_labels.split(",") if self.num_labels else []
        valid = all(text.isdecimal() and int(text) for text in texts)
        return valid and len(set(map(int, texts))) == len(texts)

    def _is_range(self) -> bool:
        try:
            least, greatest = self.seconds_range or (0, 1)
        except ValueError:
            return False
        return 0 <= least <= greatest and greatest > 0


def of_length(
    manifest: str, table: ManifestTable, settings: SubsetSettings
) -> ManifestTable:
    """The rows that are as long as was asked for."""
    if not len(table.seconds):
        return table
    least, greatest = settings.seconds_range or (0.0, np.inf)
    rows = (table.seconds >= least) & (table.seconds <= greatest)
    if rows.any():
        return table.part(rows)
    known = table.seconds[~np.isnan(table.seconds)]
    there = "nothing tells the length of any: needed are start and end, or duration"
    if len(known):
        there = f"{len(known):,} are {known.min():g} to {known.max():g} seconds long"
    raise ValueError(
        f"{manifest}: no row is {settings.seconds or 'of known length'}, in seconds; "
        f"of {len(table.media):,} rows {there}"
    )


def label_spaces(
    manifest: str, table: ManifestTable, settings: SubsetSettings
) -> Iterator[tuple[ManifestTable, tuple[str, ...], int]]:
    """For each number of labels, the rows and names of as many; 0 for all labels."""
    occur = np.bincount(table.labels.values, minlength=len(table.names)) > 0
    if not settings.num_labels:
        names = np.array(table.names, object)[occur]
        yield table, tuple(names), 0
        return
    labels = np.flatnonzero(occur)
    random = np.random.default_rng([settings.seed, 2]).permutation(labels)
    for count in sorted(settings.label_counts):
        if count > len(labels):
            raise ValueError(
                f"--num_labels asks for {count:,}, but rows of {manifest} have "
                f"{len(labels):,} labels"
            )
        kept = np.zeros(len(occur), bool)
        kept[random[:count]] = True
        names = tuple(np.array(table.names, object)[kept])
        yield table.of_labels(kept), names, count


def choose_rows(
    manifest: str,
    table: ManifestTable,
    names: tuple[str, ...],
    settings: SubsetSettings,
) -> np.ndarray:
    """Which rows of a table are taken, bool [n]."""
    number = settings.num_videos
    media = Media(table.media, table.labels, len(table.names), settings.seed)
    if settings.like:
        chosen = _choose_like(manifest, table, settings)
    elif settings.fraction:
        chosen = choice.choose_fraction(media, settings.fraction)
    elif not number:
        return np.ones(len(table.media), bool)
    else:
        there = f"{manifest} has {len(media):,} videos of {len(names):,} labels"
        there += f", {settings.seconds} seconds long" if settings.seconds else ""
        if number > len(media):
            raise ValueError(f"--num_videos is {number:,}, but {there}")
        used = np.count_nonzero(media.of_label)
        if settings.sampling != choice.RANDOM and number < used:
            raise ValueError(
                f"--num_videos is {number:,}, too few for --sampling="
                f"{settings.sampling} to take one of each class: {there}, and needed "
                f"are at least {used:,}"
            )
        chosen = choice.choose_number(media, number, settings.sampling)
    return chosen[table.media]


def _choose_like(
    manifest: str, table: ManifestTable, settings: SubsetSettings
) -> np.ndarray:
    """Takes as many videos per label as another manifest has: bool [m]."""
    other = read_table(settings.like)
    names = sorted({*table.names, *other.names})
    place = {name: number for number, name in enumerate(names)}

    def media_of(known: ManifestTable, occurrences=None) -> Media:
        numbers = np.array([place[name] for name in known.names], np.int32)
        labels = dataclasses.replace(known.labels, values=numbers[known.labels.values])
        return Media(known.media, labels, len(names), settings.seed, occurrences)

    target = media_of(other)
    # What is rare in the one must count as rare in the other, too.
    media = media_of(table, np.bincount(target.labels.values, minlength=len(names)))
    wanted = target.of_label
    if settings.num_videos:
        wanted = choice.share_out(settings.num_videos, target.of_label)
    lacking = np.flatnonzero(wanted > media.of_label)
    if len(lacking):
        label = lacking[np.argmin(media.of_label[lacking] / wanted[lacking])]
        number = choice.number_in_proportion(target.of_label, media.of_label)
        remedy = f"--num_videos={number} can be met" if number else "no number can be"
        raise ValueError(
            f"{manifest} has {media.of_label[label]:,} videos of which "
            f"{names[label]!r} is the rarest label, but "
            f"{wanted[label]:,} are needed to be like {settings.like} (and too few of "
            f"{len(lacking):,} labels in all); {remedy}"
        )
    return choice.choose_per_label(media, wanted)
