"""Renders the synthetic weakly-labeled web-video world to H.264 files with manifests.

    python -m experiments.synthetic.render --output_dir=/tmp/world --seed=0

writes, with the default config, 1,560 small videos (43 MB) in about 10 seconds on one
core:

    classes.txt             one class name a line, in index order
    target_train.csv        video,label,start,end: few trimmed clips, clean labels
    target_val.csv          the same, for evaluation
    web.csv                 video,label: untrimmed videos; the label is the query that
                            found the video, which is often wrong for a part of it
    hidden_truth.csv        what each segment of a web video really shows: for
                            diagnosis only, nothing in training may read it
    videos/<split>/*.mp4    H.264, yuv420p, constant frame rate

Paths in manifests are relative to the folder, times are seconds. A segment starts with
a key frame, so that cutting [k, k + 1) segment lengths gives exactly the frames of
segment k.

Coding error: at the default crf 14 the decoded frames differ from the drawn ones by
2.3/255 on average in luma, which carries scene and motion, and by 6.8/255 in RGB, of
which 6.0 are the halved resolution of colour in yuv420p (crf 23 gives 5.4 and 9.6;
measured over 60 web videos with softer sprites than the default ones). The drawn pixel
noise itself has a deviation of 25/255.
"""

import concurrent.futures
import csv
import dataclasses
import functools
import io
import multiprocessing
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import av
import ml_collections
import numpy as np
import tqdm
from absl import app, flags, logging

from experiments.synthetic import world

TARGET_TRAIN = "target_train"
TARGET_VAL = "target_val"
WEB = "web"
# The position is part of a video's seed, so new splits go to the end.
SPLITS = (TARGET_TRAIN, TARGET_VAL, WEB)

CLASSES_FILE = "classes.txt"
HIDDEN_TRUTH_FILE = "hidden_truth.csv"
_HIDDEN_TRUTH_HEADER = ("video", "segment", "start", "end", "shown", "scene", "class")
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")
_COUNTS = (
    "target_clips_per_class",
    "validation_clips_per_class",
    "web_videos_per_class",
    "segments_per_video",
    "frames_per_segment",
    "frame_rate",
    "frame_size",
)


def default_config() -> ml_collections.ConfigDict:
    """Returns the world of the demo: 72 target clips and 6,048 web segments."""
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "target_clips_per_class": 6,
            "validation_clips_per_class": 40,
            "web_videos_per_class": 84,  # found by a query for the class
            "segments_per_video": 6,
            "frames_per_segment": 8,
            "frame_rate": 8,  # frames per second
            "frame_size": 32,  # pixels, height and width, even
            # Share of web videos that are about another class than the query.
            "query_error": 0.08,
            # What the segments of a web video show, for the video's real class.
            "segment_shares": {
                world.ACTION: 0.4,
                world.SIBLING: 0.3,
                world.BACKGROUND: 0.2,
                world.FILLER: 0.1,
            },
            "crf": 14,  # quality of H.264: 0 is best, 51 is worst
            "preset": "ultrafast",
            "nuisance": world.default_nuisance().to_dict(),
        }
    )


def check_config(config: ml_collections.ConfigDict) -> None:
    """Checks a whole config before any work.

    Raises:
        ValueError: If a key is unknown or missing, or a value is impossible; the
            message names the key, what was found and what was expected.
    """
    expected = default_config()
    _check_keys("config", config, expected)
    _check_keys("segment_shares", config.segment_shares, expected.segment_shares)
    _check_keys("nuisance", config.nuisance, expected.nuisance)
    for key in _COUNTS:
        valid = isinstance(config[key], int) and config[key] > 0
        _check(valid, key, config[key], "a positive integer")
    seed, size, crf = config.seed, config.frame_size, config.crf
    _check(isinstance(seed, int) and seed >= 0, "seed", seed, "an integer >= 0")
    _check(size % 2 == 0, "frame_size", size, "an even number (yuv420p halves colour)")
    _check(0 <= crf <= 51, "crf", crf, "a number of 0..51")
    _check(config.preset in _PRESETS, "preset", config.preset, f"one of {_PRESETS}")
    _check(0 <= config.query_error <= 1, "query_error", config.query_error, "0..1")
    shares = config.segment_shares.to_dict()
    _check(
        min(shares.values()) >= 0 and abs(sum(shares.values()) - 1) < 1e-6,
        "segment_shares",
        shares,
        f"shares >= 0 that sum to 1 (these sum to {sum(shares.values()):g})",
    )
    world.check_nuisance(config.nuisance, size)


def render(
    config: ml_collections.ConfigDict,
    output_dir: str | os.PathLike,
    num_workers: int | None = None,
) -> dict[str, object]:
    """Renders the world of a config into a folder.

    Each video has its own seed, so the result depends neither on the number of workers
    nor, for the videos that both have, on how many there are per class. The manifests
    are written last: a folder that has them is complete. Files of the same name are
    replaced, others are left alone.

    Args:
        config: As from `default_config`.
        output_dir: Folder to write to; made if missing.
        num_workers: Processes to draw and encode with; None for one per core.

    Returns:
        Counts of what was written: `num_classes`, per split `num_videos`, then
        `num_web_segments`, `num_frames`, `num_bytes`, `segment_shares` and
        `query_error` as drawn.

    Raises:
        ValueError: If the config is wrong; nothing has been written then.
    """
    check_config(config)
    if num_workers is None:
        num_workers = os.cpu_count() or 1
    _check(num_workers > 0, "num_workers", num_workers, "a positive integer")
    output_dir = pathlib.Path(output_dir)
    for split in SPLITS:
        (output_dir / "videos" / split).mkdir(parents=True, exist_ok=True)
        # An old manifest must not vouch for a folder that is being rewritten.
        (output_dir / f"{split}.csv").unlink(missing_ok=True)
    (output_dir / HIDDEN_TRUTH_FILE).unlink(missing_ok=True)

    jobs = _plan(config)
    render_one = functools.partial(
        _render_video, config=config.to_dict(), output_dir=output_dir
    )
    results = _map_in_order(render_one, jobs, num_workers)
    rendered = list(tqdm.tqdm(results, "rendering videos", len(jobs), unit="video"))
    _write_manifests(config, jobs, rendered, output_dir)
    return _summarize(config, jobs, rendered)


def write_video(
    frames: np.ndarray, path: pathlib.Path, config: ml_collections.ConfigDict
) -> int:
    """Encodes frames as an H.264 file, atomically.

    Args:
        frames: uint8 [T, H, W, 3], RGB; H and W even.
        path: File to write; its folder exists.
        config: Has `frame_rate`, `frames_per_segment` (the distance of key frames),
            `crf` and `preset`.

    Returns:
        The size of the file in bytes.
    """
    # No frame depends on a later one and key frames are where they are asked for:
    # seeking to a segment decodes this segment alone. One thread: videos are small
    # and many, and the bytes must not depend on the machine's cores.
    interval = config.frames_per_segment
    options = {
        "crf": str(config.crf),
        "preset": config.preset,
        "x264-params": f"keyint={interval}:min-keyint={interval}:scenecut=0"
        ":bframes=0:threads=1",
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with av.open(str(temporary), "w", format="mp4") as container:
            stream = container.add_stream(
                "libx264", rate=config.frame_rate, options=options
            )
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for index, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        size = temporary.stat().st_size
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return size


@dataclasses.dataclass(frozen=True)
class _Job:
    """One video to render."""

    split: str
    index: int  # Position in the split; part of the seed.
    label: int  # Class of a target clip; class of the query that found a web video.
    video: str  # Path relative to the output folder.


@dataclasses.dataclass(frozen=True)
class _Rendered:
    """What a job drew."""

    class_index: int  # What the video is really about.
    kinds: tuple[str, ...]  # What each segment shows, of `world.SEGMENT_KINDS`.
    num_bytes: int


def _plan(config: ml_collections.ConfigDict) -> list[_Job]:
    """Lists all videos, split by split; classes take turns within a split."""
    num_classes = len(world.class_names())
    per_class = {
        TARGET_TRAIN: config.target_clips_per_class,
        TARGET_VAL: config.validation_clips_per_class,
        WEB: config.web_videos_per_class,
    }
    return [
        _Job(split, i, i % num_classes, f"videos/{split}/{split}_{i:06d}.mp4")
        for split in SPLITS
        for i in range(per_class[split] * num_classes)
    ]


def _render_video(
    job: _Job, config: Mapping[str, object], output_dir: pathlib.Path
) -> _Rendered:
    """Draws and encodes one video; runs in a worker process."""
    config = ml_collections.ConfigDict(config)
    split = SPLITS.index(job.split)
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, split, job.index]))
    class_index, kinds = job.label, (world.ACTION,)
    if job.split == WEB:
        if rng.random() < config.query_error:
            num_classes = len(world.class_names())
            class_index = (job.label + rng.integers(1, num_classes)) % num_classes
        shares = np.array([config.segment_shares[kind] for kind in world.SEGMENT_KINDS])
        drawn = rng.choice(
            len(shares), size=config.segments_per_video, p=shares / shares.sum()
        )
        kinds = tuple(world.SEGMENT_KINDS[kind] for kind in drawn)
    look = world.draw_look(rng, config.frame_size, config.nuisance)
    segments = [
        world.draw_segment(rng, look, class_index, kind, config) for kind in kinds
    ]
    path = output_dir / job.video
    num_bytes = write_video(np.concatenate(segments), path, config)
    return _Rendered(int(class_index), kinds, num_bytes)


def _map_in_order(function, jobs: Sequence[_Job], num_workers: int) -> Iterator:
    """Yields `function(job)` for all jobs in order, over a pool of processes."""
    if num_workers == 1:
        yield from map(function, jobs)
        return
    # Not forked: the caller may hold TensorFlow's threads, which do not survive that.
    with concurrent.futures.ProcessPoolExecutor(
        num_workers, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        yield from pool.map(function, jobs, chunksize=8)


def _write_manifests(
    config: ml_collections.ConfigDict,
    jobs: Sequence[_Job],
    rendered: Sequence[_Rendered],
    output_dir: pathlib.Path,
) -> None:
    """Writes the hidden truth, the classes file and, last, the manifests."""
    names = world.class_names()
    seconds = config.frames_per_segment / config.frame_rate
    truth = []
    for job, video in zip(jobs, rendered, strict=True):
        for segment, kind in enumerate(video.kinds if job.split == WEB else ()):
            start, end = round(segment * seconds, 6), round((segment + 1) * seconds, 6)
            shown = _shown(video.class_index, kind)
            truth.append((job.video, segment, start, end, kind, *shown))
    _write_csv(output_dir / HIDDEN_TRUTH_FILE, _HIDDEN_TRUTH_HEADER, truth)
    _write_text(output_dir / CLASSES_FILE, "".join(f"{name}\n" for name in names))
    for split in SPLITS:
        rows = [(job.video, names[job.label]) for job in jobs if job.split == split]
        header = ("video", "label")
        if split != WEB:
            header += ("start", "end")
            rows = [(*row, 0.0, round(seconds, 6)) for row in rows]
        _write_csv(output_dir / f"{split}.csv", header, rows)


def _shown(class_index: int, kind: str) -> tuple[str, str]:
    """Returns scene and class name that a segment shows; empty where it shows none."""
    scene = "" if kind == world.FILLER else world.scene_and_motion(class_index)[0]
    if kind == world.ACTION:
        return scene, world.class_names()[class_index]
    if kind == world.SIBLING:
        return scene, world.class_names()[world.sibling(class_index)]
    return scene, ""


def _summarize(
    config: ml_collections.ConfigDict,
    jobs: Sequence[_Job],
    rendered: Sequence[_Rendered],
) -> dict[str, object]:
    """Counts what was rendered; see `render`."""
    web = [pair for pair in zip(jobs, rendered, strict=True) if pair[0].split == WEB]
    kinds = [kind for _, video in web for kind in video.kinds]
    num_segments = sum(len(video.kinds) for video in rendered)
    wrong = sum(job.label != video.class_index for job, video in web)
    return {
        "num_classes": len(world.class_names()),
        "num_videos": {
            split: sum(job.split == split for job in jobs) for split in SPLITS
        },
        "num_web_segments": len(kinds),
        "num_frames": num_segments * config.frames_per_segment,
        "num_bytes": sum(video.num_bytes for video in rendered),
        "segment_shares": {
            kind: kinds.count(kind) / len(kinds) for kind in world.SEGMENT_KINDS
        },
        "query_error": wrong / len(web),
    }


def _write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable) -> None:
    """Writes a CSV file atomically, with one kind of line ends on all systems."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    _write_text(path, text.getvalue())


def _write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, path)


def _check_keys(name: str, found: Mapping, expected: Mapping) -> None:
    """Raises ValueError unless both have the same keys."""
    unknown = sorted(set(found) - set(expected))
    missing = sorted(set(expected) - set(found))
    if unknown or missing:
        raise ValueError(
            f"{name}: unknown keys {unknown}, missing keys {missing}; "
            f"expected {sorted(expected)}"
        )


def _check(condition: bool, key: str, found: object, expected: str) -> None:
    """Raises ValueError that says what a config's key must be, unless it holds."""
    if not condition:
        raise ValueError(f"{key}: got {found!r}, expected {expected}")


def _define_flags() -> None:
    """Defines the binary's flags, which importing this module must not do."""
    flags.DEFINE_string("output_dir", None, "Folder to write to.", required=True)
    flags.DEFINE_integer("seed", 0, "Seed of the whole world.", lower_bound=0)
    flags.DEFINE_integer(
        "num_workers", None, "Processes; one per core if not given.", lower_bound=1
    )


def main(argv: Sequence[str]) -> None:
    """Renders the default world with the seed of the flags."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    config = default_config()
    config.seed = flags.FLAGS.seed
    summary = render(config, flags.FLAGS.output_dir, flags.FLAGS.num_workers)
    logging.info("%s: %s", flags.FLAGS.output_dir, summary)


if __name__ == "__main__":
    _define_flags()
    app.run(main)
