"""Which of a dataset's videos count as labelled: a share of each class."""

from __future__ import annotations

import os

import numpy as np

from experiments.media_shares import choose_media, write_ids
from experiments.motionfit.stages import LABELLED_IDS, REST_IDS
from spl_tf.clips import ClipDataset


def choose_labelled(
    directory: str, output_dir: str, fraction: float, seed: int
) -> tuple[int, int]:
    """Lists the media ids of a share of each class, and those of the rest.

    Args:
        directory: The dataset.
        output_dir: Where the two files, of one id a line, are written.
        fraction: Share of the clips of each class, see `choose_media`.
        seed: Decides which.

    Returns:
        How many clips are labelled, and how many are left.

    Raises:
        ValueError: The videos cannot be told apart, or none would be left.
    """
    share = choose_media(ClipDataset(directory), fraction, seed)
    os.makedirs(output_dir, exist_ok=True)
    write_ids(os.path.join(output_dir, LABELLED_IDS), share.ids)
    write_ids(os.path.join(output_dir, REST_IDS), share.rest)
    labelled = int(np.count_nonzero(share.rows))
    return labelled, len(share.rows) - labelled
