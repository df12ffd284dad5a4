"""Cuts the videos of a manifest into a dataset of clip records.

python -m tfrecords_tools.convert_videos --manifest=web.csv --classes=classes.txt \
    --video_root=videos --output_dir=clips/web --label_kind=weak --clips_per_video=6

The manifest's columns are `video,label` and optionally `start,end` (seconds) and
`media_id`. A video that cannot be read is left out and listed in `dataset.json`.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import io
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from absl import app, flags, logging
from PIL import Image

from spl_tf import clips
from spl_tf.labels import parse_class_names
from tfrecords_tools import planning, video
from tfrecords_tools.manifest import ManifestRow, read_manifest


@dataclasses.dataclass(frozen=True)
class ConversionSettings:
    """How videos become clips. Checked on creation.

    Attributes:
        label_kind: "weak" or "clean", see `DatasetInfo`.
        clips_per_video: Clips to cut from an untrimmed video; 0 takes it whole.
        clip_seconds: Length of such a clip.
        sampling: Where they start: "uniform" or "random".
        seed: Of random starts and of the order of clips in the shards.
        short_side: Length of the frames' shorter side; 0 keeps their size.
        fps: Frames per second to keep; 0 keeps the source's rate.
        jpeg_quality: 1 to 100.
        num_shards: Shards to write (fewer when there are fewer clips).
        num_workers: Processes; 0 for one per core.
        max_skipped_fraction: A larger share of videos that were left out, or lost
            clips, is an error.
    """

    label_kind: str = "weak"
    clips_per_video: int = 0
    clip_seconds: float = 10.0
    sampling: str = "uniform"
    seed: int = 0
    short_side: int = 256
    fps: float = 0.0
    jpeg_quality: int = 95
    num_shards: int = 16
    num_workers: int = 0
    max_skipped_fraction: float = 0.1

    def __post_init__(self):
        for name, valid, expected in (
            ("label_kind", self.label_kind in ("weak", "clean"), "weak or clean"),
            ("clips_per_video", self.clips_per_video >= 0, "0 or more"),
            ("clip_seconds", self.clip_seconds > 0, "more than 0"),
            ("sampling", self.sampling in ("uniform", "random"), "uniform or random"),
            ("short_side", self.short_side >= 0, "0 or more"),
            ("fps", self.fps >= 0, "0 or more"),
            ("jpeg_quality", 1 <= self.jpeg_quality <= 100, "1 to 100"),
            ("num_shards", self.num_shards >= 1, "1 or more"),
            ("num_workers", self.num_workers >= 0, "0 or more"),
            ("max_skipped_fraction", 0 <= self.max_skipped_fraction <= 1, "0 to 1"),
        ):
            if not valid:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, expected {expected}"
                )


class TooManySkippedError(RuntimeError):
    """The dataset is written, but more was left out than the settings allow."""


def convert_videos(
    manifest: str,
    classes: str,
    output_dir: str,
    video_root: str = "",
    settings: ConversionSettings | None = None,
    overwrite: bool = False,
) -> clips.DatasetInfo:
    """Converts a manifest of videos into a dataset folder.

    Args:
        manifest: CSV, see `tfrecords_tools.manifest`.
        classes: Classes file, one name a line.
        output_dir: Where the dataset goes.
        video_root: Folder that the manifest's paths are relative to; the manifest's
            own folder when empty.
        settings: See `ConversionSettings`.
        overwrite: Replace a dataset that is already there.

    Returns:
        The dataset's description, as written to `dataset.json`.

    Raises:
        ValueError: Manifest, classes or settings are wrong (before any work).
        FileExistsError: `output_dir` already holds a dataset.
        TooManySkippedError: After writing all that could be read.
    """
    settings = settings or ConversionSettings()
    with tf.io.gfile.GFile(classes, "rb") as file:
        class_names = parse_class_names(file.read(), classes)
    rows = read_manifest(manifest, class_names)
    video_root = video_root or os.path.dirname(os.path.abspath(manifest))
    _make_room(output_dir, overwrite)

    context = multiprocessing.get_context("spawn")  # forking after TensorFlow hangs
    workers = settings.num_workers or os.cpu_count() or 1
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        plan, skipped = _plan(pool, rows, video_root, settings)
        if not plan:
            raise ValueError(
                f"none of the {len(rows)} videos of {manifest} can be read; the first: "
                f"{skipped[0]['video']}: {skipped[0]['reason']}"
            )
        num_shards = min(settings.num_shards, len(plan))
        shards = planning.assign_to_shards(plan, num_shards, settings.seed)
        write = functools.partial(
            _write_shard, output_dir, num_shards, video_root, class_names, settings
        )
        summaries = []
        with tqdm.tqdm(total=len(plan), unit="clip", desc="converting") as progress:
            for summary, left_out in _in_order(pool, write, list(enumerate(shards))):
                summaries.append(summary)
                skipped.extend(left_out)
                progress.update(len(summary.lengths) + len(left_out))

    info = clips.finish_dataset(
        output_dir,
        summaries,
        class_names,
        settings.label_kind,
        source={
            "tool": "convert_videos",
            "manifest": os.path.basename(manifest),
            "settings": _result_settings(settings),
        },
        skipped=skipped,
    )
    num_videos = len({row.video for row in rows})
    _check_skipped(info, num_videos, settings.max_skipped_fraction)
    return info


def _result_settings(settings: ConversionSettings) -> dict[str, Any]:
    """The settings that decide what is written (not how fast)."""
    values = dataclasses.asdict(settings)
    del values["num_workers"]
    return values


def _make_room(output_dir: str, overwrite: bool) -> None:
    tf.io.gfile.makedirs(output_dir)
    info = os.path.join(output_dir, "dataset.json")
    if tf.io.gfile.exists(info):
        if not overwrite:
            raise FileExistsError(
                f"{output_dir} already holds a dataset; give another --output_dir, or "
                "--overwrite to replace it"
            )
        tf.io.gfile.remove(info)  # first: from here on the folder is no dataset
    for old in tf.io.gfile.glob(os.path.join(output_dir, "clips.tfrecord-*")):
        tf.io.gfile.remove(old)


def _plan(pool, rows, video_root, settings):
    """Probes every video; returns the clips to cut and the videos left out."""
    plan, skipped = [], []
    probe = functools.partial(_probe, video_root)
    results = tqdm.tqdm(
        pool.map(probe, rows, chunksize=16),
        total=len(rows),
        unit="video",
        desc="probing",
    )
    for row, (duration, fault) in zip(rows, results, strict=True):
        if fault:
            skipped.append({"video": row.video, "clip": "", "reason": fault})
            logging.warning("left out %s: %s", row.video, fault)
            continue
        plan += planning.cut_clips(
            row,
            duration,
            settings.clips_per_video,
            settings.clip_seconds,
            settings.sampling,
            settings.seed,
        )
    return plan, skipped


def _probe(video_root: str, row: ManifestRow) -> tuple[int, str]:
    try:
        return video.probe(os.path.join(video_root, row.video)).duration, ""
    except video.UnreadableVideoError as error:
        return 0, str(error)


def _in_order(pool, function: Callable, arguments: list) -> Iterator:
    """Runs all in the pool and yields the results in order, as they come."""
    futures = [pool.submit(function, *argument) for argument in arguments]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _write_shard(
    output_dir: str,
    num_shards: int,
    video_root: str,
    class_names: list[str],
    settings: ConversionSettings,
    shard: int,
    plan: list[planning.ClipPlan],
) -> tuple[clips.ShardSummary, list[dict[str, str]]]:
    """Cuts the clips of one shard and writes it; the only work of a worker."""
    skipped: list[dict[str, str]] = []

    def records() -> Iterable[tuple[bytes, int, int, int]]:
        for clip_plan in plan:
            try:
                clip = _cut(clip_plan, video_root, class_names, settings)
            except video.UnreadableVideoError as error:
                skipped.append(
                    {
                        "video": clip_plan.video,
                        "clip": clip_plan.id,
                        "reason": str(error),
                    }
                )
                logging.warning("left out %s: %s", clip_plan.id, error)
                continue
            yield clips.encode_clip(clip), len(clip.frames), clip.label_index, -1

    summary = clips.write_shard(
        output_dir, clips.shard_name(shard, num_shards), records()
    )
    return summary, skipped


def _cut(plan, video_root, class_names, settings) -> clips.Clip:
    path = os.path.join(video_root, plan.video)
    jpegs, timestamps = [], []
    height = width = 0
    for frame in video.read_frames(
        path, plan.start, plan.end, settings.short_side, settings.fps or None
    ):
        height, width = frame.image.shape[:2]
        jpegs.append(_jpeg(frame.image, settings.jpeg_quality))
        timestamps.append(frame.timestamp)
    if not jpegs:
        raise video.UnreadableVideoError(
            f"no frame between {plan.start} and {plan.end} microseconds"
        )
    return clips.Clip(
        id=plan.id,
        frames=jpegs,
        timestamps=timestamps,
        frame_rate=settings.fps or video.probe(path).frame_rate,
        height=height,
        width=width,
        label_index=plan.label,
        label_name=class_names[plan.label],
        media_id=plan.media_id,
        data_path=plan.video,
        start=plan.start,
        end=plan.end,
    )


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encodes uint8 [H, W, 3] RGB."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _check_skipped(info: clips.DatasetInfo, num_videos: int, limit: float) -> None:
    if not info.skipped:
        return
    faulty = {entry["video"] for entry in info.skipped}
    fraction = len(faulty) / num_videos
    first = info.skipped[0]
    message = (
        f"of {num_videos} videos, {len(faulty)} ({fraction:.1%}) were left out or lost "
        f"clips, the first: {first['clip'] or first['video']}: {first['reason']}; all "
        "are listed in dataset.json"
    )
    if fraction > limit:
        raise TooManySkippedError(f"{message}. The limit is {limit:.1%}")
    logging.warning("%s", message)


def _define_flags() -> None:
    flags.DEFINE_string("manifest", None, "CSV of videos and labels.", required=True)
    flags.DEFINE_string("classes", None, "File of class names.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    flags.DEFINE_string("video_root", "", "Folder the manifest's paths start from.")
    flags.DEFINE_bool("overwrite", False, "Replace a dataset that is already there.")
    define = {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
    }
    for field in dataclasses.fields(ConversionSettings):
        help_text = f"See ConversionSettings.{field.name}."
        define[type(field.default)](field.name, field.default, help_text)


def main(argv: list[str]) -> None:
    """Reads the flags, converts, prints what was written."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    values = flags.FLAGS
    settings = ConversionSettings(
        **{
            field.name: getattr(values, field.name)
            for field in dataclasses.fields(ConversionSettings)
        }
    )
    info = convert_videos(
        values.manifest,
        values.classes,
        values.output_dir,
        values.video_root,
        settings,
        values.overwrite,
    )
    print(
        f"{values.output_dir}: {info.num_clips} clips in {len(info.shards)} shards, "
        f"{len(info.skipped)} left out"
    )


if __name__ == "__main__":
    _define_flags()
    app.run(main)
