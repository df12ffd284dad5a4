"""K-means of features: time and inertia against scikit-learn's `KMeans`.

python -m benchmarks.cluster_features [--clips=1_000_000 --numbers=512 --clusters=1_000]

`refine` (faiss) against `KMeans` (Lloyd's algorithm), on the same features of length 1,
from the same start by k-means++, for as many iterations, in turn. Both inertias must
agree within 0.1 %. The start is timed apart, as scikit-learn's own is another one.
Memory is this process's peak before scikit-learn runs, all features in it. The limits
are a ratio of 1 and, at the full size, 10 minutes for start and iterations.
"""

import statistics
import time
from typing import Any

import numpy as np
from absl import app, flags
from sklearn.cluster import KMeans

from benchmarks.worker import peak_bytes
from spl_tf.inference.clustering import refine, start_centroids
from spl_tf.inference.features import of_length_1

_BLOCK = 65_536
_AGREEMENT = 1e-3
_LIMIT_MINUTES = 10


def draw_features(clips: int, numbers: int, centres: int, seed: int = 0) -> np.ndarray:
    """Features of length 1, not negative, around some centres that overlap.

    Returns:
        float32 [clips, numbers].
    """
    generator = np.random.default_rng(seed)
    places = generator.standard_normal((centres, numbers), np.float32)
    found = np.empty((clips, numbers), np.float32)
    for start in range(0, clips, _BLOCK):
        part = found[start : start + _BLOCK]
        generator.standard_normal(dtype=np.float32, out=part)
        part += places[generator.integers(0, centres, len(part))]
        np.maximum(part, 0, out=part)
    return of_length_1(found)


def measure(
    clips: int, numbers: int, clusters: int, iterations: int, rounds: int
) -> dict[str, Any]:
    """Seconds of the start and, as medians, of both; ratios, inertias, memory.

    Raises:
        AssertionError: The inertias differ.
    """
    features = draw_features(clips, numbers, clusters)
    begin = time.perf_counter()
    start = start_centroids(features, clusters, 0)
    found = {"start": time.perf_counter() - begin}
    taken = {"ours": [], "theirs": []}
    for _ in range(rounds):
        begin = time.perf_counter()
        ours = refine(features, start, iterations)
        taken["ours"].append(time.perf_counter() - begin)
        # Before the rival takes memory of its own.
        found.setdefault("peak_bytes", peak_bytes())
        rival = KMeans(
            clusters,
            init=start,
            n_init=1,
            max_iter=ours.iterations,
            tol=0,
            copy_x=False,
        )
        begin = time.perf_counter()
        rival.fit(features)
        taken["theirs"].append(time.perf_counter() - begin)
    inertias = ours.inertia, float(rival.inertia_)
    if abs(inertias[0] - inertias[1]) > _AGREEMENT * inertias[1]:
        raise AssertionError(f"inertia {inertias[0]:g} against {inertias[1]:g}")
    found |= {name: statistics.median(values) for name, values in taken.items()}
    ratios = [a / b for a, b in zip(taken["ours"], taken["theirs"], strict=True)]
    return found | {
        "ratios": ratios,
        "inertias": inertias,
        "iterations": ours.iterations,
    }


def main(argv: list[str]) -> None:
    """Prints seconds, the ratio, the inertias and the memory."""
    del argv
    values = flags.FLAGS
    found = measure(
        values.clips,
        values.numbers,
        values.clusters,
        values.iterations,
        values.rounds,
    )
    ratios = found["ratios"]
    ours, theirs = found["inertias"]
    print(
        f"{values.clips:,} features of {values.numbers:,} numbers in "
        f"{values.clusters:,} clusters, {found['iterations']} iterations, "
        f"{values.rounds} rounds\n"
        f"start        {found['start']:.1f} s\n"
        f"ours         {found['ours']:.1f} s   inertia {ours:.6g}\n"
        f"scikit-learn {found['theirs']:.1f} s   inertia {theirs:.6g}\n"
        f"ours / scikit-learn {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
        f"{max(ratios):.2f}; limit 1)\n"
        f"start and iterations {(found['start'] + found['ours']) / 60:.1f} min "
        f"(limit {_LIMIT_MINUTES}), peak memory {found['peak_bytes'] / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    flags.DEFINE_integer("clips", 20_000, "features to cluster", lower_bound=1)
    flags.DEFINE_integer("numbers", 64, "of a feature", lower_bound=1)
    flags.DEFINE_integer("clusters", 100, "to find", lower_bound=1)
    flags.DEFINE_integer("iterations", 25, "at most", lower_bound=1)
    flags.DEFINE_integer("rounds", 3, "of both in turn", lower_bound=1)
    app.run(main)
