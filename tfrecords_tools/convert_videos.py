"""Cuts the videos of a manifest into a dataset of clip records.

python -m tfrecords_tools.convert_videos --manifest=web.csv --classes=classes.txt \
    --video_root=videos --output_dir=clips/web --label_kind=weak --clips_per_video=6

The manifest's columns are `video,label` and optionally `start,end` (seconds),
`media_id` and `split`. A video that cannot be read is left out and listed in
`dataset.json`. A run that was stopped goes on with the same command.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np
from absl import app, flags

from spl_tf import binary, clips
from spl_tf.clips.remote import usable_path
from spl_tf.cores import usable_cores
from spl_tf.labels import parse_class_names
from tfrecords_tools.conversion import (
    conversion,
    cutting,
    file_checks,
    options,
    source_files,
)
from tfrecords_tools.conversion.cutting import ClipPlan
from tfrecords_tools.conversion.manifest import (
    ManifestRow,
    folder_of,
    path_of,
    read_manifest,
    read_text,
    root_of,
)
from tfrecords_tools.conversion.plan import ConversionPlan
from tfrecords_tools.conversion.shard_job import (
    MakeClip,
    SkippedClipError,
    skipped_entry,
)
from tfrecords_tools.decoding.decoder import Decoder
from tfrecords_tools.decoding.video import MICROSECONDS, UnreadableVideoError

_SAMPLED_CLIPS = 8  # to estimate how large the dataset will be


@dataclasses.dataclass(frozen=True)
class ConversionSettings(conversion.FileSettings):
    """How videos become clips: all that decides what is written."""

    clips_per_video: int = options.option(
        0, "Clips to cut from a video without start and end; 0 takes it whole."
    )
    clip_seconds: float = options.option(10.0, "Length of such a clip.")
    sampling: str = options.option("uniform", "Where they start: uniform or random.")
    fps: float = options.option(
        0.0, "Frames per second to keep; 0 keeps the source's rate."
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
            ("sampling", self.sampling in ("uniform", "random"), "uniform or random"),
            ("fps", self.fps >= 0, "0 or more"),
            ("video_seconds_limit", self.video_seconds_limit > 0, "more than 0"),
        )


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
        manifest: CSV, see `tfrecords_tools.conversion.manifest`.
        classes: Classes file, one name a line.
        output_dir: Where the dataset goes.
        video_root: Folder that the manifest's paths are relative to; the manifest's
            own folder when empty.
        settings: What to write.
        run: How to run.

    Returns:
        The dataset's description, as written to `dataset.json`.

    Raises:
        ValueError: Manifest, classes or settings are wrong (before any work), no video
            gives a clip, or the folder holds something else.
        TooManySkippedError: After writing all that could be read.
        StorageFullError, WorkerDiedError: The same call again continues.
    """
    settings = settings or ConversionSettings()
    run = run or conversion.RunOptions()
    for path in (manifest, classes, output_dir, video_root, settings.exclude_ids):
        usable_path(path)
    class_names = parse_class_names(read_text(classes).encode(), classes)
    rows = read_manifest(manifest, class_names, settings.split, classes)
    video_root = root_of(video_root) if video_root else folder_of(manifest)
    inputs = {
        "tool": "convert_videos",
        "manifest": conversion.digest_of_file(manifest),
        "classes": conversion.digest_of_file(classes),
        "video_root": video_root,
        **dataclasses.asdict(settings),
    }
    if settings.exclude_ids:
        inputs["exclude_ids"] = conversion.digest_of_file(settings.exclude_ids)
    planner = _Planner(rows, video_root, output_dir, settings, inputs, run.workers)
    source = VideoSource(
        video_root,
        tuple(class_names),
        settings.short_side,
        settings.fps,
        settings.jpeg_quality,
        settings.video_seconds_limit,
        threads=max(1, usable_cores() // run.workers),
    )
    return conversion.convert(
        output_dir,
        inputs,
        planner.plan,
        source,
        class_names,
        settings.label_kind,
        run,
        lambda: source_files.stamps(video_root, (row.video for row in rows)),
    )


@dataclasses.dataclass(frozen=True)
class VideoSource:
    """Makes clips from video files; a `ClipSource`.

    Attributes:
        root: Folder that the plan's paths start from.
        class_names: In index order.
        short_side: See `ConversionSettings`, as the next two.
        fps: Frames per second.
        jpeg_quality: 1 to 100.
        time_limit: Seconds for one clip.
        threads: Decoding threads of one clip.
    """

    root: str
    class_names: tuple[str, ...]
    short_side: int
    fps: float
    jpeg_quality: int
    time_limit: float
    threads: int = 1

    @contextlib.contextmanager
    def open(self) -> Iterator[MakeClip]:
        """See `ClipSource`."""
        with Decoder(self.time_limit) as decoder:
            yield lambda plan: self._clip(decoder, plan)

    def _clip(self, decoder: Decoder, plan: ClipPlan) -> clips.Clip:
        try:
            frames = decoder.clip(
                path_of(self.root, plan.video),
                plan.start,
                plan.end,
                self.short_side,
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
            media_id=plan.media_id,
            data_path=plan.video,
            start=plan.start,
            end=plan.end,
        )


@dataclasses.dataclass(frozen=True)
class _Planner:
    """Decides which clips are cut and which shard each goes into."""

    rows: list[ManifestRow]
    root: str
    output_dir: str
    settings: ConversionSettings
    inputs: dict
    num_workers: int

    def plan(self) -> ConversionPlan:
        settings = self.settings
        rows, skipped = file_checks.split_excluded(self.rows, settings.exclude_ids)
        excluded = [entry["video"] for entry in skipped]
        probes = self._examine("probe", list(dict.fromkeys(r.video for r in rows)))
        for video, answer in probes.items():
            if "reason" in answer:
                entry = skipped_entry(video, "", answer["kind"], answer["reason"])
                skipped.append(entry)
        rows = [row for row in rows if "result" in probes[row.video]]
        if settings.drop_duplicates:
            rows, repeated = file_checks.split_duplicates(
                rows,
                excluded,
                self.root,
                lambda videos: self._examine("digest", videos),
            )
            skipped += repeated
        cut = []
        for row in rows:
            probe = probes[row.video]["result"]
            cut += cutting.cut_clips(
                row,
                probe["duration"],
                settings.clips_per_video,
                settings.clip_seconds,
                settings.sampling,
                settings.seed,
                settings.fps or probe["frame_rate"],
                probe["start"],
            )
        cut = cutting.limit_per_class(
            cut, settings.max_clips_per_class, settings.balance_classes, settings.seed
        )
        return ConversionPlan(
            self.inputs,
            cutting.assign_to_shards(
                cut,
                settings.shards_for(len(cut), lambda: self._estimate_bytes(cut)),
                settings.seed,
            ),
            skipped,
            num_files=len({row.video for row in self.rows}),
        )

    def _examine(self, operation: str, videos: list[str]) -> dict[str, dict]:
        return file_checks.examine(
            operation,
            self.root,
            videos,
            self.output_dir,
            self.num_workers,
            self.settings.video_seconds_limit,
        )

    def _estimate_bytes(self, cut: list[ClipPlan]) -> float:
        """Size of all clips, judging by the first second of some of them.

        Clips that cannot be decoded do not count; they turn up again when they are
        written.
        """
        settings = self.settings
        order = np.random.default_rng(settings.seed).permutation(len(cut))
        rates = []
        with Decoder(settings.video_seconds_limit) as decoder:
            for clip in (cut[i] for i in order[:_SAMPLED_CLIPS]):
                end = min(clip.end, clip.start + MICROSECONDS)
                with contextlib.suppress(UnreadableVideoError):
                    frames = decoder.clip(
                        path_of(self.root, clip.video),
                        clip.start,
                        end,
                        settings.short_side,
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
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
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
