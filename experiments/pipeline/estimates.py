"""How long the stages that are to run will take, and how much disk.

Amounts are counted from configs, manifests and datasets. Speeds are those of stages of
the same kind that have run in this workdir; where none has, a guess is made from the
network's multiply-adds and from one clip of a video that the manifest names, and marked
as one.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import os
from collections.abc import Sequence
from typing import Any

from ml_collections import config_dict

from experiments.pipeline.example_clip import example_clip
from experiments.pipeline.fingerprints import DONE, Record, load_record
from experiments.pipeline.ledger import FAILED, NOT_RUN, Ledger
from experiments.pipeline.stages import Stage, needs, self_and_parents
from experiments.synthetic import render
from spl_tf import models
from spl_tf.clips import DatasetInfo
from spl_tf.clips.frame_shape import height_and_width
from spl_tf.runs import run_folder
from spl_tf.training import resolve_steps
from tfrecords_tools.conversion.manifest import path_of, read_text
from tfrecords_tools.convert_videos import ConversionSettings

# Guesses, for one core where nothing else is said.
_SECONDS_OF_START = 3.0  # of each stage
_MULTIPLY_ADDS_PER_SECOND = {"CPU": 1.5e10, "GPU": 5e12}
_DRAWN_PIXELS_PER_SECOND = 3e6  # rendered, with coding
_CONVERTED_PIXELS_PER_SECOND = 2e7
_SECONDS_PER_CLIP = 0.004  # of a conversion, however small the clip
_VIDEO_BYTES_PER_PIXEL = 0.3
_JPEG_BYTES_PER_PIXEL = 0.5
# Where no video can be looked at.
_FRAMES_PER_SECOND = 25.0
_ASPECT = 16 / 9
_SHORT_SIDE = 256
_SMALL = 300_000  # bytes of a stage that writes tables and pictures
_UNITS = {
    "render": "frame",
    "convert": "clip",
    "train": "step",
    "predict": "clip",
    "evaluate": "clip",
}


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What one stage will take.

    Attributes:
        count: How much it has to do: frames, clips or steps, see `_UNITS`.
        seconds: Seconds that this takes.
        size: Bytes that it writes.
        is_measured: Whether the speed was measured in this workdir.
    """

    count: int
    seconds: float
    size: float
    is_measured: bool


def describe(ledger: Ledger, jobs: int, cores: int) -> str:
    """A table of the stages that would run, with time and disk.

    Args:
        ledger: All stages, without outcomes yet; gets those of what would not run.
        jobs: How many stages run at a time.
        cores: How many cores the machine has.
    """
    reasons = _reasons(ledger)
    estimator = _Estimator(ledger, max(1, cores // jobs))
    chosen = [stage for stage in ledger.stages if stage.name in reasons]
    found = {stage.name: estimator.of(stage) for stage in chosen}
    table = [("stage", "why", "amount", "time", "disk")]
    for stage in chosen:
        estimate = found[stage.name]
        unit = _UNITS.get(stage.action)
        table.append(
            (
                stage.name,
                reasons[stage.name],
                f"{estimate.count:,} {unit}s" if unit else "",
                ("" if estimate.is_measured else "~ ") + _duration(estimate.seconds),
                _size(estimate.size),
            )
        )
    lines = _layout(table) if chosen else []
    lines += _blocked(ledger)
    seconds = _makespan(ledger.stages, found, jobs)
    size = sum(estimate.size for estimate in found.values())
    lines.append(
        f"{len(chosen)} of {len(ledger.stages)} stages would run: about "
        f"{_duration(seconds)} with --jobs={jobs}, {_size(size)}"
    )
    guessed = sum(not estimate.is_measured for estimate in found.values())
    if chosen:
        lines.append(
            f"{len(chosen) - guessed} times are from speeds measured in "
            f"{ledger.workdir}"
            + (f", {guessed} (~) are guesses, right within a few times" * bool(guessed))
        )
    return "\n".join(lines)


def _reasons(ledger: Ledger) -> dict[str, str]:
    """Why each stage would run; of one that needs such a stage, that is all we know."""
    reasons: dict[str, str] = {}
    needed = needs(ledger.stages)
    for stage in ledger.stages:
        if stage.is_last:
            if stage.name in ledger.chosen and reasons:
                reasons[stage.name] = "after all others"
            continue
        if ledger.block(stage):
            continue
        before = [name for name in needed[stage.name] if name in reasons]
        if before and stage.name in ledger.chosen:
            reasons[stage.name] = f"after {', '.join(before)}"
        elif not before and all(n in ledger.outcomes for n in needed[stage.name]):
            verdict = ledger.decide(stage)
            if verdict is not None:
                reasons[stage.name] = verdict.reason
    return reasons


def _blocked(ledger: Ledger) -> list[str]:
    """Lines about chosen stages that cannot run."""
    return [
        f"{name} cannot run: {outcome.reason}"
        for name, outcome in ledger.outcomes.items()
        if outcome.state in (FAILED, NOT_RUN) and name in ledger.chosen
    ]


def _makespan(stages: Sequence[Stage], found: dict[str, Estimate], jobs: int) -> float:
    """The time of all stages: that of the longest chain, or of all shared out."""
    needed, ends = needs(stages), {}
    for stage in stages:
        start = max((ends[name] for name in needed[stage.name]), default=0.0)
        own = found[stage.name].seconds if stage.name in found else 0.0
        ends[stage.name] = start + own
    total = sum(estimate.seconds for estimate in found.values())
    return max(total / jobs, max(ends.values(), default=0.0))


class _Estimator:
    """Estimates amount, time and disk of single stages."""

    def __init__(self, ledger: Ledger, cores: int):
        self._ledger = ledger
        self._cores = cores
        self._makers = {stage.output: stage for stage in ledger.stages}
        self._records: dict[tuple, list[Record]] = {}
        for stage in ledger.stages:
            record = load_record(ledger.workdir, stage.name)
            if record and record.state == DONE and record.is_whole:
                self._records.setdefault(self._kind(stage), []).append(record)

    def of(self, stage: Stage) -> Estimate:
        count = self._count(stage)
        records = self._records.get(self._kind(stage), ())
        done = sum(record.facts["count"] for record in records)
        if done:
            share = count / done
            seconds = share * sum(record.seconds for record in records)
            size = share * sum(record.facts["bytes"] for record in records)
            return Estimate(count, seconds, size, True)
        seconds, size = self._guess(stage, count)
        return Estimate(count, seconds + _SECONDS_OF_START, size, False)

    def _kind(self, stage: Stage) -> tuple:
        """What stages of the same speed have in common."""
        if stage.action != "train":
            return (stage.action, str(stage.settings.get("protocol")))
        data = stage.settings["data"]
        size = height_and_width(data["crop_size"])
        shape = (data["num_frames"], size, _clips_per_step(stage.settings))
        return (stage.action, stage.settings["model"]["name"], *shape)

    def _count(self, stage: Stage) -> int:
        """How much a stage has to do."""
        read = stage.inputs
        if stage.action == "render":
            settings = stage.settings
            clips = sum(render.clips_of_splits(settings).values())
            return clips * settings["frames_per_segment"]
        if stage.action == "convert":
            return self._converted(stage)
        if stage.action == "train":
            return self._steps(stage)
        if stage.action in ("predict", "evaluate"):
            extra = read.get("train_dataset")
            clips = self._clips(read["dataset"].path)
            return clips + (self._clips(extra.path) if extra else 0)
        return 1

    def _steps(self, stage: Stage) -> int:
        schedule, data = stage.settings["schedule"], stage.settings["data"]
        size = _clips_per_step(stage.settings)
        if sources := data["sources"]:
            named = data["epoch_of"] or next(iter(sources))
            shares = {name: source["share"] for name, source in sources.items()}
            clips = self._clips(stage.inputs[f"data.sources.{named}.dataset"].path)
            clips = round(clips * sum(shares.values()) / shares[named])
        else:
            clips = self._clips(stage.inputs["train"].path)
        return sum(
            resolve_steps(part, schedule[part], clips, size)
            for part in ("warmup", "length")
        )

    def _clips(self, dataset: str) -> int:
        """Clips of a dataset, which may not be there yet."""
        try:
            return DatasetInfo.load(path_of(self._ledger.workdir, dataset)).num_clips
        except FileNotFoundError:
            maker = self._makers.get(dataset)
        if maker is None:
            return 0
        if "dataset" in maker.inputs:  # it writes each record again
            return self._clips(maker.inputs["dataset"].path)
        return self._converted(maker)

    def _converted(self, stage: Stage) -> int:
        """Clips that a conversion will give, if all videos can be read."""
        manifest, drawn = stage.inputs.get("manifest"), self._world(stage)
        if drawn is not None:
            split = os.path.basename(stage.output)
            return render.clips_of_splits(drawn)[split]
        if manifest is None:
            return 0  # images in folders, or TFDS: nobody has counted them
        settings = stage.settings["settings"]
        path = path_of(self._ledger.workdir, manifest.path)
        if self._maker(manifest.path) and not os.path.exists(path):
            return 0  # a stage before it will choose them
        return _manifest_clips(
            path,
            settings.get("split", ""),
            settings.get("clips_per_video", 0),
        )

    def _maker(self, path: str) -> Stage | None:
        """The stage that writes a file or folder; None for what is there already."""
        found = (self._makers.get(parent) for parent in self_and_parents(path))
        return next(filter(None, found), None)

    def _world(self, stage: Stage) -> dict[str, Any] | None:
        """The settings of the rendered world that a conversion reads, if it does."""
        read = stage.inputs.get("world")
        return read and self._makers[read.path].settings

    def _guess(self, stage: Stage, count: int) -> tuple[float, float]:
        """Seconds and bytes where nothing was measured."""
        settings = stage.settings
        if stage.action == "render":
            pixels = count * settings["frame_size"] ** 2
            seconds = pixels / _DRAWN_PIXELS_PER_SECOND / self._cores
            return seconds, pixels * _VIDEO_BYTES_PER_PIXEL
        if stage.action == "convert":
            pixels, size = self._clip(stage)
            seconds = pixels / _CONVERTED_PIXELS_PER_SECOND + _SECONDS_PER_CLIP
            processes = stage.options["processes"] or self._cores
            return count * seconds / processes, count * size
        if stage.action == "train":
            kept = stage.options["runtime"]["keep_checkpoints"]
            return self._guess_training(settings, count, kept)
        if stage.action in ("predict", "evaluate"):
            maker = self._maker(stage.inputs["checkpoint"].path)
            forward, _ = _network(_model_key(maker.settings))
            views = settings["num_clips"] * settings["num_crops"]
            size = _SMALL
            if stage.action == "predict":
                maker = self._makers.get(stage.inputs["dataset"].path)
                size = self.of(maker).size if maker else 0.0
            return count * views * forward / self._rate(), size
        return 0.0, _SMALL

    def _guess_training(
        self, settings, steps: int, checkpoints: int
    ) -> tuple[float, float]:
        forward, parameters = _network(_model_key(settings))
        clips = steps * _clips_per_step(settings)
        # Backward takes twice what forward takes. A checkpoint also has the momentum.
        size = 4 * parameters * (1 + 2 * checkpoints)
        return 3 * clips * forward / self._rate(), size

    def _rate(self) -> float:
        import tensorflow as tf

        gpus = len(tf.config.list_physical_devices("GPU"))
        if gpus:
            return gpus * _MULTIPLY_ADDS_PER_SECOND["GPU"]
        return self._cores * _MULTIPLY_ADDS_PER_SECOND["CPU"]

    def _clip(self, stage: Stage) -> tuple[float, float]:
        """Pixels of all frames of a converted clip, and bytes of their JPEGs."""
        settings, drawn = dict(stage.settings["settings"]), self._world(stage)
        if drawn is not None:
            pixels = drawn["frames_per_segment"] * drawn["frame_size"] ** 2
            return pixels, pixels * _JPEG_BYTES_PER_PIXEL
        side = settings.get("short_side", _SHORT_SIDE) or _SHORT_SIDE
        pixels = side**2 * _ASPECT
        if stage.settings["kind"] == "videos":
            settings.pop("exclude_ids", None)
            choices = ConversionSettings(**settings)
            path = path_of(self._ledger.workdir, stage.inputs["manifest"].path)
            root = stage.settings["root"]
            if "root" in stage.inputs:
                root = path_of(self._ledger.workdir, stage.inputs["root"].path)
            example = os.path.exists(path) and example_clip(path, root, choices)
            if example:
                return example
            pixels *= choices.clip_seconds * (choices.fps or _FRAMES_PER_SECOND)
        return pixels, pixels * _JPEG_BYTES_PER_PIXEL


def _clips_per_step(settings) -> int:
    """Clips of a step, on one device."""
    data = settings["data"]
    accumulated = data["batch_size"] * settings["optimizer"]["accumulation_steps"]
    return data["global_batch_size"] or accumulated


@functools.cache
def _manifest_clips(path: str, split: str, clips_per_video: int) -> int:
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""))
    return sum(
        1 if row.get("start") or row.get("end") else max(1, clips_per_video)
        for row in rows
        if not split or row.get("split") == split
    )


def _model_key(settings) -> str:
    """All that decides a network's size, as something to remember it by."""
    return json.dumps({key: settings[key] for key in ("model", "data", "optimizer")})


@functools.cache
def _network(key: str) -> tuple[int, int]:
    """Multiply-adds of a clip, and parameters, of a network with few classes."""
    config = config_dict.ConfigDict(json.loads(key))
    stages = models.summarize(run_folder.build_from_config(config, 2))
    return (
        sum(stage.multiply_adds for stage in stages),
        sum(stage.parameters for stage in stages),
    )


def _layout(table: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if place < 2 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"


def _size(size: float) -> str:
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:,.0f} {unit}"
    return f"{size / 1000:,.1f} TB"
