"""Cuts the videos of a manifest into a dataset of clip records.

python -m tfrecords_tools.convert_videos --manifest=web.csv --classes=classes.txt \
    --video_root=videos --output_dir=clips/web --label_kind=weak --clips_per_video=6

The manifest's columns are `video,label` and optionally `start,end` (seconds),
`media_id`, `split` and `more_labels` (with `|` between). A video is a file, or a folder
of its frames, of which `--frames_fps` says the rate: images in the natural order of
their names. One that cannot be read is left out and listed in `dataset.json`. A run
that was stopped goes on with the same command.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator

import numpy as np
from absl import flags

from spl_tf import binary, clips
from spl_tf.cores import usable_cores
from tfrecords_tools.conversion import conversion, cutting, file_conversion, options
from tfrecords_tools.conversion.cutting import ClipPlan
from tfrecords_tools.conversion.manifest import (
    ManifestRow,
    folder_of,
    path_of,
    read_manifest,
    root_of,
)
from tfrecords_tools.conversion.plan import ConversionPlan
from tfrecords_tools.conversion.shard_job import MakeClip, SkippedClipError
from tfrecords_tools.decoding import frame_folder
from tfrecords_tools.decoding.decoder import Decoder
from tfrecords_tools.decoding.scaling import Scale
from tfrecords_tools.decoding.video import MICROSECONDS, UnreadableVideoError

_SIZE = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}", re.ASCII)
_SAMPLED_CLIPS = 8  # to estimate how large the dataset will be


@dataclasses.dataclass(frozen=True)
class ConversionSettings(conversion.FileSettings):
    """How videos become clips: all that decides what is written."""

    clips_per_video: int = options.option(
        0,
        "Clips to cut from a video without start and end; 0 takes it whole, "
        "or all of it in tiles.",
    )
    clip_seconds: float = options.option(10.0, "Length of such a clip.")
    sampling: str = options.option(
        "uniform",
        "Where they start: uniform, random, or tiles: one clip behind the other.",
    )
    fps: float = options.option(
        0.0, "Frames per second to keep; 0 keeps the source's rate."
    )
    frame_size: str = options.option(
        "",
        "Instead of --short_side, HEIGHTxWIDTH of every frame, whatever its aspect; "
        "IG-65M, section 3.3, has 128x171.",
    )
    frames_fps: float = options.option(
        0.0, "Frames per second of videos that are folders of frames."
    )
    video_seconds_limit: float = options.option(
        600.0, "Time that reading one clip may take; a slower one is left out."
    )

    def __post_init__(self):
        super().__post_init__()
        options.check(
            self,
            ("clips_per_video", self.clips_per_video >= 0, "0 or more"),
            ("clip_seconds", 1e-3 <= self.clip_seconds < 1e6, "0.001 to 1,000,000"),
            (
                "sampling",
                self.sampling in cutting.SAMPLINGS,
                "uniform, random or tiles",
            ),
            (
                "clips_per_video",
                self.sampling != "tiles" or self.clips_per_video == 0,
                "0 with sampling 'tiles', which takes all clips of a video",
            ),
            ("fps", self.fps >= 0, "0 or more"),
            ("frames_fps", self.frames_fps >= 0, "0 or more"),
            (
                "frame_size",
                not self.frame_size or bool(_SIZE.fullmatch(self.frame_size)),
                "HEIGHTxWIDTH in pixels, 1 or more, e.g. 128x171",
            ),
            (
                "short_side",
                not self.frame_size or self.short_side == type(self).short_side,
                f"the default with frame_size {self.frame_size}, which takes its place",
            ),
            ("video_seconds_limit", self.video_seconds_limit > 0, "more than 0"),
        )

    @property
    def scale(self) -> Scale:
        """What frames are scaled to."""
        if not self.frame_size:
            return self.short_side
        return tuple(map(int, self.frame_size.split("x")))


def convert_videos(
    manifest: str,
    classes: str,
    output_dir: str,
    video_root: str = "",
    settings: ConversionSettings | None = None,
    run: conversion.RunOptions | None = None,
) -> clips.DatasetInfo:
    """Converts a manifest of videos into a dataset folder, or continues to.

    Args:
        manifest: CSV file of the videos, see `tfrecords_tools.conversion.manifest`.
        classes: Classes file, one name a line.
        output_dir: Folder of the dataset; made if it is not there.
        video_root: Folder that the manifest's paths are relative to; the manifest's
            own folder when empty.
        settings: How clips are cut, chosen and written; None for the defaults.
        run: Runner, processes and what may be left out; None for the defaults.

    Returns:
        The dataset's description, as written to `dataset.json`.

    Raises:
        ValueError: Manifest, classes or settings are wrong (before any work), no video
            gives a clip, or the folder holds something else.
        TooManySkippedError: More was left out than allowed; all that could be read is
            written.
        StorageFullError, WorkerDiedError: Conversion cannot go on; the same call again
            continues.
    """
    settings = settings or ConversionSettings()
    run = run or conversion.RunOptions()
    class_names = file_conversion.read_classes(
        classes, manifest, output_dir, video_root, settings.exclude_ids
    )
    rows = read_manifest(manifest, class_names, settings.split, classes)
    video_root = root_of(video_root) if video_root else folder_of(manifest)
    if not settings.frames_fps:
        _check_no_folder(rows, video_root)
    inputs = conversion.inputs_of(
        "convert_videos",
        settings,
        manifest=conversion.digest_of_file(manifest),
        classes=conversion.digest_of_file(classes),
        video_root=video_root,
    )
    files = file_conversion.FileConversion(
        output_dir, class_names, rows, video_root, settings, run, inputs
    )
    source = VideoSource(
        video_root,
        tuple(class_names),
        settings.scale,
        settings.fps,
        settings.jpeg_quality,
        settings.video_seconds_limit,
        settings.frames_fps,
        threads=max(1, usable_cores() // run.workers),
    )
    return files.convert(source, lambda: _make_plan(files))


@dataclasses.dataclass(frozen=True)
class VideoSource:
    """Makes clips from video files; a `ClipSource`.

    Attributes:
        root: Folder that the plan's paths start from.
        class_names: Names of the classes, in index order.
        scale: What frames are scaled to.
        fps: Frames per second to keep; 0 keeps the source's rate.
        jpeg_quality: Quality of the frames, 1 to 100.
        time_limit: Seconds that one clip may take.
        frames_fps: Frames per second of folders of frames.
        threads: Threads that decode one clip.
    """

    root: str
    class_names: tuple[str, ...]
    scale: Scale
    fps: float
    jpeg_quality: int
    time_limit: float
    frames_fps: float = 0.0
    threads: int = 1

    @contextlib.contextmanager
    def open(self) -> Iterator[MakeClip]:
        """Starts a decoder, which makes clips until the block ends."""
        with Decoder(self.time_limit, self.frames_fps) as decoder:
            yield lambda plan: self._clip(decoder, plan)

    def _clip(self, decoder: Decoder, plan: ClipPlan) -> clips.Clip:
        try:
            frames = decoder.clip(
                path_of(self.root, plan.video),
                plan.start,
                plan.end,
                self.scale,
                self.fps,
                self.jpeg_quality,
                self.threads,
            )
        except UnreadableVideoError as error:
            raise SkippedClipError(error.kind, str(error)) from error
        if not frames:
            raise SkippedClipError(
                "no frames",
                f"no frame decodes from {plan.start / MICROSECONDS:.2f} s to "
                f"{plan.end / MICROSECONDS:.2f} s",
            )
        return clips.Clip(
            id=plan.id,
            frames=[frame.jpeg for frame in frames],
            timestamps=[frame.timestamp for frame in frames],
            frame_rate=plan.frame_rate,
            height=frames[0].height,
            width=frames[0].width,
            label_index=plan.label,
            label_name=self.class_names[plan.label],
            more_labels=[
                (label, self.class_names[label]) for label in plan.more_labels
            ],
            media_id=plan.media_id,
            data_path=plan.video,
            start=plan.start,
            end=plan.end,
        )


def _check_no_folder(rows: Iterable[ManifestRow], root: str) -> None:
    """Raises for the first video without a file's ending that is a folder of frames."""
    for row in rows:
        path = path_of(root, row.video)
        if not os.path.splitext(path)[1] and frame_folder.is_folder(path):
            raise ValueError(
                f"line {row.line}: {row.video} is a folder, expected a video file; of "
                "folders of frames, --frames_fps must say how many frames a second has"
            )


def _make_plan(files: file_conversion.FileConversion) -> ConversionPlan:
    settings, probes = files.settings, {}

    def find_faults(videos: list[str]) -> dict[str, tuple[str, str]]:
        how = settings.video_seconds_limit, settings.frames_fps
        probes.update(files.examine("probe", videos, *how))
        return {
            video: (answer["kind"], answer["reason"])
            for video, answer in probes.items()
            if "reason" in answer
        }

    def cut(row: ManifestRow) -> list[ClipPlan]:
        probe = probes[row.video]["result"]
        return cutting.cut_clips(
            row,
            probe["duration"],
            settings.clips_per_video,
            settings.clip_seconds,
            settings.sampling,
            settings.seed,
            settings.fps or probe["frame_rate"],
            probe["start"],
        )

    return files.plan(
        find_faults,
        cut,
        lambda chosen: _estimate_bytes(chosen, files.root, settings),
        settings.video_seconds_limit,
    )


def _estimate_bytes(
    cut: list[ClipPlan], root: str, settings: ConversionSettings
) -> float:
    """Size of all clips, judging by the first second of some of them.

    Clips that cannot be decoded do not count; they turn up again when they are
    written.
    """
    order = np.random.default_rng(settings.seed).permutation(len(cut))
    rates = []
    with Decoder(settings.video_seconds_limit, settings.frames_fps) as decoder:
        for clip in (cut[i] for i in order[:_SAMPLED_CLIPS]):
            end = min(clip.end, clip.start + MICROSECONDS)
            with contextlib.suppress(UnreadableVideoError):
                frames = decoder.clip(
                    path_of(root, clip.video),
                    clip.start,
                    end,
                    settings.scale,
                    settings.fps,
                    settings.jpeg_quality,
                )
                size = sum(len(frame.jpeg) for frame in frames)
                rates.append(size / (end - clip.start))
    return sum(clip.end - clip.start for clip in cut) * np.mean(rates or [0])


def _define_flags() -> None:
    flags.DEFINE_string("manifest", None, "CSV of videos and labels.", required=True)
    flags.DEFINE_string("classes", None, "File of class names.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    flags.DEFINE_string(
        "video_root", "", "Folder the manifest's paths start from; its own if empty."
    )
    options.define_flags(ConversionSettings)
    options.define_flags(conversion.RunOptions)


def main(argv: list[str]) -> None:
    """Reads the flags, converts, prints what was written."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    info = convert_videos(
        values.manifest,
        values.classes,
        values.output_dir,
        values.video_root,
        options.from_flags(ConversionSettings),
        options.from_flags(conversion.RunOptions),
    )
    print(conversion.result_line(values.output_dir, info))


if __name__ == "__main__":
    _define_flags()
    binary.run(main, conversion.FAILURES)
