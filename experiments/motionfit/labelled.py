"""Which of a dataset's videos count as labelled: a share of each class."""

from __future__ import annotations

import os

import numpy as np

from experiments.motionfit.stages import LABELLED_IDS, REST_IDS
from spl_tf.clips import ClipDataset, write_atomically
from spl_tf.inference.media_overlap import media_id
from spl_tf.labels.several import SeveralLabels
from spl_tf.text_files import listed_ids
from tfrecords_tools.subsets.choice import Media, choose_fraction


def choose_labelled(
    directory: str, output_dir: str, fraction: float, seed: int
) -> tuple[int, int]:
    """Lists the media ids of a share of each class, and those of the rest.

    `tfrecords_tools.make_subset` makes the same kind of choice of a manifest's rows.

    Args:
        directory: The dataset.
        output_dir: Where the two files, of one id a line, are written.
        fraction: Share of the clips of each class, above 0 and below 1; at least one.
        seed: Decides which. A larger share holds the videos of a smaller one.

    Returns:
        How many clips are labelled, and how many are left.

    Raises:
        ValueError: A record's media id is missing or not a line of text, or no clip
            would be left.
    """
    dataset = ClipDataset(directory)
    index = dataset.index
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
    os.makedirs(output_dir, exist_ok=True)
    for name, chosen in ((LABELLED_IDS, taken), (REST_IDS, ~taken)):
        listed = "".join(f"{ids[medium]}\n" for medium in np.flatnonzero(chosen))
        write_atomically(os.path.join(output_dir, name), listed.encode())
    labelled = int(np.count_nonzero(taken[of_row]))
    return labelled, len(of_row) - labelled
