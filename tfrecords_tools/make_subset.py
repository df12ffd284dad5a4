r"""Takes a part of a manifest's rows, the same part for the same seed.

python -m tfrecords_tools.make_subset --manifest=train.csv --fraction=0.2 --seed=0 \
    --output=labelled.csv --rest=unlabelled.csv

takes a fifth of the rows of each class, at least one, and leaves the others in
`--rest`: the semi-supervised splits of MotionFit (20 % and 50 %). Rows of one medium
(`media_id`, or else `video`) stay together, which is what is called a video here. The
parts of IG-65M (arXiv 1905.00561):

    --num_videos=5000000 --sampling=tail_preserving     (4.1.1; or random, or sqrt)
    --num_labels=675,1350,2700 --num_videos=1000000     (4.2.2)
        --output=labels_{num_labels}.csv --classes_output=labels_{num_labels}.txt
    --seconds=1:5 --num_videos=5000000                  (4.3.1, short)
    --seconds=55:60 --like=short.csv                    (long, and with
        --center_seconds=4 long-center)

With the same seed, a smaller fraction or number is part of a larger one, and so are
fewer labels. Rows keep their order, and their bytes but where `--num_labels` takes
labels from a row or `--center_seconds` gives it a start and an end. How long a row is
tell `start` and `end`, or a column `duration`: of the video, in seconds. Relative paths
in a manifest start from its folder; of an output elsewhere, `--video_root` is needed.
"""

from __future__ import annotations

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf
from absl import flags

from spl_tf import binary, clips
from spl_tf.clips.remote import usable_path
from tfrecords_tools.conversion import options
from tfrecords_tools.conversion.manifest import root_of
from tfrecords_tools.subsets import edits
from tfrecords_tools.subsets.records import Output, write_rows
from tfrecords_tools.subsets.requests import (
    SubsetSettings,
    choose_rows,
    label_spaces,
    of_length,
)
from tfrecords_tools.subsets.table import ManifestTable, read_table

_PLACE = "{num_labels}"


@dataclasses.dataclass(frozen=True)
class SubsetSummary:
    """A manifest that `make_subset` wrote.

    Attributes:
        path: The manifest.
        videos: How many videos are in it.
        rows: How many rows.
        of_label: By label, how many rows have it; all labels that the manifest may
            have, those of no row too.
        left_out: Rows that were no candidates, as nothing tells their length.
    """

    path: str
    videos: int
    rows: int
    of_label: dict[str, int]
    left_out: int = 0

    def __str__(self) -> str:
        counts = self.of_label.values()
        text = (
            f"{self.path}: {self.rows:,} rows of {self.videos:,} videos, "
            f"{min(counts):,} to {max(counts):,} of each of {len(counts):,} labels"
        )
        if self.left_out:
            text += f"; {self.left_out:,} rows of unknown length were left out"
        return text


def make_subset(
    manifest: str,
    output: str,
    settings: SubsetSettings,
    rest: str = "",
    classes_output: str = "",
) -> list[SubsetSummary]:
    """Writes the manifests of subsets, and of what is left.

    Args:
        manifest: The manifest, see `tfrecords_tools.conversion.manifest`; it may be
            compressed.
        output: The manifest to write of the rows that are taken; with several
            numbers of labels, `{num_labels}` in it stands for each of them.
        settings: Which rows these are.
        rest: The manifest to write of the other rows of the split; none when empty.
        classes_output: With numbers of labels, the classes file to write, in
            alphabetical order; like `output`.

    Returns:
        What is in each output, by ascending number of labels.

    Raises:
        ValueError: A manifest or a path is wrong, or a request cannot be met; the
            message says what there is. Nothing is written then.
    """
    counts = sorted(settings.label_counts)
    _check_paths(manifest, output, rest, classes_output, counts, settings.like)
    with_seconds = bool(settings.seconds or settings.center_seconds)
    table = read_table(manifest, settings.split, with_seconds)
    candidates = of_length(manifest, table, settings)
    left_out = int(np.isnan(table.seconds).sum())
    summaries, outputs, classes = [], [], {}
    for part, names, count in label_spaces(manifest, candidates, settings):
        taken = part.part(choose_rows(manifest, part, names, settings))
        path = output.replace(_PLACE, str(count))
        if count:
            classes[classes_output.replace(_PLACE, str(count))] = names
        outputs.append(Output(path, taken.places, _edits(names, count, settings)))
        summaries.append(_summarize(path, taken, names, left_out))
    if rest:
        left = table.places & ~outputs[0].rows
        if not left.any():
            raise ValueError(
                f"{manifest}: nothing is left for --rest: all {summaries[0].rows:,} "
                "rows are taken; with --fraction, at least one of each class is"
            )
        outputs.append(Output(rest, left))
    write_rows(manifest, outputs)
    for path, names in classes.items():
        tf.io.gfile.makedirs(os.path.dirname(path) or ".")
        clips.write_atomically(path, "".join(f"{name}\n" for name in names).encode())
    return summaries


def _edits(names: tuple[str, ...], count: int, settings: SubsetSettings) -> list:
    kept = []
    if count:
        kept.append(functools.partial(edits.keep_labels, frozenset(names)))
    if settings.center_seconds:
        kept.append(functools.partial(edits.keep_center, settings.center_seconds))
    return kept


def _summarize(
    path: str, taken: ManifestTable, names: tuple[str, ...], left_out: int
) -> SubsetSummary:
    counts = np.bincount(taken.labels.values, minlength=len(taken.names)).tolist()
    of_label = dict(zip(taken.names, counts, strict=True))
    return SubsetSummary(
        path,
        int(taken.media.max()) + 1,
        len(taken.media),
        {name: of_label[name] for name in names},
        left_out,
    )


def _check_paths(manifest, output, rest, classes_output, counts, like) -> None:
    if bool(counts) != bool(classes_output):
        raise ValueError("--num_labels and --classes_output belong together")
    if counts and rest:
        raise ValueError("--rest is not for --num_labels")
    for path in (output, classes_output):
        if len(counts) > 1 and _PLACE not in path:
            raise ValueError(
                f"{path} would be written {len(counts)} times: {_PLACE} in it stands "
                "for each of --num_labels"
            )
    outputs = [path for path in (output, rest, classes_output) if path]
    for path in (manifest, like, *outputs):
        usable_path(path)
    inputs = {root_of(path) for path in (manifest, like) if path}
    if len({*map(root_of, outputs)} - inputs) < len(outputs):
        raise ValueError(
            f"{outputs}: each needs a name of its own, and not --manifest's or --like's"
        )


def _define_flags() -> None:
    flags.DEFINE_string("manifest", None, "Manifest to read.", required=True)
    flags.DEFINE_string("output", None, "Manifest to write.", required=True)
    flags.DEFINE_string("rest", "", "Manifest to write of the rows left.")
    flags.DEFINE_string("classes_output", "", "Classes to write, for --num_labels.")
    options.define_flags(SubsetSettings)


def main(argv: list[str]) -> None:
    """Reads the flags, writes the subsets, prints what is in them."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    for summary in make_subset(
        values.manifest,
        values.output,
        options.from_flags(SubsetSettings),
        values.rest,
        values.classes_output,
    ):
        print(summary)


if __name__ == "__main__":
    _define_flags()
    binary.run(main)
