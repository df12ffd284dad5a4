"""How well clusters agree with classes."""

from __future__ import annotations

import numpy as np


def count_pairs(
    clusters: np.ndarray, labels: np.ndarray, num_clusters: int, num_classes: int
) -> np.ndarray:
    """How many clips each cluster has of each class, int64 [K, C].

    Args:
        clusters: Integers [n] in [0, K), each clip's cluster.
        labels: Integers [n] in [0, C), each clip's class.
        num_clusters: K.
        num_classes: C.
    """
    places = clusters.astype(np.int64) * num_classes + labels
    counts = np.bincount(places, minlength=num_clusters * num_classes)
    return counts.reshape(num_clusters, num_classes)


def purity(counts: np.ndarray) -> float:
    """Share of clips that are of their cluster's most frequent class.

    Args:
        counts: Integers [K, C], see `count_pairs`; not all 0.
    """
    return float(counts.max(axis=1).sum() / counts.sum())


def normalized_mutual_information(counts: np.ndarray) -> float:
    """Mutual information of cluster and class over the mean of their two entropies.

    It is 1 where either tells the other, and there are several; and where there is one
    cluster and one class.

    Args:
        counts: Integers [K, C], see `count_pairs`; not all 0.

    Returns:
        A number in [0, 1].
    """
    joint = counts / counts.sum()
    of_cluster, of_class = (_entropy(joint.sum(axis=axis)) for axis in (1, 0))
    if of_cluster + of_class == 0:
        return 1.0
    shared = of_cluster + of_class - _entropy(joint.ravel())
    return float(np.clip(2 * shared / (of_cluster + of_class), 0, 1))


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())
