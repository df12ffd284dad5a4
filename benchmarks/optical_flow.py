"""Frames a second of which flow is found and written, against the bare method.

python -m benchmarks.optical_flow

"ours" is what a worker of `tfrecords_tools.add_flow` does: read records, decode frames,
find flow, encode it, write a shard. "bare" is OpenCV on the same frames, decoded and
grey before. Both take turns, on one core; TV-L1 takes part where OpenCV has it.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np
from absl import app, flags

from spl_tf import clips
from spl_tf.clips.jpeg import decode_jpeg
from spl_tf.motion import flow_encoding, optical_flow
from tfrecords_tools.conversion.flow_job import FlowJob, FlowSettings, flow_folder

_SIZE = (128, 171)


def make_clip(number: int, num_frames: int) -> clips.Clip:
    """A clip of noise that is scaled and turned a little more in each frame."""
    height, width = _SIZE
    noise = np.random.default_rng(number).normal(size=(height, width, 3))
    image = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 6))
    image = (128 + 45 * image / image.std()).clip(0, 255).astype(np.uint8)
    frames = []
    for frame in range(num_frames):
        centre = (width / 2, height / 2)
        motion = cv2.getRotationMatrix2D(centre, 0.5 * frame, 1 + 0.01 * frame)
        moved = cv2.warpAffine(image, motion, (width, height), borderMode=2)
        frames.append(flow_encoding.to_image_file(moved, "jpeg", 95))
    return clips.Clip(
        f"clip{number}", frames, range(num_frames), 25.0, *_SIZE, 0, "", "", "", 0, 0
    )


def ours(source: str, output: str, settings: FlowSettings, num_clips: int) -> float:
    """Seconds in which a worker writes the shard again."""
    os.makedirs(flow_folder(output).work_dir, exist_ok=True)
    started = time.perf_counter()
    FlowJob(source, output, 1, settings).run(0, range(num_clips), lambda: None)
    return time.perf_counter() - started


def bare(all_frames: list[list[np.ndarray]], method: str) -> float:
    """Seconds in which OpenCV finds the flow of decoded frames."""
    find = optical_flow.flow_finder(method)
    started = time.perf_counter()
    with optical_flow.one_thread():
        for frames in all_frames:
            for one, two in itertools.pairwise(frames):
                find(one, two)
    return time.perf_counter() - started


def compare(method: str, num_clips: int, num_frames: int, rounds: int) -> str:
    """Measures a method in all formats; a line of medians and ratios."""
    made = [make_clip(number, num_frames) for number in range(num_clips)]
    grey = [
        [cv2.cvtColor(decode_jpeg(each), cv2.COLOR_RGB2GRAY) for each in clip.frames]
        for clip in made
    ]
    found = {name: [] for name in ("bare", *flow_encoding.FORMATS)}
    with tempfile.TemporaryDirectory() as folder:
        records = [(clips.encode_clip(clip), num_frames, 0, -1) for clip in made]
        summary = clips.write_shard(folder, clips.shard_name(0, 1), records)
        clips.finish_dataset(folder, [summary], ["noise"], "weak", {})
        for _ in range(rounds):
            found["bare"].append(bare(grey, method))
            for name in flow_encoding.FORMATS:
                settings = FlowSettings(method, name)
                output = os.path.join(folder, name)
                found[name].append(ours(folder, output, settings, num_clips))
    frames = num_clips * num_frames
    line = f"{method:<11}"
    for name, seconds in found.items():
        line += f"{name} {frames / statistics.median(seconds):8.1f} frames/s"
        if name != "bare":
            pairs = zip(found["bare"], seconds, strict=True)
            line += f" ({statistics.median(a / b for a, b in pairs):.2f} of bare)"
        line += "   "
    return line.rstrip()


def main(argv: list[str]) -> None:
    """Measures the speed of all methods."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    print(f"{values.rounds} rounds of {values.clips} clips of {values.frames} frames")
    for method in optical_flow.METHODS:
        if method != "tvl1" or hasattr(cv2, "optflow"):
            print(compare(method, values.clips, values.frames, values.rounds))


if __name__ == "__main__":
    flags.DEFINE_integer("clips", 8, "Clips per contender and round.")
    flags.DEFINE_integer("frames", 32, "Frames of a clip.")
    flags.DEFINE_integer("rounds", 3, "Rounds.")
    app.run(main)
