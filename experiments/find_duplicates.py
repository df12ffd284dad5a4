"""Finds clips of one dataset that are near-copies of clips of another.

python -m experiments.find_duplicates --dataset=clips/web --against=clips/target_val \
    --output_dir=runs/duplicates

Web videos may hold the very videos that a target set is evaluated on (OmniSource,
section 3.1). Some frames of each clip are compared, by the features of ImageNet's
ResNet-50 (downloaded), of a `.weights.h5` file of it, or of any finished run
(`--checkpoint=`): whitened with the statistics of `--against`, by their cosine. A pair
is suspicious above a threshold, by default the mean similarity of three crops of one
frame of `--against`. With `--against` the same dataset, its clips are compared with
each other, but for those of one media id; of media that are alike, the first stays.

Writes `exclude_ids.csv`, a media id a line, for `--exclude_ids` of the converters and
for `config.data.sources.NAME.filter.exclude_ids`; `pairs.csv`, all suspicious pairs;
`index.html`, which shows them side by side; and `results.json`.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import inspect
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags, logging

from experiments.reporting.near_copies import (
    PAIRS,
    RESULTS,
    SAMPLING,
    compared_frames,
    read_duplicates,
)
from spl_tf import binary, clips, data
from spl_tf.analysis.report.duplicates import render_duplicates
from spl_tf.clips.frame_shape import RGB, CropSize, height_and_width, modality_of
from spl_tf.files import absolute_path, move_into_place, same_path, temporary_name
from spl_tf.inference import near_duplicates
from spl_tf.inference.evaluation import Views, accept_any_size
from spl_tf.inference.features import clip_features
from spl_tf.inference.media_overlap import media_id
from spl_tf.models import IMAGENET, feature_model, imagenet_feature_model
from spl_tf.runs import run_folder
from spl_tf.text_files import listed_ids
from spl_tf.training import make_strategy

_STRATEGIES = ("auto", "one", "mirrored")  # those of one process
_IMAGENET_CROP = 224
_SCALE = 8 / 7  # of the frames' shorter side to the crop's, as 256 to 224
_CROPS = 3
_SHOWN = 200
_IDS, _PAGE = "exclude_ids.csv", "index.html"
_COLUMNS = (
    "similarity id media_id frame against_id against_media_id against_frame "
    "row against_row"
)


def find_duplicates(
    dataset: str,
    against: str,
    output_dir: str,
    checkpoint: str = IMAGENET,
    threshold: float | None = None,
    num_frames: int = 4,
    mirrored: bool = False,
    shown: int = _SHOWN,
    batch_size: int = 8,
    strategy: str = "auto",
    crop_size: int | None = None,
    short_side: int | None = None,
    on_bad_record: str = "error",
    max_bad_records: int = data.MAX_BAD_RECORDS,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Compares two datasets, or one with itself, and writes what is alike.

    Args:
        dataset: The clips to leave out where they are near-copies.
        against: The clips that they are compared with.
        output_dir: Folder to make, with the results and a page.
        checkpoint: `imagenet`, a `.weights.h5` file, or the workdir of a finished run.
        threshold: Cosine above which a pair is suspicious; None for the mean similarity
            of three crops of one frame.
        num_frames: Frames that are compared of each clip, evenly spread.
        mirrored: Whether features are means over a frame and its mirror image, so that
            a mirrored copy is one, too.
        shown: How many pairs the page shows, most similar first.
        batch_size: Clips per replica, each with all its frames.
        strategy: Devices to run on, see `make_strategy`.
        crop_size: Side of the square that the network sees, in pixels; None for its
            own.
        short_side: What the frames' shorter side is scaled to; None for 8/7 of the
            crop's.
        on_bad_record: "error", or "skip" to leave the clip out.
        max_bad_records: With "skip", more than this many in a dataset are an error.
        overwrite: Whether a former `output_dir` is replaced.

    Returns:
        The content of `results.json`.

    Raises:
        BadRecordError: A record cannot be read, or too many; the message names it.
        FileExistsError: `output_dir` is not empty.
        FileNotFoundError: A dataset or the network is not there.
        ValueError: An argument is impossible, or there are too many pairs.
    """
    if threshold is not None:
        near_duplicates.check_threshold(threshold)
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}, expected 1 or more")
    is_one = same_path(dataset, against)
    known = _open(against)
    searched = known if is_one else _open(dataset)
    groups = known.index.group if is_one else None
    devices = make_strategy(strategy)
    with _folder(output_dir, overwrite) as folder:
        with devices.scope():
            model, crop = _open_network(checkpoint, crop_size, mirrored)
        views = Views(
            SAMPLING,
            crop,
            short_side=short_side or round(_SCALE * min(height_and_width(crop))),
            on_bad_record=on_bad_record,
            max_bad_records=max_bad_records,
        )

        look = functools.partial(_look, model, devices, views, batch_size)
        right = look(known, num_frames)
        whitening = near_duplicates.Whitening.fit(right.features)
        right = right.whitened(whitening)
        if threshold is None:
            crops = look(known, 1, _CROPS).whitened(whitening)
            threshold = near_duplicates.crop_similarity(crops.features)
        left = right
        if not is_one:
            left = look(searched, num_frames).whitened(whitening)
        pairs = near_duplicates.similar_pairs(
            left.features,
            right.features,
            threshold,
            groups[left.rows] if is_one else None,
        )
        settings = {
            "dataset": dataset,
            "against": against,
            "checkpoint": checkpoint,
            "threshold": threshold,
            "num_frames": num_frames,
            "mirrored": mirrored,
            "crop_size": views.crop_size,
            "short_side": views.short_side,
        }
        return _write(folder, pairs, left, right, is_one, shown, settings)


@dataclasses.dataclass(frozen=True)
class _Side:
    """One of the two datasets, with what was looked at; see `ClipFeatures`."""

    dataset: clips.ClipDataset
    frames: int
    rows: np.ndarray
    ids: np.ndarray
    features: np.ndarray

    def whitened(self, whitening: near_duplicates.Whitening) -> _Side:
        return dataclasses.replace(self, features=whitening.apply(self.features))

    def chosen(self, place: int) -> list[int]:
        """Which frames of a clip were compared."""
        length = int(self.dataset.index.frames[self.rows[place]])
        return compared_frames(length, self.frames)

    def media(self, places: Iterable[int]) -> dict[int, str]:
        """The media ids of some clips, composed."""
        with self.dataset.reader() as reader:
            return {place: media_id(reader.read(self.rows[place])) for place in places}


def _look(
    model: keras.Model,
    devices: tf.distribute.Strategy,
    views: Views,
    batch_size: int,
    dataset: clips.ClipDataset,
    frames: int,
    crops: int = 1,
) -> _Side:
    # An image would give the same frame again.
    frames = min(frames, int(dataset.index.frames.max()))
    views = dataclasses.replace(views, num_clips=frames, num_crops=crops)
    found = clip_features(model, devices, dataset, views, batch_size, by_view=True)
    return _Side(dataset, frames, *found)


def _open(directory: str) -> clips.ClipDataset:
    dataset = clips.ClipDataset(directory)
    if not len(dataset):
        raise ValueError(f"{directory} has no clips to compare")
    return dataset


def _open_network(
    checkpoint: str, crop_size: int | None, mirrored: bool
) -> tuple[keras.Model, CropSize]:
    """A model from single frames to features, and the size of its crop."""
    if checkpoint == IMAGENET or checkpoint.endswith(".weights.h5"):
        model, crop = imagenet_feature_model(checkpoint), _IMAGENET_CROP
    else:
        config, _, model = run_folder.load_run(checkpoint)
        if (seen := modality_of(config.data)) != RGB:
            raise ValueError(
                f"{checkpoint} is a network that sees {seen!r}, and single frames are "
                f"compared; use one of {RGB!r}"
            )
        model, crop = feature_model(model), config.data.crop_size
        model = accept_any_size(model)
    if mirrored:
        clip = keras.Input((1, None, None, model.input_shape[-1]))
        both = model(clip) + model(keras.ops.flip(clip, axis=3))
        model = keras.Model(clip, both / 2)
    return model, crop_size or crop


@contextlib.contextmanager
def _folder(output_dir: str, overwrite: bool) -> Iterator[str]:
    """Gives a new folder, which takes the place of `output_dir` at the end."""
    there = set(os.listdir(output_dir)) if os.path.exists(output_dir) else set()
    if there and not overwrite:
        raise FileExistsError(
            f"{output_dir} is not empty; choose another folder, or replace what is in "
            "it with --overwrite"
        )
    if others := there - {_IDS, PAIRS, _PAGE, RESULTS}:
        raise FileExistsError(
            f"{output_dir} holds {min(others)}, which is none of this command's files; "
            "choose another folder"
        )
    output_dir = absolute_path(output_dir)
    temporary = temporary_name(output_dir)
    os.makedirs(temporary)
    try:
        yield temporary
        if os.path.exists(output_dir):
            shutil.rmtree(output_dir)
        move_into_place(temporary, output_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(
    folder: str,
    pairs: near_duplicates.Pairs,
    left: _Side,
    right: _Side,
    is_one: bool,
    shown: int,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Writes all files; returns what `results.json` has."""
    media = _write_pairs(folder, pairs, left, right)
    if is_one:
        alike = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
        excluded = near_duplicates.copies(alike, media[0] | media[1])
    else:
        excluded = set(media[0].values())
    # A list of a line each has no place for others.
    excluded = sorted(name for name in excluded if _fits_a_line(name))
    lost = sum(not _fits_a_line(name) for name in media[0].values())
    if lost:
        logging.warning(
            "%d suspicious clips of %s have no media id that fits a line, and stay; "
            "pairs.csv has them",
            lost,
            settings["dataset"],
        )
    results = {
        "pairs": len(pairs.similarity),
        "clips": len(left.rows),
        "against_clips": len(right.rows),
        "excluded_media": len(excluded),
        "frames": [left.frames, right.frames],
        "settings": settings,
    }
    listed = "".join(f"{name}\n" for name in excluded)
    clips.write_atomically(os.path.join(folder, _IDS), listed.encode())
    run_folder.write_json(os.path.join(folder, RESULTS), results)
    page = render_duplicates(read_duplicates(folder, shown))
    clips.write_atomically(os.path.join(folder, _PAGE), page.encode())
    return results


def _fits_a_line(name: str) -> bool:
    return listed_ids(name) == {name}


def _write_pairs(
    folder: str, pairs: near_duplicates.Pairs, left: _Side, right: _Side
) -> tuple[dict[int, str], dict[int, str]]:
    """Writes `pairs.csv`; returns the media ids of the clips of each side."""
    media = tuple(
        side.media(np.unique(places).tolist())
        for side, places in ((left, pairs.first), (right, pairs.second))
    )
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS.split())
    for similarity, *places in zip(*(each.tolist() for each in pairs), strict=True):
        row = [f"{similarity:.6f}"]
        for side, names, place, view in zip(
            (left, right), media, places[:2], places[2:], strict=True
        ):
            row += [side.ids[place], names[place], side.chosen(place)[view]]
        row += [left.rows[places[0]], right.rows[places[1]]]
        writer.writerow(row)
    clips.write_atomically(os.path.join(folder, PAIRS), text.getvalue().encode())
    return media


def summary(results: dict[str, Any]) -> str:
    """How many pairs and media were found, in one line."""
    settings = results["settings"]
    return (
        f"{results['pairs']:,} pairs of {results['clips']:,} clips of "
        f"{settings['dataset']} and {results['against_clips']:,} of "
        f"{settings['against']} are more similar than {settings['threshold']:.3f}; "
        f"{results['excluded_media']:,} media to exclude"
    )


def main(argv: list[str]) -> None:
    """Reads the flags, compares, prints what was found."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    names = inspect.signature(find_duplicates).parameters
    results = find_duplicates(**{name: values[name].value for name in names})
    print(f"{summary(results)}\nwrote {values.output_dir}")


if __name__ == "__main__":
    flags.DEFINE_string("dataset", None, "Folder of clips to search.", required=True)
    flags.DEFINE_string(
        "against", None, "Folder of clips to compare them with.", required=True
    )
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    flags.DEFINE_string(
        "checkpoint", IMAGENET, "imagenet, a .weights.h5 file, or the workdir of a run."
    )
    flags.DEFINE_float(
        "threshold", None, "Cosine above which a pair is suspicious; default: measured."
    )
    flags.DEFINE_integer("num_frames", 4, "Frames of each clip, evenly spread.")
    flags.DEFINE_bool("mirrored", False, "Find mirrored copies, too.")
    flags.DEFINE_integer("shown", _SHOWN, "Pairs on the page.", lower_bound=0)
    flags.DEFINE_integer("batch_size", 8, "Clips per replica.", lower_bound=1)
    flags.DEFINE_enum("strategy", "auto", _STRATEGIES, "Devices to use.")
    flags.DEFINE_integer("crop_size", None, "Pixels of the crop; else the network's.")
    flags.DEFINE_integer(
        "short_side", None, "Scale frames to it before the crop; else 8/7 of the crop."
    )
    flags.DEFINE_enum(
        "on_bad_record", "error", ("error", "skip"), "skip: leave the clip out."
    )
    flags.DEFINE_integer(
        "max_bad_records", data.MAX_BAD_RECORDS, "With skip, more are an error."
    )
    flags.DEFINE_bool("overwrite", False, "Replace what is in --output_dir.")
    binary.run(main)
