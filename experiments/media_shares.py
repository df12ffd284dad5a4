"""Parts of a dataset that take videos whole: a share of each class, and the rest."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from spl_tf.clips import ClipDataset, write_atomically
from spl_tf.inference.media_overlap import media_id
from spl_tf.labels.several import SeveralLabels
from spl_tf.text_files import listed_ids
from tfrecords_tools.subsets.choice import Media, choose_fraction


@dataclasses.dataclass(frozen=True)
class MediaShare:
    """A share of a dataset's videos.

    Attributes:
        rows: bool [n], whether a clip is of one of them.
        ids: Their media ids.
        rest: The media ids of all others.
    """

    rows: np.ndarray
    ids: tuple[str, ...]
    rest: tuple[str, ...]


def choose_media(dataset: ClipDataset, fraction: float, seed: int) -> MediaShare:
    """Chooses a share of the clips of each class, by whole videos.

    `tfrecords_tools.make_subset` makes the same kind of choice of a manifest's rows.

    Args:
        dataset: The dataset.
        fraction: Share of the clips of each class, above 0 and below 1; at least one.
        seed: Decides which. A larger share holds the videos of a smaller one.

    Raises:
        ValueError: A record's media id is missing or not a line of text, or no clip
            would be left.
    """
    index, directory = dataset.index, dataset.directory
    groups, first, of_row = np.unique(
        index.group, return_index=True, return_inverse=True
    )
    if groups[0] < 0:
        raise ValueError(
            f"{directory}: row {first[0]} has no media id (clip/media_id), so that it "
            "cannot be told which of its clips are of one video"
        )
    labels = SeveralLabels(index.labels, index.label_splits)
    media = Media(of_row, labels, len(dataset.info.class_names), seed)
    taken = choose_fraction(media, fraction)
    if taken.all():
        raise ValueError(
            f"{directory}: a share of {fraction:g} of each class is all of its "
            f"{len(groups)} videos"
        )
    with dataset.reader() as reader:
        ids = [media_id(reader.read(row)) for row in first]
    for row, name in zip(first, ids, strict=True):
        if listed_ids(name) != {name}:
            raise ValueError(
                f"{directory}: the media id of row {row} is {name!r}, which is not a "
                "line of text"
            )
    chosen, rest = (
        tuple(ids[medium] for medium in np.flatnonzero(part))
        for part in (taken, ~taken)
    )
    return MediaShare(taken[of_row], chosen, rest)


def write_ids(path: str | os.PathLike, ids: Sequence[str]) -> None:
    """Writes media ids, one a line, as `filter.exclude_ids` reads them."""
    write_atomically(path, "".join(f"{each}\n" for each in ids).encode())
