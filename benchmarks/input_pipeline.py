"""Clips per second of `spl_tf.data.train_batches` against the usual pipeline.

python -m benchmarks.input_pipeline

Both read the same shards and give the same kind of batch: 16 frames at stride 4, a
random crop of 224 x 224, flipped, from clips of 100 frames of 256 x 340. The usual
pipeline is written out in DMVR's order: read in sequence, shuffle in a buffer, parse,
sample frames, decode whole frames one by one with `map_fn`, crop, flip, batch. The two
take turns, so that a machine whose speed drifts treats them alike.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import io

import numpy as np
import tensorflow as tf
from absl import app, flags
from PIL import Image

from spl_tf import clips, data

_FRAMES, _HEIGHT, _WIDTH = 100, 256, 340
_SAMPLING = data.ClipSampling(num_frames=16, stride=4)
_CROP = 224
_BATCH = 8
_SHARDS = 4
_SHUFFLE_BUFFER = 64


def write_clips(directory: str, num_clips: int) -> clips.ClipDataset:
    """Writes clips of moving smooth noise, whose JPEGs are about 15 kB a frame."""
    rng = np.random.default_rng(0)
    canvas = rng.uniform(0, 255, ((_HEIGHT + 200) // 8, (_WIDTH + 200) // 8, 3))
    canvas = Image.fromarray(canvas.astype(np.uint8)).resize(
        (_WIDTH + 200, _HEIGHT + 200), Image.Resampling.BICUBIC
    )
    jpegs = []
    for shift in range(_FRAMES):
        frame = canvas.crop((shift, shift, shift + _WIDTH, shift + _HEIGHT))
        frame = np.asarray(frame) + rng.normal(0, 4, (_HEIGHT, _WIDTH, 3))
        buffer = io.BytesIO()
        image = Image.fromarray(frame.clip(0, 255).astype(np.uint8))
        image.save(buffer, "JPEG", quality=90)
        jpegs.append(buffer.getvalue())

    def records(shard):
        for number in range(shard, num_clips, _SHARDS):
            clip = clips.Clip(
                id=f"clip{number}",
                frames=jpegs,
                timestamps=[40_000 * t for t in range(_FRAMES)],
                frame_rate=25.0,
                height=_HEIGHT,
                width=_WIDTH,
                label_index=number % 10,
                label_name=f"class {number % 10}",
                media_id=f"clip{number}",
                data_path="",
                start=0,
                end=4_000_000,
            )
            yield clips.encode_clip(clip), _FRAMES, number % 10, -1

    summaries = [
        clips.write_shard(directory, clips.shard_name(shard, _SHARDS), records(shard))
        for shard in range(_SHARDS)
    ]
    names = [f"class {number}" for number in range(10)]
    clips.finish_dataset(directory, summaries, names, "clean", {"tool": "benchmark"})
    return clips.ClipDataset(directory)


def usual_batches(dataset: clips.ClipDataset) -> tf.data.Dataset:
    """The pipeline that DMVR's users have."""
    paths = [
        os.path.join(dataset.directory, name) for name in dataset.index.shard_names
    ]

    def decode(record):
        clip = clips.parse_in_graph(record)
        length = tf.size(clip["frames"])
        start = tf.random.uniform([], 0, length - _SAMPLING.span + 1, tf.int32)
        indices = start + _SAMPLING.stride * tf.range(_SAMPLING.num_frames)
        images = tf.map_fn(
            lambda jpeg: tf.image.decode_jpeg(jpeg, channels=3),
            tf.gather(clip["frames"], indices),
            fn_output_signature=tf.uint8,
        )
        images = tf.image.random_crop(images, [_SAMPLING.num_frames, _CROP, _CROP, 3])
        flip = tf.random.uniform([]) < 0.5
        images = tf.cond(flip, lambda: tf.reverse(images, [2]), lambda: images)
        return {"clip": images, "label": tf.cast(clip["label"], tf.int32)}

    records = tf.data.TFRecordDataset(paths).repeat().shuffle(_SHUFFLE_BUFFER)
    decoded = records.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    return decoded.batch(_BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def our_batches(dataset: clips.ClipDataset) -> tf.data.Dataset:
    """The pipeline of this project."""
    source = data.TrainInput(dataset, None, _SAMPLING, _CROP, flip=True, seed=0)
    return data.train_batches(source, _BATCH)


def clips_per_second(iterator, num_clips: int) -> float:
    """Reads batches until that many clips have come."""
    start = time.perf_counter()
    for _ in range(num_clips // _BATCH):
        next(iterator)
    return num_clips / (time.perf_counter() - start)


def main(argv: list[str]) -> None:
    """Measures both in turn, prints medians and the ratio."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as directory:
        dataset = write_clips(directory, num_clips=64)
        rates = {"ours": [], "usual": []}
        for _ in range(values.rounds):
            for name, make in (("ours", our_batches), ("usual", usual_batches)):
                iterator = iter(make(dataset))
                clips_per_second(iterator, 8 * _BATCH)  # warm up
                rates[name].append(clips_per_second(iterator, values.clips))
                del iterator
    ratios = [a / b for a, b in zip(rates["ours"], rates["usual"], strict=True)]
    print(f"{values.rounds} rounds of {values.clips} clips, {os.cpu_count()} cores")
    for name, found in rates.items():
        print(f"{name:<6} {statistics.median(found):7.1f} clips/s")
    print(
        f"ratio  {statistics.median(ratios):7.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    flags.DEFINE_integer("clips", 1024, "Clips to read per round.")
    flags.DEFINE_integer("rounds", 5, "Rounds.")
    app.run(main)
