"""What an index of 65 million clips costs: time to the first batch, and memory.

python -m benchmarks.index_scale

Writes a few clips, and an index that names them again and again, with three labels in
a tenth of its rows, as `ClipIndex` stores it. One process opens it and reads every
column; then others, one after the other, open it, filter and resample it and read a
batch at the start and one in the middle of an epoch. Each also plans anew for these
two. What is counted of each is what a further process of the machine takes: its private
pages (USS, `/proc/<pid>/smaps_rollup`) after the batches, less those before the dataset
was opened, when TensorFlow was imported; and the most memory of its own in between
(`RssAnon`, looked at every 20 ms). The rival is `np.load`, which reads the columns.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from absl import app, flags

from benchmarks.input_pipeline import make_frames
from spl_tf import clips, data
from spl_tf.clips.index import FILE_NAME
from spl_tf.data.plan import Resampling
from spl_tf.data.train_clips import TrainClips
from spl_tf.labels.filters import ClipFilter

LIMIT_SECONDS, LIMIT_MB = 20, 300
_SAMPLING, _CROP, _BATCH = data.ClipSampling(num_frames=8, stride=1), 112, 16
_CLASSES = 10_000
_CLIPS, _FRAMES, _SHARDS = 1000, 4, 16
_PLANNED = 200  # batches whose rows are looked up, for the time of one
_COLUMNS = (
    *("shard", "offset", "length", "frames", "label", "teacher"),
    *("confidence", "group", "labels", "label_splits", "label_confidence"),
)


def write_dataset(directory: str, num_rows: int) -> None:
    """Writes a few clips, and an index of many rows that are these clips."""
    generator = np.random.default_rng(0)
    # A long tail: class k in proportion to 1 / (k + 1), about.
    label = (_CLASSES ** generator.random(_CLIPS)).astype(np.int32) - 1
    teacher = generator.integers(0, _CLASSES, _CLIPS, np.int32)
    names = [f"class {number}" for number in range(_CLASSES)]
    frames = make_frames(0, 75)[:_FRAMES]

    def records(shard: int) -> Iterator[tuple[bytes, int, int, int]]:
        for number in range(shard, _CLIPS, _SHARDS):
            clip = clips.Clip(
                id=f"clip{number}",
                frames=frames,
                timestamps=[40_000 * t for t in range(_FRAMES)],
                frame_rate=25.0,
                height=256,
                width=340,
                label_index=int(label[number]),
                label_name=names[label[number]],
                media_id=f"clip{number}",
                data_path="",
                start=0,
                end=40_000 * _FRAMES,
                teacher_index=(int(teacher[number]),),
                teacher_confidence=(0.5,),
            )
            yield (
                clips.encode_clip(clip),
                _FRAMES,
                *(int(label[number]), teacher[number]),
            )

    summaries = [
        clips.write_shard(directory, clips.shard_name(shard, _SHARDS), records(shard))
        for shard in range(_SHARDS)
    ]
    source = {"tool": "benchmark"}
    info = clips.finish_dataset(directory, summaries, names, "weak", source)
    index = _repeated(clips.ClipIndex.load(directory), num_rows, generator)
    index.save(directory)
    per_shard = np.bincount(index.shard, minlength=_SHARDS).tolist()
    for shard, count in zip(info.shards, per_shard, strict=True):
        shard["num_clips"] = count
    info.save(directory)


def _repeated(few: clips.ClipIndex, num_rows: int, generator) -> clips.ClipIndex:
    """An index of many rows that name the clips of another in turn."""
    real = np.arange(num_rows, dtype=np.int32) % np.int32(len(few))
    columns = {name: few.column(name)[real] for name in _COLUMNS[:6]}
    splits = np.zeros(num_rows + 1, np.int64)
    splits[1:] = 1
    splits[1::10] = 3
    np.cumsum(splits, out=splits)
    labels = np.repeat(columns["label"], np.diff(splits).astype(np.int8))
    for further in (1, 2):  # of the rows of three labels
        place = splits[:-1:10] + further
        labels[place] = (labels[place] + further * _CLASSES // 3) % _CLASSES
    added = {
        "confidence": generator.random(num_rows, np.float32),
        "group": generator.integers(0, 2**63 - 1, num_rows),
        "labels": labels,
        "label_splits": splits,
        "label_confidence": generator.random(num_rows, np.float32),
    }
    return clips.ClipIndex(few.shard_names, added=added, **columns)


_SURE = ClipFilter(min_confidence=0.5)
_BEST = ClipFilter(keep_fraction=0.5)
_ROOTS = {"resampling": Resampling(power=0.5), "redraw": False}
WAYS = {
    "np.load": None,
    "every clip": {},
    "filter": {"clip_filter": _SURE},
    "filter, resample": {"clip_filter": _SURE, **_ROOTS},
    "best half, resample": {"clip_filter": _BEST, **_ROOTS},
}


def _private_megabytes() -> float:
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        lines = [line.split() for line in file if line.startswith("Private_")]
    return sum(int(line[1]) for line in lines) * 1024 / 1e6


def _anonymous_megabytes() -> float:
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["RssAnon"].split()[0]) * 1024 / 1e6


@contextlib.contextmanager
def _most_memory() -> Iterator[list[float]]:
    """Gives a list whose one number is, in the end, the most anonymous memory in MB."""
    most, done = [_anonymous_megabytes()], threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], _anonymous_megabytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def _use(directory: str, changes: dict) -> list[float]:
    """What `_HEADS` names, up to the rows of a batch."""
    start, cpu_start = time.perf_counter(), time.process_time()
    dataset = clips.ClipDataset(directory)
    times = [time.perf_counter() - start]
    settings = {"label_map": None, "flip": True, "seed": 0, "several": True} | changes
    source = data.TrainInput(dataset, sampling=_SAMPLING, crop_size=_CROP, **settings)
    middle = len(dataset) // 3 // _BATCH
    for step in (0, 0, middle):
        next(iter(data.train_batches(source, _BATCH, start_step=step)))
        times += [time.perf_counter() - start, time.process_time() - cpu_start]
        start, cpu_start = time.perf_counter(), time.process_time()
    part = TrainClips(source, _BATCH, 1)
    out, waits = np.empty((_BATCH, 0)), []
    for step in range(middle, middle + _PLANNED):
        start = time.perf_counter()
        part.jobs(step, 0, out)
        waits.append(time.perf_counter() - start)
    return [*times, statistics.median(waits) * 1e3]


def _read(directory: str) -> list[float]:
    """Seconds in which `np.load` reads all columns, the first of `_HEADS`."""
    start = time.perf_counter()
    with np.load(os.path.join(directory, FILE_NAME)) as arrays:
        _keep.append([arrays[name] for name in _COLUMNS])
    return [time.perf_counter() - start, *[float("nan")] * 7]


# Seconds, and those of all of the process' threads; milliseconds; megabytes.
_HEADS = (
    *("opened s", "1st batch s", "its CPU s", "at start s", "its CPU s"),
    *("in middle s", "its CPU s", "its rows ms", "more MB", "most MB"),
)
_keep: list = []  # until the process has been measured


def _measure(way: str, directory: str) -> list[float]:
    before = _private_megabytes(), _anonymous_megabytes()
    with _most_memory() as most:
        changes = WAYS[way]
        times = _read(directory) if changes is None else _use(directory, changes)
    return [*times, _private_megabytes() - before[0], most[0] - before[1]]


def _hold(directory: str, pipe) -> None:
    """Has all columns open, as a process that trains, until it is told to end."""
    index = clips.ClipDataset(directory).index
    for name in _COLUMNS:
        index.column(name).max()
    pipe.send(True)
    pipe.recv()


def compare(num_rows: int) -> None:
    """Prints what each way takes."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        writer = context.Process(target=write_dataset, args=(directory, num_rows))
        writer.start()
        writer.join()
        size = os.path.getsize(os.path.join(directory, FILE_NAME)) / 1e9
        print(
            f"{num_rows:,} rows, {size:.2f} GB, {os.cpu_count()} cores; bars: first "
            f"batch in {LIMIT_SECONDS} s, {LIMIT_MB} MB more"
        )
        print(f"{'':20}" + "".join(f"{head:>13}" for head in _HEADS))
        ours, theirs = context.Pipe()
        holder = context.Process(target=_hold, args=(directory, theirs), daemon=True)
        holder.start()
        ours.recv()
        for way in WAYS:
            with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
                found = pool.submit(_measure, way, directory).result()
            cells = (f"{value:13.2f}" for value in found)
            print(f"{way:20}" + "".join(cells).replace("nan", "  -"), flush=True)
        ours.send(None)
        holder.join()


def main(argv: list[str]) -> None:
    """Compares the ways of using an index, at the size that the flag gives."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    compare(flags.FLAGS.rows)


if __name__ == "__main__":
    flags.DEFINE_integer("rows", 65_000_000, "Rows of the index.", lower_bound=10_000)
    app.run(main)
