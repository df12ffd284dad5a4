"""Searching near-duplicates: time against a blocked NumPy product, and peak memory.

python -m benchmarks.near_duplicates [--web=100_000 --target=20_000]

`similar_pairs` (faiss) against a product of blocks of web features with all target
features and `np.nonzero` of what is above the threshold, on the same whitened features,
in turn. One in a hundred web features is a target's with noise; both must find the same
pairs. Memory is this process's peak, all features in it; the limits are a ratio of 1
and 4 GB.
"""

import statistics
import time
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks.worker import peak_bytes
from spl_tf.inference.near_duplicates import Whitening, similar_pairs

_BLOCK = 4096
_THRESHOLD = 0.5
_MAX_BYTES = 4e9


def draw_features(
    web: int, target: int, numbers: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features as a network's: not negative, correlated, some nearly the same.

    Returns:
        float32 [web, 1, numbers] and [target, 1, numbers].
    """
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(64, numbers)).astype(np.float32)

    def draw(count):
        found = np.empty((count, numbers), np.float32)
        for start in range(0, count, _BLOCK):
            part = found[start : start + _BLOCK]
            generator.standard_normal(dtype=np.float32, out=part)
            part += generator.standard_normal((len(part), 64), np.float32) @ mixing / 8
            np.maximum(part, 0, out=part)
        return found

    ours, theirs = draw(web), draw(target)
    copies = generator.choice(web, web // 100, replace=False)
    ours[copies] = theirs[generator.integers(0, target, len(copies))]
    ours[copies] *= generator.uniform(0.9, 1.1, (len(copies), numbers))
    return ours[:, None], theirs[:, None]


def blocked_product(web: np.ndarray, target: np.ndarray) -> set[tuple[int, int]]:
    """Places of the pairs above the threshold."""
    found = set()
    for start in range(0, len(web), _BLOCK):
        cosines = web[start : start + _BLOCK] @ target.T
        first, second = np.nonzero(cosines > _THRESHOLD)
        found |= set(zip((first + start).tolist(), second.tolist(), strict=True))
    return found


def measure(web: int, target: int, numbers: int, rounds: int) -> dict[str, Any]:
    """Seconds of whitening and, as medians, of both searches; ratios, pairs, memory.

    Raises:
        AssertionError: The searches find different pairs.
    """
    ours, theirs = draw_features(web, target, numbers)
    start = time.perf_counter()
    whitening = Whitening.fit(theirs)
    ours, theirs = whitening.apply(ours), whitening.apply(theirs)
    seconds = {"whitening": time.perf_counter() - start}
    taken = {"ours": [], "numpy": []}
    for _ in range(rounds):
        start = time.perf_counter()
        pairs = similar_pairs(ours, theirs, _THRESHOLD)
        taken["ours"].append(time.perf_counter() - start)
        # Before the rival takes memory of its own.
        seconds.setdefault("peak_bytes", peak_bytes())
        start = time.perf_counter()
        expected = blocked_product(ours[:, 0], theirs[:, 0])
        taken["numpy"].append(time.perf_counter() - start)
        found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
        # A cosine of the threshold itself may be rounded to either side of it.
        if len(found ^ expected) > 2 or len(found) < web // 100:
            raise AssertionError(f"{len(found)} pairs against {len(expected)}")
    medians = {name: statistics.median(values) for name, values in taken.items()}
    ratios = [a / b for a, b in zip(taken["ours"], taken["numpy"], strict=True)]
    return seconds | medians | {"ratios": ratios, "pairs": len(found)}


def main(argv: list[str]) -> None:
    """Prints seconds, the ratio and the memory."""
    del argv
    values = flags.FLAGS
    found = measure(values.web, values.target, values.numbers, values.rounds)
    ratios = found["ratios"]
    print(
        f"{values.web:,} x {values.target:,} features of {values.numbers:,} numbers, "
        f"{found['pairs']:,} pairs, {values.rounds} rounds\n"
        f"whitening {found['whitening']:.1f} s\n"
        f"ours      {found['ours']:.1f} s\n"
        f"numpy     {found['numpy']:.1f} s   ours / numpy "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}; "
        "limit 1)\n"
        f"peak memory {found['peak_bytes'] / 1e9:.2f} GB (limit {_MAX_BYTES / 1e9:.0f})"
    )


if __name__ == "__main__":
    flags.DEFINE_integer("web", 20_000, "features to search for", lower_bound=100)
    flags.DEFINE_integer("target", 4_000, "features to search in", lower_bound=1)
    flags.DEFINE_integer("numbers", 2_048, "of a feature", lower_bound=1)
    flags.DEFINE_integer("rounds", 3, "of both searches in turn", lower_bound=1)
    app.run(main)
