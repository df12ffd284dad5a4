r"""Takes a part of a manifest's rows, the same part for the same seed.

python -m tfrecords_tools.make_subset --manifest=train.csv --fraction=0.2 --seed=0 \
    --output=labelled.csv --rest=unlabelled.csv

takes a fifth of the rows of each class, at least one, and leaves the others in
`--rest`: the semi-supervised splits of MotionFit (20 % and 50 %). Rows of one medium
(`media_id`, or else `video`) stay together. A larger fraction with the same seed holds
the rows of a smaller one. Rows keep their order and their bytes.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from absl import flags

from spl_tf import binary
from spl_tf.clips.remote import usable_path
from tfrecords_tools.conversion import options
from tfrecords_tools.conversion.manifest import root_of
from tfrecords_tools.subsets.choice import Media, choose_fraction
from tfrecords_tools.subsets.manifest_table import (
    ManifestTable,
    read_table,
    write_rows,
)


@dataclasses.dataclass(frozen=True)
class SubsetSettings:
    """Which rows are taken."""

    split: str = options.option(
        "", "Rows of this split alone; the others are in no output. All when empty."
    )
    fraction: float = options.option(
        0.0, "Share of the rows of each class, at least one row; above 0, below 1."
    )
    seed: int = options.option(0, "Decides which rows.")

    def __post_init__(self):
        options.check(
            self,
            ("fraction", 0 < self.fraction < 1, "above 0 and below 1"),
            ("seed", self.seed >= 0, "0 or more"),
        )


@dataclasses.dataclass(frozen=True)
class SubsetSummary:
    """What `make_subset` wrote.

    Attributes:
        names: Names of the manifest's labels, in alphabetical order.
        of_label: int64 [C], rows of each label that there are.
        taken_of_label: int64 [C], those that were taken.
        rows: Rows that there are.
        taken: Rows that were taken.
    """

    names: tuple[str, ...]
    of_label: np.ndarray
    taken_of_label: np.ndarray
    rows: int
    taken: int

    def __str__(self) -> str:
        few, many = self.taken_of_label.min(), self.taken_of_label.max()
        return (
            f"{self.taken:,} of {self.rows:,} rows, {few:,} to {many:,} of each of "
            f"{len(self.names):,} labels"
        )


def make_subset(
    manifest: str, output: str, settings: SubsetSettings, rest: str = ""
) -> SubsetSummary:
    """Writes the manifest of a subset, and of what is left.

    Args:
        manifest: The manifest, see `tfrecords_tools.conversion.manifest`; it may be
            compressed.
        output: The manifest to write of the rows that are taken.
        settings: Which these are.
        rest: The manifest to write of the other rows; none when empty.

    Raises:
        ValueError: The manifest or a path is wrong, or nothing would be left; the
            message says what there is. Nothing is written then.
    """
    _check_paths(manifest, [path for path in (output, rest) if path])
    table = read_table(manifest, settings.split)
    media = Media(table.media, table.labels, len(table.names), settings.seed)
    taken = choose_fraction(media, settings.fraction)[table.media]
    outputs = {output: table.in_manifest(taken)}
    if rest:
        if taken.all():
            raise ValueError(
                f"{manifest}: nothing is left for --rest: of all {len(taken):,} rows "
                "each is taken, as the only medium of its class"
            )
        outputs[rest] = table.in_manifest(~taken)
    write_rows(manifest, outputs)
    return SubsetSummary(
        table.names,
        *(_label_counts(table, rows) for rows in (np.ones_like(taken), taken)),
        len(taken),
        np.count_nonzero(taken),
    )


def _label_counts(table: ManifestTable, rows: np.ndarray) -> np.ndarray:
    """How many of some rows have each label, int64 [C]."""
    of_value = np.repeat(rows, np.diff(table.labels.splits))
    return np.bincount(table.labels.values[of_value], minlength=len(table.names))


def _check_paths(manifest: str, outputs: list[str]) -> None:
    for path in (manifest, *outputs):
        usable_path(path)
    places = [root_of(path) for path in (manifest, *outputs)]
    if len(set(places)) < len(places):
        raise ValueError(
            f"{outputs} and --manifest={manifest} need names of their own: one would "
            "be written over"
        )


def _define_flags() -> None:
    flags.DEFINE_string("manifest", None, "Manifest to read.", required=True)
    flags.DEFINE_string("output", None, "Manifest to write.", required=True)
    flags.DEFINE_string("rest", "", "Manifest to write of the rows left.")
    options.define_flags(SubsetSettings)


def main(argv: list[str]) -> None:
    """Reads the flags, writes the subset, prints what is in it."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    summary = make_subset(
        values.manifest, values.output, options.from_flags(SubsetSettings), values.rest
    )
    print(f"{values.output}: {summary}")


if __name__ == "__main__":
    _define_flags()
    binary.run(main)
