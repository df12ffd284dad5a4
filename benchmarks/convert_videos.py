"""Frames per second from videos to JPEGs, against bare decoding and `ffmpeg`.

python -m benchmarks.convert_videos [--memory]

The videos are 2 minutes of H.264, 1280 x 720 at 30 frames per second: textures that
move, under sensor noise, with a keyframe every 250 frames (x264's default) and every
48. From each, clips of 10 seconds are cut and scaled to a short side of 256. All do the
same clips with the same number of processes, one thread each, and take turns:

- ours: what a worker of `convert_videos` does, a shard of records written to disk;
- bare: PyAV seeks and decodes the same frames and drops them, the limit;
- ffmpeg: one command per clip writes the JPEGs to files, the usual way. Its `-q:v 2`
  is the finest that it offers by default; our quality is set to give no smaller files.

--memory prints the peak memory of a worker and of its decoder process after clips from
the start, the middle and the end of a video of 1 minute, and of 1 hour; the limit is
20 % of difference. It reads /proc, so it needs Linux.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

import av
import numpy as np
from absl import app, flags
from PIL import Image

from tfrecords_tools.conversion.cutting import ClipPlan
from tfrecords_tools.conversion.shard_job import WORK_DIR, ShardJob
from tfrecords_tools.convert_videos import VideoSource
from tfrecords_tools.decoding.decoder import Decoder
from tfrecords_tools.decoding.video import MICROSECONDS

_RATE = 30
_LOOP = 30  # seconds of content that is encoded; longer videos repeat its packets
_CLIP = 10
_SHORT_SIDE = 256
_QUALITY = 91
_MAX_GROWTH = 0.2


@dataclasses.dataclass(frozen=True)
class Job:
    """One clip to cut: `_CLIP` seconds of `path` from second `start` on."""

    path: str
    start: int


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one contestant did with all jobs."""

    frames: int
    bytes: int
    seconds: float


def write_video(
    path: str | os.PathLike, seconds: int, height: int, width: int, gop: int
) -> None:
    """Writes a video that repeats `_LOOP` seconds of content."""
    loop = f"{path}.loop.mp4"
    rng = np.random.default_rng(0)
    background = _texture(rng, 2 * height, 2 * width)
    sprite = _texture(rng, height // 4, height // 4)[..., ::-1]
    with av.open(loop, "w") as container:
        options = {"preset": "veryfast", "g": str(gop)}
        stream = container.add_stream("libx264", rate=_RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for t in range(_LOOP * _RATE):
            y, x = _orbit(t, 60, height - 8), _orbit(t, 85, width - 8)
            image = background[y : y + height, x : x + width].copy()
            for k in range(6):
                y = _orbit(t, 25 + 3 * k, height - len(sprite))
                x = _orbit(t, 20 + 5 * k, width - len(sprite))
                image[y : y + len(sprite), x : x + len(sprite)] = sprite
            image += rng.integers(0, 6, (height, width, 1), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _repeat(loop, path, seconds // _LOOP)
    os.remove(loop)


def _orbit(t: int, period: float, extent: int) -> int:
    return int(extent * (0.5 + 0.5 * np.sin(t / period + period)))


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise with the falling spectrum of natural images, uint8 [H, W, 3]."""
    image = np.zeros((height, width, 3), np.float32)
    for octave in range(3, 9):
        noise = rng.integers(0, 256, (2**octave, 2**octave, 3), np.uint8)
        smooth = Image.fromarray(noise).resize((width, height), Image.BICUBIC)
        image += np.asarray(smooth, np.float32) * 2.0 ** (-0.7 * octave)
    image -= image.min()
    return (image * (240 / image.max())).astype(np.uint8)


def _repeat(source: str, target: str | os.PathLike, times: int) -> None:
    with av.open(source) as read, av.open(str(target), "w", format="mp4") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        length = round(_LOOP / stream.time_base)
        for repetition in range(times):
            read.seek(0)
            for packet in read.demux(stream):
                if packet.size:
                    packet.pts += repetition * length
                    packet.dts += repetition * length
                    packet.stream = copy
                    written.mux(packet)


def write_shard(jobs: list[Job]) -> tuple[int, int]:
    """Our clips as a shard; returns the number of frames and the file's bytes."""
    source = VideoSource(
        "", ("class",), _SHORT_SIDE, 0.0, _QUALITY, time_limit=600.0, threads=1
    )
    plans = [
        ClipPlan(job.path, job.path, 0, job.start * MICROSECONDS, _end(job), _RATE)
        for job in jobs
    ]
    with tempfile.TemporaryDirectory() as directory:
        writer = ShardJob(source, directory, num_shards=1)
        os.mkdir(os.path.join(directory, WORK_DIR))
        writer.run(0, plans, lambda: None)
        summary = writer.finished(0).summary
    return sum(summary.frames), summary.file_size


def decode_bare(jobs: list[Job]) -> tuple[int, int]:
    """Decodes the clips' frames and drops them."""
    return sum(map(_decode_clip, jobs)), 0


def _decode_clip(job: Job) -> int:
    count = 0
    with av.open(job.path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        container.seek(int(job.start / stream.time_base), stream=stream)
        end = round((job.start + _CLIP) / stream.time_base)
        for frame in container.decode(stream):
            if frame.pts >= end:
                break
            count += frame.pts * stream.time_base >= job.start
    return count


def cut_with_ffmpeg(jobs: list[Job]) -> tuple[int, int]:
    """The clips as image files, written by one `ffmpeg` command each."""
    frames, sizes = zip(*map(_cut_clip_with_ffmpeg, jobs), strict=True)
    return sum(frames), sum(sizes)


def _cut_clip_with_ffmpeg(job: Job) -> tuple[int, int]:
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1"]
            + ["-ss", str(job.start), "-t", str(_CLIP), "-i", job.path]
            + ["-vf", f"scale=-2:{_SHORT_SIDE}:flags=area", "-filter_threads", "1"]
            + ["-fps_mode", "passthrough", "-q:v", "2", "-threads", "1"]
            + [os.path.join(directory, "%05d.jpg")],
            check=True,
        )
        sizes = [file.stat().st_size for file in pathlib.Path(directory).iterdir()]
    return len(sizes), sum(sizes)


def _end(job: Job) -> int:
    return (job.start + _CLIP) * MICROSECONDS


_CONTESTANTS: dict[str, Callable[[list[Job]], tuple[int, int]]] = {
    "ours": write_shard,
    "bare": decode_bare,
    "ffmpeg": cut_with_ffmpeg,
}


def measure(name: str, jobs: list[Job], pool, workers: int) -> Measurement:
    """Does all jobs in the pool, an equal share in each worker."""
    shares = [jobs[worker::workers] for worker in range(workers)]
    start = time.perf_counter()
    done = list(pool.map(_CONTESTANTS[name], filter(None, shares)))
    seconds = time.perf_counter() - start
    return Measurement(sum(d[0] for d in done), sum(d[1] for d in done), seconds)


def compare(
    directory: str, rounds: int, clips_per_video: int, workers: int
) -> dict[str, list[Measurement]]:
    """Writes the videos and lets all contestants cut them, in turns."""
    jobs = []
    for gop in (250, 48):
        path = os.path.join(directory, f"{gop}.mp4")
        write_video(path, 120, 720, 1280, gop)
        gap = (120 - _CLIP) / clips_per_video
        jobs += [Job(path, round((n + 0.5) * gap)) for n in range(clips_per_video)]
    found: dict[str, list[Measurement]] = {name: [] for name in _CONTESTANTS}
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        for name in _CONTESTANTS:
            measure(name, jobs[:workers], pool, workers)  # warm up
        for _ in range(rounds):
            for name, measurements in found.items():
                measurements.append(measure(name, jobs, pool, workers))
    counts = {name: {m.frames for m in done} for name, done in found.items()}
    if len(set().union(*counts.values())) != 1:
        raise AssertionError(f"the contestants did different numbers: {counts}")
    return found


def report(found: dict[str, list[Measurement]]) -> None:
    """Prints rates, and our rate over each rival's, round by round."""
    rates = {name: [m.frames / m.seconds for m in done] for name, done in found.items()}
    for name, done in found.items():
        kilobytes = done[0].bytes / done[0].frames / 1000
        print(
            f"{name:<8}{statistics.median(rates[name]):8.1f} frames/s"
            + (f"   {kilobytes:.1f} kB a frame" if kilobytes else "")
        )
    for rival in ("bare", "ffmpeg"):
        ratios = [a / b for a, b in zip(rates["ours"], rates[rival], strict=True)]
        print(
            f"ours / {rival:<8}{statistics.median(ratios):6.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


def peak_bytes(path: str, duration: int) -> tuple[int, int]:
    """Cuts three clips; returns the peak memory of a worker and of its decoder."""
    jobs = [Job(path, start) for start in (0, duration // 2 + 1, duration - _CLIP)]
    frames, _ = write_shard(jobs)
    if frames != len(jobs) * _CLIP * _RATE:
        raise AssertionError(f"{frames} frames from {path}")
    with Decoder(time_limit=600.0) as decoder:
        for job in jobs:
            start = job.start * MICROSECONDS
            decoder.clip(path, start, _end(job), _SHORT_SIDE, 0.0, _QUALITY)
        return _peak(os.getpid()), _peak(decoder.pid)


def _peak(process: int) -> int:
    with open(f"/proc/{process}/status", encoding="utf-8") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure_memory(directory: str) -> dict[int, tuple[int, int]]:
    """Returns the peak bytes of both processes by the video's length in seconds."""
    peaks = {}
    for duration in (60, 3600):
        path = os.path.join(directory, f"{duration}.mp4")
        write_video(path, duration, 240, 426, 250)
        # Spawned, because a forked process starts with the peak of its parent.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peaks[duration] = pool.apply(peak_bytes, (path, duration))
    return peaks


def main(argv: list[str]) -> None:
    """Prints the rates of all contenders, or the growth of memory."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as directory:
        if values.memory:
            peaks = zip(*measure_memory(directory).values(), strict=True)
            for name, (short, long) in zip(("worker", "decoder"), peaks, strict=True):
                print(
                    f"peak memory of the {name}: 1 minute {short / 1e6:.0f} MB, 1 hour "
                    f"{long / 1e6:.0f} MB, growth {long / short - 1:+.1%} "
                    f"(limit {_MAX_GROWTH:.0%})"
                )
            return
        if not shutil.which("ffmpeg"):
            raise app.UsageError(
                "there is no ffmpeg on the PATH to compare with; Debian's package is "
                "called ffmpeg"
            )
        workers = values.workers or os.cpu_count() or 1
        found = compare(directory, values.rounds, values.clips_per_video, workers)
        frames = found["ours"][0].frames
        print(f"{values.rounds} rounds of {frames} frames, {workers} processes")
        report(found)


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "Rounds.", lower_bound=1)
    flags.DEFINE_integer("clips_per_video", 4, "Clips per video.", lower_bound=1)
    flags.DEFINE_integer("workers", 0, "Processes; 0 for one per core.", lower_bound=0)
    flags.DEFINE_bool("memory", False, "Measure the memory instead.")
    app.run(main)
