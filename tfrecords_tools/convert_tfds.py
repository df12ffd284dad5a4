"""Makes a dataset of clips from a TensorFlow Datasets (TFDS) split.

python -m tfrecords_tools.convert_tfds --name=ucf101 --split=train \
    --output_dir=clips/ucf101_train --label_kind=clean

The dataset needs one video or image feature and one class label; where it has several,
`--frames_feature` and `--label_feature` choose. Class names and their order are those
of TFDS. A run that was stopped goes on with the same command.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import flags
from PIL import Image

from spl_tf import binary, clips
from spl_tf.clips.remote import usable_path
from tfrecords_tools.conversion import conversion, options
from tfrecords_tools.conversion.cutting import ClipPlan
from tfrecords_tools.conversion.plan import ConversionPlan
from tfrecords_tools.conversion.shard_job import MakeClip, SkippedClipError
from tfrecords_tools.decoding import images
from tfrecords_tools.decoding.video import MICROSECONDS

_SAMPLED_EXAMPLES = 8  # to estimate how large the dataset will be


@dataclasses.dataclass(frozen=True)
class TfdsSettings(conversion.ClipSettings):
    """How examples become clips: all that decides what is written."""

    frames_feature: str = options.option("", "Video or image feature; '' if only one.")
    label_feature: str = options.option("", "Class label feature; '' if only one.")
    fps: float = options.option(
        25.0, "Frames per second of the videos, which TFDS does not tell."
    )

    def __post_init__(self):
        super().__post_init__()
        options.check(self, ("fps", self.fps > 0, "more than 0"))


def convert_tfds(
    name: str,
    split: str,
    output_dir: str,
    data_dir: str = "",
    settings: TfdsSettings | None = None,
    run: conversion.RunOptions | None = None,
) -> clips.DatasetInfo:
    """Converts a split that TFDS has prepared into a dataset folder, or continues to.

    Each shard takes consecutive examples; TFDS has mixed them when it prepared them.

    Args:
        name: TFDS name, with config and version if wanted.
        split: TFDS split, also a part such as `train[:10%]`.
        output_dir: Folder of the dataset; made if it is not there.
        data_dir: Folder in which TFDS has prepared it; TFDS' default when empty.
        settings: How clips are chosen and written; None for the defaults.
        run: Runner, processes and what may be left out; None for the defaults.

    Returns:
        The dataset's description, as written to `dataset.json`.

    Raises:
        ValueError: The dataset has no such split or not the features that are needed.
        TooManySkippedError: More was left out than allowed; all that could be read is
            written.
        StorageFullError, WorkerDiedError: Conversion cannot go on; the same call again
            continues.
    """
    settings = settings or TfdsSettings()
    run = run or conversion.RunOptions()
    for path in (output_dir, data_dir):
        usable_path(path)
    builder = tfds.builder(name, data_dir=data_dir or None)
    frames_feature, label_feature = _features(builder.info, settings)
    class_names = builder.info.features[label_feature].names
    source = TfdsSource(
        name=name,
        split=split,
        data_dir=data_dir,
        frames_feature=frames_feature,
        label_feature=label_feature,
        class_names=tuple(class_names),
        settings=settings,
    )
    inputs = conversion.inputs_of(
        "convert_tfds", settings, name=builder.info.full_name, split=split
    )
    return conversion.convert(
        output_dir,
        inputs,
        lambda: _make_plan(builder, source, inputs),
        source,
        class_names,
        settings.label_kind,
        run,
    )


def _features(info, settings: TfdsSettings) -> tuple[str, str]:
    """Names of the features that hold the frames and the label."""

    def choose(flag: str, kinds: tuple[type, ...], what: str) -> str:
        found = [n for n, f in info.features.items() if isinstance(f, kinds)]
        wanted = getattr(settings, flag)
        if wanted in found or (not wanted and len(found) == 1):
            return wanted or found[0]
        raise ValueError(
            f"{info.name} has {len(found)} {what} features: {found}"
            + (f"; {wanted!r} is none of them" if wanted else "")
            + f"; choose with --{flag}. All features: {list(info.features)}"
        )

    frames_kinds = (tfds.features.Video, tfds.features.Image)
    return (
        choose("frames_feature", frames_kinds, "video or image"),
        choose("label_feature", (tfds.features.ClassLabel,), "class label"),
    )


def _make_plan(builder, source: TfdsSource, inputs) -> ConversionPlan:
    num_examples = _count(builder, source.split)
    plans = [source.plan(position) for position in range(num_examples)]

    def estimate_bytes() -> float:
        with source.open() as make:
            sampled = [make(plan) for plan in plans[:_SAMPLED_EXAMPLES]]
        return num_examples * np.mean([sum(map(len, c.frames)) for c in sampled])

    num_shards = source.settings.shards_for(num_examples, estimate_bytes)
    shards = [
        [plans[i] for i in positions]
        for positions in np.array_split(np.arange(num_examples), num_shards or 1)
    ]
    return ConversionPlan(inputs, shards, [], num_examples)


def _count(builder, split: str) -> int:
    try:
        dataset = builder.as_dataset(split=split)
    except (AssertionError, KeyError) as error:  # not prepared; no such split
        raise ValueError(
            f"{builder.info.full_name} has no split {split!r} in {builder.data_dir}; "
            f"prepare it first with `tfds build {builder.name}`, and see its splits "
            f"there: {error}"
        ) from error
    known = int(dataset.cardinality())
    return known if known >= 0 else sum(1 for _ in dataset)


@dataclasses.dataclass(frozen=True)
class TfdsSource:
    """Makes clips from TFDS examples; a `ClipSource`.

    Attributes:
        name: TFDS name, with config and version if wanted.
        split: TFDS split, or a part of one.
        data_dir: Folder in which TFDS has prepared it; TFDS' default when empty.
        frames_feature: Name of the video or image feature.
        label_feature: Name of the label feature.
        class_names: Names of the classes, in index order.
        settings: How clips are chosen and written.
    """

    name: str
    split: str
    data_dir: str
    frames_feature: str
    label_feature: str
    class_names: tuple[str, ...]
    settings: TfdsSettings

    def plan(self, position: int) -> ClipPlan:
        """The plan of the example at a position of the split.

        Its label is not known before it is read.
        """
        return ClipPlan(
            f"tfds/{self.name}/{self.split}#{position}",
            f"{self.name}/{self.split}#{position}",
            label=-1,
        )

    @contextlib.contextmanager
    def open(self) -> Iterator[MakeClip]:
        """Gives what makes clips, which must be wanted in order of positions."""
        examples: Iterator[dict[str, Any]] | None = None

        def make(plan: ClipPlan) -> clips.Clip:
            nonlocal examples
            if examples is None:
                examples = self._examples(int(plan.video.rpartition("#")[2]))
            return self._clip(plan, next(examples))

        yield make

    def _examples(self, start: int) -> Iterator[dict[str, Any]]:
        builder = tfds.builder(self.name, data_dir=self.data_dir or None)
        # One file after the other, so that positions are the same from any start.
        dataset = builder.as_dataset(
            split=self.split,
            shuffle_files=False,
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        return iter(tfds.as_numpy(dataset.skip(start).prefetch(2)))

    def _clip(self, plan: ClipPlan, example: dict[str, Any]) -> clips.Clip:
        label = int(example[self.label_feature])
        if label < 0:
            raise SkippedClipError("no label", "the example has no label")
        pixels = np.asarray(example[self.frames_feature])
        is_video = pixels.ndim == 4
        frames = pixels if is_video else pixels[None]
        if not len(frames):
            raise SkippedClipError("no frames", "the example has no frames")
        encoded = [self._jpeg(frame) for frame in frames]
        times = [
            round(t * MICROSECONDS / self.settings.fps) for t in range(len(frames))
        ]
        return clips.Clip(
            id=plan.id,
            frames=[jpeg for jpeg, _, _ in encoded],
            timestamps=times,
            frame_rate=self.settings.fps if is_video else 0.0,
            height=encoded[0][1],
            width=encoded[0][2],
            label_index=label,
            label_name=self.class_names[label],
            media_id=plan.media_id,
            data_path=plan.video,
            start=0,
            end=round(len(frames) * MICROSECONDS / self.settings.fps)
            if is_video
            else 0,
        )

    def _jpeg(self, frame: np.ndarray) -> tuple[bytes, int, int]:
        if frame.dtype == np.uint16:
            frame = images.to_8_bits(frame)
        if frame.dtype != np.uint8:
            raise SkippedClipError(
                "unreadable",
                f"its pixels are {frame.dtype}, expected uint8 or uint16: nothing says "
                "which value is white",
            )
        image = Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame)
        try:
            return images.encode(
                image.convert("RGB"),
                self.settings.short_side,
                self.settings.jpeg_quality,
            )
        except images.UnreadableImageError as error:
            raise SkippedClipError("unreadable", str(error)) from error


def _define_flags() -> None:
    flags.DEFINE_string("name", None, "TFDS dataset.", required=True)
    flags.DEFINE_string("split", None, "TFDS split.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    flags.DEFINE_string("data_dir", "", "TFDS' folder.")
    options.define_flags(TfdsSettings)
    options.define_flags(conversion.RunOptions)


def main(argv: list[str]) -> None:
    """Reads the flags, converts, prints what was written."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    info = convert_tfds(
        values.name,
        values.split,
        values.output_dir,
        values.data_dir,
        options.from_flags(TfdsSettings),
        options.from_flags(conversion.RunOptions),
    )
    print(conversion.result_line(values.output_dir, info))


if __name__ == "__main__":
    _define_flags()
    binary.run(main, conversion.FAILURES)
