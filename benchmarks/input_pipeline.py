"""Clips per second of `spl_tf.data.train_batches`, its rival and the decoder's limit.

python -m benchmarks.input_pipeline

All read the same shards and take 16 frames at stride 4 and a random crop of 224 x 224,
flipped, from clips of 100 frames of 256 x 340:

- ours: uint8 batches; the rest is done on the device;
- usual: in DMVR's order, each phase a map: read in sequence, shuffle in a buffer,
  parse, sample, decode whole frames one by one with `map_fn`, resize if needed, crop,
  flip, convert to float, batch;
- usual uint8: the same without the conversion to float;
- limit: libjpeg-turbo, of simplejpeg, in a bare loop over such frames in memory, one
  process per core; no reading, no crop, no flip, no batch. (It decodes whole frames
  faster than TensorFlow's `DecodeAndCropJpeg` decodes the crop.)

They take turns, so that a machine whose speed drifts treats them alike. Then follows
the memory of the process over epochs. `index_scale` has datasets of many rows.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import resource
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import simplejpeg
import tensorflow as tf
from absl import app, flags
from PIL import Image

from spl_tf import clips, data

_FRAMES, _HEIGHT, _WIDTH = 100, 256, 340
SAMPLING = data.ClipSampling(num_frames=16, stride=4)
CROP = 224
_SHARDS = 4
_VIDEOS = 4
_CLIPS = 64
_SHUFFLE_BUFFER = 64


def make_frames(video: int, quality: int) -> list[bytes]:
    """Renders a pan over a picture with the spectrum of natural ones, and grain.

    At quality 90 a frame is about 16 kB, at 75 about 9 kB.
    """
    rng = np.random.default_rng(video)
    height, width = _HEIGHT + _FRAMES, _WIDTH + _FRAMES
    picture = np.zeros((height, width, 3))
    for octave in range(2, 8):
        step = 2**octave
        coarse = rng.normal(size=(height // step + 3, width // step + 3, 3))
        coarse = 1.7 * coarse.mean(axis=-1, keepdims=True) + 0.4 * coarse
        for channel in range(3):
            plane = Image.fromarray(coarse[..., channel].astype(np.float32))
            size = (plane.width * step, plane.height * step)
            plane = np.asarray(plane.resize(size, Image.Resampling.BICUBIC))
            picture[..., channel] += step**0.5 * plane[:height, :width]
    low, high = np.percentile(picture, [0.1, 99.9])
    picture = (picture - low) / (high - low) * 255
    jpegs = []
    for shift in range(_FRAMES):
        frame = picture[shift : shift + _HEIGHT, shift : shift + _WIDTH]
        frame = (frame + rng.normal(0, 2, frame.shape)).clip(0, 255)
        buffer = io.BytesIO()
        Image.fromarray(frame.astype(np.uint8)).save(buffer, "JPEG", quality=quality)
        jpegs.append(buffer.getvalue())
    return jpegs


def write_clips(directory: str, videos: list[list[bytes]]) -> clips.ClipDataset:
    """Writes the dataset that is read."""

    def records(shard):
        for number in range(shard, _CLIPS, _SHARDS):
            label, frames = number % 10, videos[number % len(videos)]
            clip = clips.Clip(
                id=f"clip{number}",
                frames=frames,
                timestamps=[40_000 * t for t in range(len(frames))],
                frame_rate=25.0,
                height=_HEIGHT,
                width=_WIDTH,
                label_index=label,
                label_name=f"class {label}",
                media_id=f"clip{number}",
                data_path="",
                start=0,
                end=4_000_000,
            )
            yield clips.encode_clip(clip), len(frames), label, -1

    summaries = [
        clips.write_shard(directory, clips.shard_name(shard, _SHARDS), records(shard))
        for shard in range(_SHARDS)
    ]
    names = [f"class {number}" for number in range(10)]
    clips.finish_dataset(directory, summaries, names, "clean", {"tool": "benchmark"})
    return clips.ClipDataset(directory)


def usual_batches(
    dataset: clips.ClipDataset, batch_size: int, to_float: bool
) -> tf.data.Dataset:
    """The pipeline that DMVR's users have."""

    def sample(clip):
        length = tf.size(clip["frames"])
        start = tf.random.uniform([], 0, length - SAMPLING.span + 1, tf.int32)
        indices = start + SAMPLING.stride * tf.range(SAMPLING.num_frames)
        return clip | {"frames": tf.gather(clip["frames"], indices)}

    def decode(clip):
        images = tf.map_fn(
            lambda jpeg: tf.image.decode_jpeg(jpeg, channels=3),
            clip["frames"],
            fn_output_signature=tf.uint8,
        )
        return {"clip": images, "label": tf.cast(clip["label"], tf.int32)}

    def resize_if_needed(images):
        shape = tf.shape(images)
        short = tf.minimum(shape[1], shape[2])
        size = tf.cast(tf.round(shape[1:3] * _HEIGHT / short), tf.int32)
        return tf.cond(
            short == _HEIGHT,
            lambda: images,
            lambda: tf.cast(tf.image.resize(images, size), tf.uint8),
        )

    def augment(batch):
        images = resize_if_needed(batch["clip"])
        images = tf.image.random_crop(images, [SAMPLING.num_frames, CROP, CROP, 3])
        flip = tf.random.uniform([]) < 0.5
        images = tf.cond(flip, lambda: tf.reverse(images, [2]), lambda: images)
        if to_float:
            images = tf.image.convert_image_dtype(images, tf.float32)
        return batch | {"clip": images}

    names = dataset.index.shard_names
    paths = [os.path.join(dataset.directory, name) for name in names]
    batches = tf.data.TFRecordDataset(paths).repeat().shuffle(_SHUFFLE_BUFFER)
    for phase in (clips.parse_in_graph, sample, decode, augment):
        batches = batches.map(phase, num_parallel_calls=tf.data.AUTOTUNE)
    batches = batches.batch(batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def our_batches(
    dataset: clips.ClipDataset, batch_size: int, start_step: int = 0
) -> tf.data.Dataset:
    """This project's training batches, of augmented crops from one dataset."""
    source = data.TrainInput(dataset, None, SAMPLING, CROP, flip=True, seed=0)
    return data.train_batches(source, batch_size, start_step)


class BareDecoder:
    """One process per core that does nothing but decode crops."""

    def __init__(self, videos: list[list[bytes]]):
        """Starts the processes, each with a copy of the JPEGs."""
        context = multiprocessing.get_context("spawn")
        self._pipes = []
        for _ in range(os.cpu_count()):
            ours, theirs = context.Pipe()
            arguments = (theirs, [jpeg for video in videos for jpeg in video])
            context.Process(
                target=_decode_on_demand, args=arguments, daemon=True
            ).start()
            self._pipes.append(ours)

    def measure(self, num_clips: int) -> tuple[float, float]:
        """Decodes the frames of that many clips, shared by the processes.

        Returns:
            Clips per second, and CPU time per clip in ms.
        """
        share = num_clips // len(self._pipes)
        start = time.perf_counter()
        for pipe in self._pipes:
            pipe.send(share * SAMPLING.num_frames)
        cpu = statistics.mean([pipe.recv() for pipe in self._pipes])
        rate = share * len(self._pipes) / (time.perf_counter() - start)
        return rate, cpu / share * 1e3

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            pipe.send(None)


def _decode_on_demand(pipe, jpegs: list[bytes]) -> None:
    frame = np.empty((_HEIGHT, _WIDTH, 3), np.uint8)
    while (count := pipe.recv()) is not None:
        start = time.process_time()
        for number in range(count):
            simplejpeg.decode_jpeg(jpegs[number % len(jpegs)], "RGB", buffer=frame)
        pipe.send(time.process_time() - start)


def measure(batches: tf.data.Dataset, num_clips: int) -> tuple[float, float]:
    """Reads batches until that many clips have come, after half as many to warm up.

    Returns:
        Clips per second, and CPU time per clip in ms.
    """
    iterator = iter(batches)
    batch_size = next(iterator)["clip"].shape[0]
    steps = -(-num_clips // batch_size)
    for _ in range(steps // 2):
        next(iterator)
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in range(steps):
        next(iterator)
    cpu = time.process_time() - cpu_start
    count = steps * batch_size
    return count / (time.perf_counter() - start), cpu / count * 1e3


def compare(directory: str, quality: int, batch_size: int, count: int, rounds: int):
    """Measures all contenders in turn; prints medians and ratios."""
    videos = [make_frames(video, quality) for video in range(_VIDEOS)]
    dataset = write_clips(directory, videos)
    limit = BareDecoder(videos)
    contenders = {
        "ours": lambda: measure(our_batches(dataset, batch_size), count),
        "usual": lambda: measure(
            usual_batches(dataset, batch_size, to_float=True), count
        ),
        "usual uint8": lambda: measure(
            usual_batches(dataset, batch_size, to_float=False), count
        ),
        "limit": lambda: limit.measure(count),
    }
    limit.measure(count)  # warm up
    rates = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            rates[name].append(run())
    limit.close()
    size = np.mean([len(jpeg) for video in videos for jpeg in video]) / 1000
    print(
        f"{rounds} rounds of {count} clips in batches of {batch_size}, frames of "
        f"{size:.1f} kB, {os.cpu_count()} cores"
    )
    for name, found in rates.items():
        ratios = [a / b for (a, _), (b, _) in zip(rates["ours"], found, strict=True)]
        rate, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        print(
            f"{name:<12}{rate:7.1f} clips/s {cpu:6.2f} ms of CPU per clip   ours is "
            f"{statistics.median(ratios):.2f} of it "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


def memory_over_epochs(directory: str, epochs: int, batch_size: int) -> None:
    """Prints the memory of this process after the first epochs and the last."""
    iterator = iter(our_batches(clips.ClipDataset(directory), batch_size))
    sizes = []
    for _ in range(epochs):
        for _ in range(_CLIPS // batch_size):
            next(iterator)
        sizes.append(_resident_megabytes())
    print(f"memory after {epochs} epochs: {sizes[-1]:.0f} MB, after 2: {sizes[1]:.0f}")


def _resident_megabytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def main(argv: list[str]) -> None:
    """Measures speed and memory."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as directory:
        compare(
            directory, values.quality, values.batch_size, values.clips, values.rounds
        )
        memory_over_epochs(directory, 10, values.batch_size)


if __name__ == "__main__":
    flags.DEFINE_integer("clips", 1024, "Clips to read per contender and round.")
    flags.DEFINE_integer("rounds", 10, "Rounds.")
    flags.DEFINE_integer("batch_size", 16, "Clips per batch.")
    flags.DEFINE_integer("quality", 90, "Quality of the JPEGs.")
    app.run(main)
