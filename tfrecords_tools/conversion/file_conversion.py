"""What the conversions of a manifest's files, videos or images, have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spl_tf import clips
from spl_tf.clips.remote import usable_path
from spl_tf.labels import parse_class_names
from tfrecords_tools.conversion import conversion, cutting, file_checks, source_files
from tfrecords_tools.conversion.cutting import ClipPlan
from tfrecords_tools.conversion.manifest import ManifestRow, read_text
from tfrecords_tools.conversion.plan import ConversionPlan
from tfrecords_tools.conversion.shard_job import ClipSource, skipped_entry


def read_classes(classes: str, *paths: str) -> list[str]:
    """The class names of a file, once it and the other paths are usable.

    Raises:
        ValueError: A path is not, or the file holds no class names.
    """
    for path in (classes, *paths):
        usable_path(path)
    return parse_class_names(read_text(classes).encode(), classes)


@dataclasses.dataclass(frozen=True)
class FileConversion:
    """A conversion of files into clips.

    Attributes:
        output_dir: Folder of the dataset.
        class_names: Names of the classes, in index order.
        rows: The manifest's rows that are to be converted.
        root: Folder that the rows' paths start from.
        settings: How clips are chosen and written.
        run: Runner, processes and what is allowed to be left out.
        inputs: All that decides what is written, as `conversion.inputs_of` gives it.
    """

    output_dir: str
    class_names: Sequence[str]
    rows: Sequence[ManifestRow]
    root: str
    settings: conversion.FileSettings
    run: conversion.RunOptions
    inputs: dict[str, Any]

    def convert(
        self, source: ClipSource, make_plan: Callable[[], ConversionPlan]
    ) -> clips.DatasetInfo:
        """Makes the dataset, or continues to; see `conversion.convert`."""
        return conversion.convert(
            self.output_dir,
            self.inputs,
            make_plan,
            source,
            self.class_names,
            self.settings.label_kind,
            self.run,
            lambda: source_files.stamps(self.root, (row.video for row in self.rows)),
        )

    def plan(
        self,
        find_faults: Callable[[list[str]], Mapping[str, tuple[str, str]]],
        cut: Callable[[ManifestRow], list[ClipPlan]],
        estimate_bytes: Callable[[list[ClipPlan]], float],
        seconds_limit: float,
    ) -> ConversionPlan:
        """Decides which clips are made and which shard each goes into.

        Args:
            find_faults: Gives kind and reason for those, of some files, that cannot be
                read.
            cut: Gives the clips of a row.
            estimate_bytes: Gives the size of clips, where it decides.
            seconds_limit: Time to read a file for its digest.
        """
        settings = self.settings
        rows, skipped = file_checks.split_excluded(self.rows, settings.exclude_ids)
        excluded = [entry["video"] for entry in skipped]
        faults = find_faults(list(dict.fromkeys(row.video for row in rows)))
        skipped += [skipped_entry(video, "", *fault) for video, fault in faults.items()]
        rows = [row for row in rows if row.video not in faults]
        if settings.drop_duplicates:
            rows, repeated = file_checks.split_duplicates(
                rows,
                excluded,
                self.root,
                lambda videos: self.examine("digest", videos, seconds_limit),
            )
            skipped += repeated
        chosen = cutting.limit_per_class(
            [plan for row in rows for plan in cut(row)],
            settings.max_clips_per_class,
            settings.balance_classes,
            settings.seed,
        )
        num_shards = settings.shards_for(len(chosen), lambda: estimate_bytes(chosen))
        return ConversionPlan(
            self.inputs,
            cutting.assign_to_shards(chosen, num_shards, settings.seed),
            skipped,
            num_files=len({row.video for row in self.rows}),
        )

    def examine(
        self, operation: str, videos: list[str], *how: float
    ) -> dict[str, dict[str, Any]]:
        """Asks the same about every file; see `file_checks.examine`."""
        where, workers = (self.root, videos, self.output_dir), self.run.workers
        return file_checks.examine(operation, *where, workers, *how)
