"""Near-copies among clips, by the features of their frames.

OmniSource (Duan et al., ECCV 2020, section 3.1 and its supplement) compares frames of
web clips with those of the target set: whitened features, cosine similarity, and as
threshold the mean similarity of several crops of one frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import faiss
import numpy as np
from scipy import linalg

from spl_tf.progress import Progress

MAX_PAIRS = 1_000_000
_EPSILON = 1e-3  # of the mean variance, added to each
_RANK = 1e-6  # of the largest variance; directions below hold rounding alone
_BLOCK = 4096  # frames at a time
_BLOCK_HITS = 50_000_000  # that a block can give at most, of 12 bytes


@dataclasses.dataclass(frozen=True)
class Whitening:
    """Makes features uncorrelated and of one variance, then of length 1.

    PCA; cosines are those of ZCA, which only turns the result.

    Attributes:
        mean: float64 [D], taken off the features.
        matrix: float64 [D, K], a column for each direction in which features differ.
    """

    mean: np.ndarray
    matrix: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, epsilon: float = _EPSILON) -> Whitening:
        """Takes mean and covariance of features.

        Args:
            features: float32 [..., D], features to take the statistics of.
            epsilon: Share of the mean variance that is added to each, so that
                directions in which little differs do not decide.

        Raises:
            ValueError: All features are the same.
        """
        features = features.reshape(-1, features.shape[-1])
        mean = features.mean(axis=0, dtype=np.float64)
        covariance = np.zeros((len(mean), len(mean)))
        for block in _blocks(features):
            centred = block - mean
            covariance += centred.T @ centred
        covariance /= len(features)
        variances, directions = linalg.eigh(covariance)
        # What differs in the last digits only is rounding.
        least = max(
            _RANK * variances[-1],
            float(np.spacing(np.float32(np.abs(mean).max()))) ** 2,
        )
        kept = variances > least
        if not kept.any():
            raise ValueError(
                f"all {len(features)} features are the same; whitening needs frames "
                "that differ"
            )
        scale = np.sqrt(variances[kept] + epsilon * variances[kept].mean())
        return cls(mean, directions[:, kept] / scale)

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Whitened features of length 1, float32 [..., K], of features [..., D].

        Raises:
            ValueError: The features have another D.
        """
        if features.shape[-1] != len(self.mean):
            raise ValueError(
                f"features of {features.shape[-1]} numbers cannot be compared with "
                f"those of {len(self.mean)}; both must be of one network"
            )
        flat = features.reshape(-1, len(self.mean))
        white = np.empty((len(flat), self.matrix.shape[1]), np.float32)
        matrix = self.matrix.astype(np.float32)
        for block, out in zip(_blocks(flat), _blocks(white), strict=True):
            np.matmul((block - self.mean).astype(np.float32), matrix, out=out)
            length = np.linalg.norm(out, axis=1, keepdims=True)
            out /= np.maximum(length, np.finfo(np.float32).tiny)
        return white.reshape(*features.shape[:-1], -1)


def _blocks(array: np.ndarray) -> Iterable[np.ndarray]:
    return (array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK))


def crop_similarity(features: np.ndarray) -> float:
    """Mean cosine of two crops of one frame, over all frames.

    Args:
        features: float32 [n, C, K] of length 1, of C >= 2 crops of n frames.
    """
    crops = features.shape[1]
    # |sum of C|^2 has the C^2 cosines, of which C are of a crop with itself.
    sums = np.square(features.sum(axis=1, dtype=np.float64)).sum(axis=1)
    own = np.square(features.astype(np.float64)).sum(axis=(1, 2))
    return float(((sums - own) / (crops * (crops - 1))).mean())


class Pairs(NamedTuple):
    """Pairs of clips, most similar first.

    Attributes:
        similarity: float32 [m], of their most similar frames.
        first: int64 [m], places of the clips in what was searched for.
        second: int64 [m], places of the clips in what was searched in.
        first_frame: int64 [m], which of its frames.
        second_frame: int64 [m], which of its frames.
    """

    similarity: np.ndarray
    first: np.ndarray
    second: np.ndarray
    first_frame: np.ndarray
    second_frame: np.ndarray


def similar_pairs(
    features: np.ndarray,
    against: np.ndarray,
    threshold: float,
    groups: np.ndarray | None = None,
    max_pairs: int = MAX_PAIRS,
) -> Pairs:
    """Finds the pairs of clips of which two frames are more similar than a threshold.

    Args:
        features: float32 [n, V, K], of length 1.
        against: float32 [m, W, K], of length 1.
        threshold: Cosine in [-1, 1], which the frames of a pair exceed.
        groups: int64 [n], `media_group` of clips that are compared with themselves:
            `against` is `features`. Then a pair comes once, its earlier clip as
            `second`, and never of one group, but for -1.
        max_pairs: Greatest number of pairs; more are an error.

    Raises:
        ValueError: The threshold is out of range or the features' numbers differ, or
            there are too many pairs.
    """
    check_threshold(threshold)
    (clips, views, numbers), (_, frames, theirs) = features.shape, against.shape
    if numbers != theirs:
        raise ValueError(
            f"features of {numbers} and of {theirs} numbers cannot be compared; both "
            "must be of one network"
        )
    index = faiss.IndexFlatIP(numbers)
    index.add(np.ascontiguousarray(against).reshape(-1, numbers))
    step = max(1, min(_BLOCK, _BLOCK_HITS // index.ntotal) // views)
    found, count = [], 0
    with Progress(clips, "clip", "comparing") as progress:
        for start in range(0, clips, step):
            block = np.ascontiguousarray(features[start : start + step])
            part = _most_similar(index, block, start, frames, threshold, groups)
            count += len(part.similarity)
            if count > max_pairs:
                raise ValueError(
                    f"more than {max_pairs:,} pairs are more similar than the "
                    f"threshold {threshold:g}, after {start + len(block):,} of "
                    f"{clips:,} clips; give a higher threshold"
                )
            found.append(part)
            progress.update(len(block))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.lexsort((columns[2], columns[1], -columns[0]))
    return Pairs(*(column[order] for column in columns))


def check_threshold(threshold: float) -> None:
    """Raises ValueError for what is no cosine."""
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold:g}, expected a cosine in [-1, 1]")


def _most_similar(index, block, start, frames, threshold, groups) -> Pairs:
    """The pairs of some clips, from `start` on, each once."""
    views, numbers = block.shape[1:]
    limits, similarity, place = index.range_search(
        block.reshape(-1, numbers), float(threshold)
    )
    own = np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64)))
    first, second = start + own // views, place // frames
    if groups is not None:
        others = (groups[first] != groups[second]) | (groups[first] == -1)
        kept = (second < first) & others
        similarity, own, place = similarity[kept], own[kept], place[kept]
        first, second = first[kept], second[kept]
    order = np.lexsort((place, own, -similarity, second, first))
    pair = np.stack([first, second])[:, order]
    is_best = np.ones(len(order), bool)
    is_best[1:] = (pair[:, 1:] != pair[:, :-1]).any(axis=0)
    best = order[is_best]
    return Pairs(
        np.minimum(similarity[best], 1),
        first[best],
        second[best],
        own[best] % views,
        place[best] % frames,
    )


def copies(pairs: Iterable[tuple[int, int]], media: Mapping[int, str]) -> set[str]:
    """Which media of one dataset to leave out, so that no pair of near-copies is whole.

    In the order in which media come first: one is left out if it is like one that
    stays. So whatever is left out has a near-copy that stays.

    Args:
        pairs: Places of clips that are alike, in one order.
        media: The media id of each of these clips; one without stays.
    """
    first_place: dict[str | int, int] = {}
    alike: dict[str | int, set[str | int]] = {}
    for pair in pairs:
        keys = [media[place] or place for place in pair]
        for place, key, other in zip(pair, keys, reversed(keys), strict=True):
            first_place[key] = min(place, first_place.get(key, place))
            alike.setdefault(key, set()).add(other)
    left_out: set[str | int] = set()
    for key in sorted(alike, key=first_place.get):
        before = (k for k in alike[key] if first_place[k] < first_place[key])
        if isinstance(key, str) and any(k not in left_out for k in before):
            left_out.add(key)
    return left_out
