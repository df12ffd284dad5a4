"""Makes a dataset of one-frame clips from image files.

A folder per class:

python -m tfrecords_tools.convert_images --image_root=images --classes=classes.txt \
    --output_dir=clips/images

or a manifest with the columns `video,label` (an image's path is its `video`) and
optionally `media_id`, `split` and `more_labels` (with `|` between), with paths that
are relative to `--image_root`. An image that cannot be read is left out and listed in
`dataset.json`. A run that was stopped goes on with the same command.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import stat
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import flags

from spl_tf import binary, clips
from spl_tf.text_files import composed
from tfrecords_tools.conversion import conversion, file_conversion, options
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
from tfrecords_tools.decoding import images

_SAMPLED_IMAGES = 32  # to estimate how large the dataset will be
_DIGEST_SECONDS = 600.0


def convert_images(
    classes: str,
    output_dir: str,
    image_root: str = "",
    manifest: str = "",
    settings: conversion.FileSettings | None = None,
    run: conversion.RunOptions | None = None,
) -> clips.DatasetInfo:
    """Converts image files into a dataset folder, or continues to.

    Args:
        classes: Classes file, one name a line.
        output_dir: Folder of the dataset; made if it is not there.
        image_root: Holds a folder per class; with a manifest, the folder that its paths
            are relative to, by default the manifest's own.
        manifest: CSV, see `tfrecords_tools.conversion.manifest`; empty for a folder
            per class.
        settings: How clips are chosen and written; None for the defaults.
        run: Runner, processes and what may be left out; None for the defaults.

    Returns:
        The dataset's description, as written to `dataset.json`.

    Raises:
        ValueError: Manifest, folders, classes or settings are wrong (before any work),
            no image gives a clip, or the folder holds something else.
        TooManySkippedError: More was left out than allowed; all that could be read is
            written.
        StorageFullError, WorkerDiedError: Conversion cannot go on; the same call again
            continues.
    """
    settings = settings or conversion.FileSettings()
    run = run or conversion.RunOptions()
    class_names = file_conversion.read_classes(
        classes, manifest, output_dir, image_root, settings.exclude_ids
    )
    if manifest:
        rows = _manifest_rows(manifest, class_names, settings.split, classes)
        image_root = root_of(image_root) if image_root else folder_of(manifest)
    else:
        rows = _folder_rows(image_root, class_names, classes)
        image_root = root_of(image_root)
    more_labels = {row.line: row.more_labels for row in rows if row.more_labels}
    inputs = conversion.inputs_of(
        "convert_images",
        settings,
        images=hashlib.sha256(
            (repr(rows) + str(more_labels or "")).encode()
        ).hexdigest(),
        classes=conversion.digest_of_file(classes),
        image_root=image_root,
    )
    files = file_conversion.FileConversion(
        output_dir, class_names, rows, image_root, settings, run, inputs
    )
    source = ImageSource(
        image_root, tuple(class_names), settings.short_side, settings.jpeg_quality
    )

    def make_plan() -> ConversionPlan:
        return files.plan(
            lambda names: _faults(image_root, names),
            lambda row: [
                ClipPlan(
                    *(row.video, row.media_id, row.label), more_labels=row.more_labels
                )
            ],
            lambda chosen: _estimate_bytes(chosen, source, settings.seed),
            _DIGEST_SECONDS,
        )

    return files.convert(source, make_plan)


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """Makes clips of one frame from image files; a `ClipSource`.

    Attributes:
        root: Folder that the plan's paths start from.
        class_names: Names of the classes, in index order.
        short_side: Length of the frames' shorter side; 0 keeps their size.
        jpeg_quality: Quality of frames that are encoded, 1 to 100.
    """

    root: str
    class_names: tuple[str, ...]
    short_side: int
    jpeg_quality: int

    @contextlib.contextmanager
    def open(self) -> Iterator[MakeClip]:
        """Gives what makes clips; an image needs nothing open."""
        yield self._clip

    def _clip(self, plan: ClipPlan) -> clips.Clip:
        try:
            with tf.io.gfile.GFile(path_of(self.root, plan.video), "rb") as file:
                content = file.read()
            jpeg, height, width = images.to_jpeg(
                content, self.short_side, self.jpeg_quality, plan.video
            )
        except tf.errors.OpError as error:
            raise SkippedClipError("unreadable", error.message) from error
        except images.UnreadableImageError as error:
            raise SkippedClipError("unreadable", str(error)) from error
        return clips.Clip(
            id=plan.id,
            frames=[jpeg],
            timestamps=[0],
            frame_rate=0.0,
            height=height,
            width=width,
            label_index=plan.label,
            label_name=self.class_names[plan.label],
            more_labels=[
                (label, self.class_names[label]) for label in plan.more_labels
            ],
            media_id=plan.media_id,
            data_path=plan.video,
            start=0,
            end=0,
        )


def _manifest_rows(manifest, class_names, split, classes) -> list[ManifestRow]:
    rows = read_manifest(manifest, class_names, split, classes)
    for row in rows:
        if row.start is not None or row.end is not None:
            raise ValueError(
                f"{manifest}, line {row.line}: an image has no start or end"
            )
    return rows


def _folder_rows(
    image_root: str, class_names: list[str], classes: str
) -> list[ManifestRow]:
    """A row for each file in each class's folder, in the order of their names."""
    if not image_root or not tf.io.gfile.isdir(image_root):
        raise ValueError(
            f"--image_root {image_root!r} is no folder; give one that holds a folder "
            "per class, or a --manifest"
        )
    names = (name.rstrip("/") for name in tf.io.gfile.listdir(image_root))
    folders = sorted(
        name
        for name in names
        if not name.startswith(".")
        and tf.io.gfile.isdir(os.path.join(image_root, name))
    )
    label_of = {name: index for index, name in enumerate(class_names)}
    unknown = [name for name in folders if composed(name) not in label_of]
    if unknown:
        raise ValueError(
            f"{image_root} has the folder {unknown[0]!r}, which is not in the classes "
            f"file {classes} ({len(unknown)} such folders of {len(folders)})"
        )
    spelled = {composed(name): name for name in folders}
    if len(spelled) < len(folders):
        twice = next(name for name in folders if spelled[composed(name)] != name)
        raise ValueError(
            f"{image_root} has two folders {twice!r}, which differ in Unicode's form "
            "(NFC, NFD) alone; make them one"
        )
    videos = []
    for folder in folders:
        top = os.path.join(image_root, folder)
        for directory, _, files in tf.io.gfile.walk(top):
            videos += [
                (os.path.relpath(os.path.join(directory, name), image_root), folder)
                for name in files
                if not name.startswith(".")
            ]
    if not videos:
        raise ValueError(f"{image_root}: the class folders hold no files")
    return [
        ManifestRow(number, video, label_of[composed(folder)], video)
        for number, (video, folder) in enumerate(sorted(videos), start=1)
    ]


def _faults(root: str, names: list[str]) -> dict[str, tuple[str, str]]:
    found = ((name, _fault(path_of(root, name))) for name in names)
    return {name: fault for name, fault in found if fault}


def _fault(path: str) -> tuple[str, str] | None:
    """What is wrong with a file that can be told without opening it."""
    try:
        length = tf.io.gfile.stat(path).length
        if "://" not in path and not stat.S_ISREG(os.stat(path).st_mode):
            return "unreadable", "not a regular file"
    except tf.errors.NotFoundError:
        return "missing", "the file does not exist"
    except tf.errors.OpError as error:
        return "unreadable", error.message
    return None if length else ("empty", "the file is empty")


def _estimate_bytes(chosen: list[ClipPlan], source: ImageSource, seed: int) -> float:
    order = np.random.default_rng(seed).permutation(len(chosen))
    sizes = []
    with source.open() as make:
        for plan in (chosen[i] for i in order[:_SAMPLED_IMAGES]):
            # What cannot be read turns up again when it is written.
            with contextlib.suppress(SkippedClipError):
                sizes.append(len(make(plan).frames[0]))
    return len(chosen) * np.mean(sizes or [0])


def _define_flags() -> None:
    flags.DEFINE_string("image_root", "", "A folder per class, or the manifest's root.")
    flags.DEFINE_string("manifest", "", "CSV of images and labels.")
    flags.DEFINE_string("classes", None, "File of class names.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder to write.", required=True)
    options.define_flags(conversion.FileSettings)
    options.define_flags(conversion.RunOptions)


def main(argv: list[str]) -> None:
    """Reads the flags, converts, prints what was written."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    info = convert_images(
        values.classes,
        values.output_dir,
        values.image_root,
        values.manifest,
        options.from_flags(conversion.FileSettings),
        options.from_flags(conversion.RunOptions),
    )
    print(conversion.result_line(values.output_dir, info))


if __name__ == "__main__":
    _define_flags()
    binary.run(main, conversion.FAILURES)
