"""Counting and mapping pairs of labels: time against bare NumPy, and peak memory.

python -m benchmarks.label_maps [--pairs=100_000_000]

Time, at N = 200 classes on one core: `ConfusionMatrix.update` against one `np.bincount`
over flat keys that are computed beforehand, and `LabelMap.lookup` against one `np.take`
from a table with such keys. Ours starts from the two columns, and checks them. Both
take turns, and the median of the repetitions is reported; the limit is 3 times.

Memory, at N = 10,653 (the paper's largest label space): a process of its own draws
the pairs in chunks, counts them, builds `spl_m` and maps them; the limit is 2 GB.
"""

import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from absl import app, flags

from spl_tf.labels import ConfusionMatrix, build_label_map

_SMALL_CLASSES = 200
_LARGE_CLASSES = 10_653
_REPETITIONS = 5
_CHUNK = 1 << 22
_MAX_RATIO = 3.0
_MAX_BYTES = 2e9


def draw_pairs(
    num_pairs: int, num_classes: int, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields pairs with a long tail, in chunks.

    The frequency of weak labels falls slowly with the class (a power of -0.5). The
    teacher agrees with 41 % of the clips, as in the paper; the other predictions fall
    with a power of -1 over the classes, from the most to the least confused one, in an
    order that depends on the weak label.

    Yields:
        Weak and teacher's labels of a chunk, int32 [n] each.
    """
    generator = np.random.default_rng(seed)
    for start in range(0, num_pairs, _CHUNK):
        size = min(_CHUNK, num_pairs - start)
        # Inverse of the cumulative distributions of both power laws.
        weak = (generator.random(size, np.float32) ** 2 * num_classes).astype(np.int32)
        rank = (num_classes ** generator.random(size, np.float32)).astype(np.int32)
        np.minimum(weak, num_classes - 1, out=weak)
        agrees = generator.random(size, np.float32) < 0.41
        # A product with a prime scatters the classes that are confused.
        confused = (weak.astype(np.int64) * 7919 + rank) % num_classes
        yield weak, np.where(agrees, weak, confused).astype(np.int32)


def measure_speed(num_pairs: int) -> dict[str, tuple[float, float]]:
    """Returns the median seconds of ours and of the bare operation, by task."""
    parts = list(zip(*draw_pairs(num_pairs, _SMALL_CLASSES), strict=True))
    weak, teacher = (np.concatenate(part) for part in parts)
    keys = weak.astype(np.int64) * _SMALL_CLASSES + teacher
    names = _names(_SMALL_CLASSES)
    confusion = ConfusionMatrix(names)
    confusion.update(weak, teacher)
    expected = np.bincount(keys, minlength=_SMALL_CLASSES**2)
    if not np.array_equal(confusion.counts.toarray().reshape(-1), expected):
        raise AssertionError("ConfusionMatrix.update and np.bincount disagree")
    label_map = build_label_map(confusion, "spl_m")
    table = label_map.dense_table().reshape(-1)
    if not np.array_equal(label_map.lookup(weak, teacher), np.take(table, keys)):
        raise AssertionError("LabelMap.lookup and np.take disagree")
    return {
        "count": _time_in_turns(
            lambda: ConfusionMatrix(names).update(weak, teacher),
            lambda: np.bincount(keys, minlength=_SMALL_CLASSES**2),
        ),
        "map": _time_in_turns(
            lambda: label_map.lookup(weak, teacher),
            lambda: np.take(table, keys),
        ),
    }


def measure_memory(num_pairs: int) -> dict[str, float]:
    """Counts and maps pairs at N = 10,653; returns seconds and peak bytes."""
    start = time.perf_counter()
    baseline = _peak_bytes()
    confusion = ConfusionMatrix(_names(_LARGE_CLASSES))
    seconds = {"count": 0.0, "map": 0.0}
    for weak, teacher in draw_pairs(num_pairs, _LARGE_CLASSES):
        begin = time.perf_counter()
        confusion.update(weak, teacher)
        seconds["count"] += time.perf_counter() - begin
    begin = time.perf_counter()
    label_map = build_label_map(confusion, "spl_m")
    seconds["build"] = time.perf_counter() - begin
    num_mapped = 0
    for weak, teacher in draw_pairs(num_pairs, _LARGE_CLASSES):
        begin = time.perf_counter()
        labels = label_map.lookup(weak, teacher)
        seconds["map"] += time.perf_counter() - begin
        num_mapped += int(np.count_nonzero(labels >= 0))
    if (confusion.total, num_mapped) != (num_pairs, label_map.num_kept):
        raise AssertionError("pairs were lost while counting or mapping")
    return {
        **seconds,
        "total": time.perf_counter() - start,
        "cells": len(confusion.cells()[0]),
        "baseline_bytes": baseline,
        "peak_bytes": _peak_bytes(),
    }


def _names(num_classes: int) -> list[str]:
    return [f"class {index}" for index in range(num_classes)]


def _time_in_turns(ours: Callable, bare: Callable) -> tuple[float, float]:
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_REPETITIONS):
        for operation, taken in zip((ours, bare), seconds, strict=True):
            start = time.perf_counter()
            operation()
            taken.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux kilobytes.
    return peak if sys.platform == "darwin" else peak * 1024


def _measure_memory_apart(num_pairs: int) -> dict[str, float]:
    # Spawned, because a forked process starts with the peak of its parent.
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measure_memory, (num_pairs,))


def _use_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main(argv: list[str]) -> None:
    """Prints ours, the bare operation and their ratio, then the memory."""
    del argv
    num_pairs = flags.FLAGS.pairs
    _use_one_core()
    # Before the pairs of the other part fill the memory.
    memory = _measure_memory_apart(num_pairs)
    print(f"{num_pairs:,} pairs, {_SMALL_CLASSES} classes, one core")
    print(f"{'':<8}{'ours':>10}{'bare':>10}{'ratio':>8}   limit {_MAX_RATIO:.0f}")
    bare_names = {"count": "np.bincount over keys", "map": "np.take with keys"}
    for task, (ours, bare) in measure_speed(num_pairs).items():
        print(
            f"{task:<8}{ours:>9.3f}s{bare:>9.3f}s{ours / bare:>8.2f}   "
            f"bare: {bare_names[task]}"
        )
    print(f"\n{num_pairs:,} pairs, {_LARGE_CLASSES:,} classes, one core")
    print(
        f"peak memory {memory['peak_bytes'] / 1e9:.2f} GB (limit "
        f"{_MAX_BYTES / 1e9:.0f} GB; {memory['baseline_bytes'] / 1e9:.2f} GB before "
        f"the first pair), {memory['cells']:,} cells occur\n"
        f"count {memory['count']:.1f} s, build {memory['build']:.1f} s, "
        f"map {memory['map']:.1f} s"
    )


if __name__ == "__main__":
    flags.DEFINE_integer("pairs", 100_000_000, "pairs of labels", lower_bound=1)
    app.run(main)
