"""Clusters of features, whose numbers are labels (MotionFit; ClusterFit).

Features are brought to length 1 and clustered by plain k-means, whose centroids are
means: what ClusterFit (Yan et al., CVPR 2020, section 3) does, and what scikit-learn's
`KMeans` can be compared with to the last clip. Spherical k-means would bring centroids
to length 1, too, and so forget how far the clips of a cluster lie apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import faiss
import numpy as np
from scipy import sparse

from spl_tf.inference.features import of_length_1
from spl_tf.progress import Progress

_BLOCK = 65_536  # clips at a time
_DRAWN_FROM = 64  # clips for each centroid that starts at one of them


@dataclasses.dataclass(frozen=True, eq=False)
class Clusters:
    """What k-means found.

    Attributes:
        labels: int32 [n] in [0, K), each clip's cluster; none is empty.
        distances: float32 [n], squared distance to the cluster's centroid.
        centroids: float32 [K, D].
        iterations: How often centroids were moved.
        converged: Whether the last time changed no clip's cluster.
    """

    labels: np.ndarray
    distances: np.ndarray
    centroids: np.ndarray
    iterations: int
    converged: bool

    @property
    def inertia(self) -> float:
        """Sum of the squared distances, which k-means makes small."""
        return float(self.distances.sum(dtype=np.float64))

    @property
    def sizes(self) -> np.ndarray:
        """Number of clips of each cluster, int64 [K]."""
        return np.bincount(self.labels, minlength=len(self.centroids))


def cluster(
    features: np.ndarray, num_clusters: int, seed: int = 0, iterations: int = 25
) -> Clusters:
    """K-means of features that are brought to length 1, from k-means++'s start.

    A cluster that loses all clips gets one of those that are farthest from their
    centroids. On one machine, the same call gives the same result.

    Args:
        features: float32 [n, D], finite.
        num_clusters: K, at most n.
        seed: Decides where centroids start.
        iterations: How often centroids are moved at most; they are left where they are
            once no clip changes its cluster.

    Raises:
        ValueError: There are fewer clips than clusters, or a number is impossible.
    """
    for name, value in (("num_clusters", num_clusters), ("iterations", iterations)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")
    if num_clusters > len(features):
        raise ValueError(
            f"num_clusters is {num_clusters}, more than the {len(features)} clips; "
            "expected at most as many"
        )
    features = of_length_1(features)
    return refine(features, start_centroids(features, num_clusters, seed), iterations)


def start_centroids(features: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """Draws clips to start at, far ones more often (k-means++).

    Each is drawn with a probability in proportion to the squared distance to the
    nearest before it. faiss does so from version 1.14 on; this needs no such version.

    Args:
        features: float32 [n, D] of length 1; of many, some are drawn from.
        num_clusters: K, at most n.
        seed: Of the draws.

    Returns:
        float32 [K, D].
    """
    generator = np.random.default_rng(seed)
    count = min(len(features), _DRAWN_FROM * num_clusters)
    rows = generator.choice(len(features), count, replace=False, shuffle=False)
    features = features[np.sort(rows)]
    chosen = [int(generator.integers(count))]
    nearest = np.full(count, np.inf, np.float32)
    lengths = np.square(features).sum(axis=1)
    for draw in generator.random(num_clusters - 1):
        last = chosen[-1]
        distances = lengths + lengths[last] - 2 * (features @ features[last])
        np.minimum(nearest, np.maximum(distances, 0), out=nearest)
        nearest[last] = 0
        sums = nearest.cumsum(dtype=np.float64)
        place = np.searchsorted(sums, draw * sums[-1], side="right")
        # Where all are like one that was chosen, any will do.
        chosen.append(min(int(place), count - 1))
    return features[chosen]


def refine(features: np.ndarray, centroids: np.ndarray, iterations: int) -> Clusters:
    """Lloyd's algorithm; see `cluster`.

    Args:
        features: float32 [n, D].
        centroids: float32 [K, D], where they start.
        iterations: How often they are moved at most.
    """
    labels, distances, centroids = _assign(features, centroids)
    done, converged = 0, False
    with Progress(iterations, "iteration", "clustering") as progress:
        while done < iterations and not converged:
            before, moved = labels, _means(features, labels, len(centroids))
            labels, distances, centroids = _assign(features, moved)
            done, converged = done + 1, np.array_equal(labels, before)
            inertia = f"{distances.sum(dtype=np.float64):.6g}"
            progress.show({"inertia": inertia})
            progress.update()
    return Clusters(labels, distances, centroids, done, converged)


def _assign(features, centroids) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest centroids, squared distances, and the centroids, none without a clip."""
    index = faiss.IndexFlatL2(features.shape[1])
    index.add(centroids)
    distances, labels = (found[:, 0] for found in index.search(features, 1))
    labels, distances = labels.astype(np.int32), np.maximum(distances, 0)
    counts = np.bincount(labels, minlength=len(centroids))
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        centroids = centroids.copy()
        farthest = iter(np.argsort(-distances, kind="stable").tolist())
        for each in empty.tolist():
            # A clip that is alone would leave a cluster empty.
            row = next(row for row in farthest if counts[labels[row]] > 1)
            counts[labels[row]] -= 1
            counts[each] += 1
            labels[row], distances[row], centroids[each] = each, 0, features[row]
    return labels, distances, centroids


def _means(features: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Means of the clips of each cluster, float32 [K, D]."""
    sums = np.zeros((count, features.shape[1]))
    for rows in _blocks(len(features)):
        own = labels[rows]
        places = (own, np.arange(len(own)))
        ones = sparse.csr_array(
            (np.ones(len(own), np.float32), places), shape=(count, len(own))
        )
        sums += ones @ features[rows]
    sizes = np.bincount(labels, minlength=count)
    return (sums / sizes[:, None]).astype(np.float32)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))
