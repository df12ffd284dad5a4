"""Which cells get a label of their own (paper, section 3.3), in exact integers."""

import math
from fractions import Fraction
from numbers import Real

import numpy as np

from spl_tf.labels.confusion import ConfusionMatrix, cells_view


def select_cells(
    counts: np.ndarray, num_selected: int
) -> tuple[np.ndarray, np.ndarray]:
    """Picks the most frequent cells of the whole matrix, not of each row.

    Args:
        counts: Clips of the cells in order of their flat keys, integers [cells]. A
            cell with 0 is no candidate.
        num_selected: How many to pick; fewer when there are fewer candidates.

    Returns:
        The positions of the picked cells, int64, ascending, and the rank of each,
        int64: 0 is the most frequent one. Of equal counts the lower position comes
        first.
    """
    num_selected = min(num_selected, np.count_nonzero(counts))
    if num_selected == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    cut = len(counts) - num_selected
    least = np.partition(counts, cut)[cut]
    chosen = counts > least
    tied = np.flatnonzero(counts == least)
    chosen[tied[: num_selected - np.count_nonzero(chosen)]] = True
    positions = np.flatnonzero(chosen)
    rank = np.empty(num_selected, np.int64)
    rank[np.argsort(-counts[positions], kind="stable")] = np.arange(num_selected)
    return positions, rank


def choose_num_labels(confusion: ConfusionMatrix, sample_cover_ratio: float) -> int:
    """Returns the smallest size of a label space that covers a share of the clips.

    The clips that `spl_m` and `spl_d` cover are those of the N diagonal cells and of
    the selected off-diagonal ones (paper, section 4.3). The ratio is compared as
    `LabelMap.sample_cover_ratio` gives it, so that the ratio of a map leads back to
    the map's number of labels, or to a smaller one with the same ratio.

    Args:
        confusion: Counts of the clips to pre-train on, one at least.
        sample_cover_ratio: The share to reach, in (0, 1].

    Returns:
        A `num_labels` for `build_label_map`, N or more.

    Raises:
        ValueError: The ratio is not in (0, 1], or there are no clips.
    """
    target = sample_cover_ratio
    if isinstance(target, bool) or not isinstance(target, Real) or not 0 < target <= 1:
        raise ValueError(
            f"sample_cover_ratio is {target!r}, expected a number in (0, 1]"
        )
    total = confusion.total
    if not total:
        raise ValueError("the confusion matrix is empty: no ratio of its clips exists")
    needed = math.ceil(Fraction(*target.as_integer_ratio()) * total)
    # A float is rarely the fraction that it was rounded from: 0.8 is above 4/5.
    # Dividing integers rounds the same way, so 8 of 10 clips do reach 0.8.
    while needed > 0 and (needed - 1) / total >= target:
        needed -= 1
    weak, teacher, counts = cells_view(confusion)
    off_diagonal = np.sort(counts[weak != teacher])[::-1]
    diagonal = total - int(off_diagonal.sum(dtype=np.int64))
    if diagonal >= needed:
        return confusion.num_classes
    covered = np.cumsum(off_diagonal, dtype=np.int64)
    cells = np.searchsorted(covered, needed - diagonal)
    return confusion.num_classes + int(cells) + 1
