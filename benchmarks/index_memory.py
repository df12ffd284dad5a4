"""Memory that processes of one machine need for the index of one large dataset.

python -m benchmarks.index_memory

Each process imports TensorFlow, opens the index, and reads every column once. Counted
is what it then has more than before: its share of all pages (Pss in
`/proc/<pid>/smaps_rollup`, a page of k processes counting 1/k), and the pages that are
its own. The rival is `np.load`, which reads the columns into memory.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import tempfile
import time

import numpy as np
from absl import app, flags

from spl_tf import clips
from spl_tf.clips.index import FILE_NAME

LIMIT_MB = 100


def _index(num_rows: int) -> clips.ClipIndex:
    generator = np.random.default_rng(0)
    return clips.ClipIndex(
        shard_names=tuple(clips.shard_name(shard, 1000) for shard in range(1000)),
        shard=np.arange(num_rows, dtype=np.int32) * 1000 // num_rows,
        offset=np.arange(num_rows, dtype=np.int64) * 2_000_000,
        length=generator.integers(1_000_000, 2_000_000, num_rows),
        frames=np.full(num_rows, 250, np.int32),
        label=generator.integers(0, 400, num_rows, np.int32),
        teacher=generator.integers(0, 400, num_rows, np.int32),
        added={
            "confidence": generator.random(num_rows, np.float32),
            "group": generator.integers(0, 2**63 - 1, num_rows),
            "labels": generator.integers(0, 400, num_rows, np.int32),
            "label_splits": np.arange(num_rows + 1),
        },
    )


def _read_with_numpy(directory: str) -> list[np.ndarray]:
    with np.load(os.path.join(directory, FILE_NAME)) as arrays:
        return [arrays[name] for name in COLUMNS]


def _open(directory: str) -> list[np.ndarray]:
    index = clips.ClipIndex.load(directory)
    return [index.column(name) for name in COLUMNS]


COLUMNS = (
    *("shard", "offset", "length", "frames", "label", "teacher"),
    *("confidence", "group", "labels", "label_splits"),
)
WAYS = {"ours": _open, "np.load": _read_with_numpy}
_SECONDS = 300  # to wait for the other processes


def _memory() -> np.ndarray:
    """Pss and private memory of this process in MB."""
    pss = private = 0
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        for line in file:
            name, *rest = line.split()
            pss += int(rest[0]) if name == "Pss:" else 0
            private += int(rest[0]) if name.startswith("Private_") else 0
    return np.array([pss, private]) * 1024 / 1e6


def _take(barrier) -> None:
    global _barrier
    _barrier = barrier


def _measure(way: str, directory: str) -> tuple[float, float, float]:
    """Seconds, and MB of Pss and private memory; all processes look at once."""
    barrier = _barrier
    barrier.wait()  # TensorFlow's pages are shared by all from here on
    before = _memory()
    barrier.wait()
    started = time.perf_counter()
    columns = WAYS[way](directory)
    seconds = time.perf_counter() - started
    for column in columns:
        column.max()
    barrier.wait()
    taken = _memory() - before
    barrier.wait()
    return seconds, *taken


def compare(num_rows: int, num_processes: int) -> None:
    """Prints what each way takes per process."""
    with tempfile.TemporaryDirectory() as directory:
        _index(num_rows).save(directory)
        size = os.path.getsize(os.path.join(directory, FILE_NAME)) / 1e6
        print(
            f"{num_processes} processes, {num_rows:,} rows, {size:.0f} MB; limit "
            f"{LIMIT_MB} MB a process"
        )
        print(f"{'':9}opened in  share of memory  of its own, the most")
        context = multiprocessing.get_context("spawn")
        for way in WAYS:
            barrier = context.Barrier(num_processes, timeout=_SECONDS)
            with concurrent.futures.ProcessPoolExecutor(
                num_processes, context, _take, (barrier,)
            ) as pool:
                futures = [
                    pool.submit(_measure, way, directory) for _ in range(num_processes)
                ]
                table = np.array([future.result() for future in futures])
            seconds, pss, private = table.max(axis=0)
            print(f"{way:9}{seconds:7.1f} s  {pss:12.0f} MB  {private:17.0f} MB")


def main(unused_argv: list[str]) -> None:
    """Compares the ways of opening an index, at the size that the flags give."""
    compare(flags.FLAGS.rows, flags.FLAGS.processes)


if __name__ == "__main__":
    flags.DEFINE_integer("rows", 10_000_000, "Rows of the index.", lower_bound=100_000)
    flags.DEFINE_integer(
        "processes", 8, "Processes that open it at once.", lower_bound=1
    )
    app.run(main)
