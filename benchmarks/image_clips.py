"""Clips a second of images that are warped, against decoding a video's frames.

python -m benchmarks.image_clips

Both take turns: clips of 16 frames of 224 x 224, of images that `data.train_batches`
warps by homographies of their own, and of videos with 16 JPEGs of the images' size, of
the same content and quality. "bare" decodes 16 such frames per clip with
libjpeg-turbo in a bare loop, one process per core.
"""

from __future__ import annotations

import os
import statistics
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from absl import app, flags

from benchmarks.input_pipeline import (
    CROP,
    SAMPLING,
    BareDecoder,
    make_frames,
    measure,
    our_batches,
    write_clips,
)
from spl_tf import data
from spl_tf.motion import CameraMotion, MotionLaw

_VIDEOS = 4
# As a hand moves: deviations of the 8 parameters.
_DEVIATIONS = np.array([6, 6, 30, 6, 6, 30, 3, 3]) * 1e-3


def image_batches(dataset, batch_size: int, kind: str):
    """Batches of a source of images."""
    law = MotionLaw(np.eye(3).ravel()[:8], np.diag(_DEVIATIONS**2))
    motion = CameraMotion(law, (), (), np.zeros(0), SAMPLING.stride, 25.0, (1, 1), 16)
    clips = data.ImageClips(kind, step=0.03, motion=motion)
    source = data.TrainInput(
        dataset, None, SAMPLING, CROP, flip=True, seed=0, image_clips=clips
    )
    return data.train_batches(source, batch_size)


def compare(batch_size: int, count: int, rounds: int, quality: int) -> None:
    """Measures all in turn; prints medians and ratios."""
    videos = [make_frames(video, quality) for video in range(_VIDEOS)]
    bare = BareDecoder(videos)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("videos", "images")]
        for path in paths:
            os.mkdir(path)
        of_videos = write_clips(paths[0], videos)
        of_images = write_clips(paths[1], [video[:1] for video in videos])
        contenders = {
            kind: lambda kind=kind: measure(
                image_batches(of_images, batch_size, kind), count
            )
            for kind in data.IMAGE_KINDS
        }
        contenders["videos"] = lambda: measure(
            our_batches(of_videos, batch_size), count
        )
        contenders["bare"] = lambda: bare.measure(count)
        rates = {name: [] for name in contenders}
        bare.measure(count)  # warm up
        for _ in range(rounds):
            for name, run in contenders.items():
                rates[name].append(run())
    bare.close()
    print(f"{rounds} rounds of {count} clips in batches of {batch_size}")
    for name, found in rates.items():
        rate, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        ratios = {
            rival: statistics.median(
                a / b for (a, _), (b, _) in zip(found, rates[rival], strict=True)
            )
            for rival in ("videos", "bare")
        }
        print(
            f"{name:<20}{rate:7.1f} clips/s {cpu:6.2f} ms of CPU per clip   "
            f"{ratios['videos']:.2f} of videos, {ratios['bare']:.2f} of bare"
        )


def main(argv: list[str]) -> None:
    """Measures the speed of all kinds."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    compare(values.batch_size, values.clips, values.rounds, values.quality)


if __name__ == "__main__":
    flags.DEFINE_integer("clips", 512, "Clips to read per contender and round.")
    flags.DEFINE_integer("rounds", 5, "Rounds.")
    flags.DEFINE_integer("batch_size", 16, "Clips per batch.")
    flags.DEFINE_integer("quality", 90, "Quality of the JPEGs.")
    app.run(main)
