"""Which clips are most like a query, and how often one of them is of its class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import faiss
import numpy as np

from spl_tf.inference.features import of_length_1
from spl_tf.progress import Progress

RANKS = (1, 5, 10, 20, 50)
_BLOCK = 4096  # queries at a time


class Nearest(NamedTuple):
    """The clips of a gallery that are most like each query, most like first.

    Attributes:
        similarity: float32 [n, N], cosines.
        places: int64 [n, N], places in the gallery.
    """

    similarity: np.ndarray
    places: np.ndarray


def nearest_clips(
    queries: np.ndarray,
    gallery: np.ndarray,
    count: int,
    own: np.ndarray | None = None,
) -> Nearest:
    """Finds the clips that are most like each query, by cosine.

    Args:
        queries: float32 [n, D].
        gallery: float32 [m, D].
        count: N, how many to find; with `own` below m, else at most m.
        own: int64 [n], place of each query itself in the gallery, which is left out.
    """
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(of_length_1(gallery))
    queries, parts = of_length_1(queries), []
    with Progress(len(queries), "clip", "comparing") as progress:
        for start in range(0, len(queries), _BLOCK):
            block = queries[start : start + _BLOCK]
            found = Nearest(*index.search(block, count + (own is not None)))
            if own is not None:
                found = _without(found, own[start : start + _BLOCK])
            parts.append(found)
            progress.update(len(block))
    similarity, places = map(np.concatenate, zip(*parts, strict=True))
    return Nearest(np.clip(similarity, -1, 1), places)


def _without(found: Nearest, own: np.ndarray) -> Nearest:
    """What was found but for each query itself, one less of each."""
    is_own = found.places == own[:, None]
    # Among many that are all the same, it may not have been found.
    is_own[~is_own.any(axis=1), -1] = True
    return Nearest(*(each[~is_own].reshape(len(own), -1) for each in found))


def recall_at(right: np.ndarray, ranks: Iterable[int]) -> dict[int, float]:
    """R@n: share of queries with at least one right clip among the n nearest.

    Args:
        right: bool [n, N], whether each of the nearest is of the query's class.
        ranks: Numbers n, none above N.
    """
    return {rank: float(right[:, :rank].any(axis=1).mean()) for rank in ranks}
