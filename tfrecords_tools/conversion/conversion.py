"""From a plan to a finished dataset, in one run or in several."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from spl_tf import clips
from spl_tf.clips.shard_folder import ShardFolder
from spl_tf.files import FolderBusyError
from tfrecords_tools.conversion import options, resuming
from tfrecords_tools.conversion.manifest import read_text
from tfrecords_tools.conversion.plan import ConversionPlan
from tfrecords_tools.conversion.resuming import RunOptions
from tfrecords_tools.conversion.shard_job import (
    ClipSource,
    ShardJob,
    StorageFullError,
    WorkerDiedError,
    work_folder,
)

# Kinds of skipped entries that are as the user wished, not faults.
EXCLUDED, DUPLICATE = "excluded", "duplicate"
_MIN_SHARDS = 16
_LATER_SETTINGS = ("frame_size", "frames_fps")


@dataclasses.dataclass(frozen=True)
class ClipSettings:
    """What every conversion can choose about what it writes."""

    label_kind: str = options.option("weak", "weak or clean: what the labels are.")
    seed: int = options.option(0, "Of random choices and the clips' order.")
    short_side: int = options.option(
        256, "Length of the frames' shorter side; 0 keeps their size."
    )
    jpeg_quality: int = options.option(95, "1 to 100.")
    num_shards: int = options.option(0, "Shards; 0 to go by --shard_megabytes.")
    shard_megabytes: int = options.option(
        200, "About how large a shard may be, when --num_shards is 0."
    )

    def __post_init__(self):
        options.check(
            self,
            ("label_kind", self.label_kind in ("weak", "clean"), "weak or clean"),
            ("seed", self.seed >= 0, "0 or more"),
            ("short_side", self.short_side >= 0, "0 or more"),
            ("jpeg_quality", 1 <= self.jpeg_quality <= 100, "1 to 100"),
            ("num_shards", self.num_shards >= 0, "0 or more"),
            ("shard_megabytes", self.shard_megabytes >= 1, "1 or more"),
        )

    def shards_for(self, num_clips: int, estimate_bytes: Callable[[], float]) -> int:
        """Number of shards: as asked for, else by size, but enough to share the work.

        Args:
            num_clips: Number of clips, which shards are never more than.
            estimate_bytes: Gives the size of all clips; called when the size decides.
        """
        wanted = self.num_shards
        if not wanted and num_clips:
            by_size = math.ceil(estimate_bytes() / (self.shard_megabytes * 1e6))
            wanted = max(_MIN_SHARDS, by_size)
        return min(wanted, num_clips)


@dataclasses.dataclass(frozen=True)
class FileSettings(ClipSettings):
    """What a conversion of a manifest's files can choose besides."""

    split: str = options.option("", "Take only the manifest's rows of this split.")
    exclude_ids: str = options.option(
        "", "File of media ids, one a line, that must not enter (the evaluation set)."
    )
    drop_duplicates: bool = options.option(
        True, "Leave out a file with the same content as one before it."
    )
    balance_classes: bool = options.option(
        False, "Give every class the same budget of clips, the mean over the classes."
    )
    max_clips_per_class: int = options.option(
        0, "The budget of a class, taken round-robin over its files; 0 for none."
    )

    def __post_init__(self):
        super().__post_init__()
        options.check(
            self, ("max_clips_per_class", self.max_clips_per_class >= 0, "0 or more")
        )


class TooManySkippedError(RuntimeError):
    """The dataset is written, but more was left out than the options allow."""


# Their messages say all that the user needs.
FAILURES = (
    TooManySkippedError,
    StorageFullError,
    WorkerDiedError,
    FolderBusyError,
)


def convert(
    output_dir: str,
    inputs: dict[str, Any],
    make_plan: Callable[[], ConversionPlan],
    source: ClipSource,
    class_names: Sequence[str],
    label_kind: str,
    run: RunOptions,
    stamp: Callable[[], dict[str, str]] = dict,
) -> clips.DatasetInfo:
    """Makes a dataset, or finishes or returns the one that the folder holds.

    Args:
        output_dir: Folder of the dataset; made if it is not there.
        inputs: All that decides what is written; stored, and compared when the folder
            already holds something.
        make_plan: Called when there is no plan yet.
        source: Makes the clips that the plan names.
        class_names: Names of the classes, in index order.
        label_kind: What labels are: "weak" or "clean".
        run: Runner, processes and what is allowed to be left out.
        stamp: Gives the source files' `source_files.stamps`, part of the inputs.

    Raises:
        ValueError: No file gives a clip.
        ChangedInputsError: The folder holds something made from other inputs.
        FolderBusyError: Another conversion works in it, on this or another machine.
            Remote folders cannot be locked: there it is for the user to see to it.
        TooManySkippedError: More was left out than allowed; all that could be read is
            written.
        StorageFullError, WorkerDiedError: Conversion cannot go on; the same call again
            continues.
    """
    folder = work_folder(output_dir)

    def write() -> clips.DatasetInfo:
        files = resuming.claim(folder, inputs, stamp)
        plan = _plan(folder, make_plan)
        job = ShardJob(source, output_dir, len(plan.shards))
        return _write(folder, job, plan, class_names, label_kind, run, files)

    info = resuming.resumed(
        folder, run.overwrite, lambda: _finished(folder, inputs, stamp), write
    )
    _check_skipped(output_dir, info, run.max_skipped_fraction)
    return info


def digest_of_file(path: str) -> str:
    """SHA-256 of a text file, for `inputs`."""
    return hashlib.sha256(read_text(path).encode()).hexdigest()


def inputs_of(tool: str, settings: ClipSettings, **others: Any) -> dict[str, Any]:
    """The `inputs` of a conversion.

    Args:
        tool: Name of the binary that converts.
        settings: What to write; a file that they name counts by its content.
        others: Whatever else decides what is written.
    """
    inputs = {"tool": tool, **others, **dataclasses.asdict(settings)}
    # Datasets from before there were these settings were made without them.
    inputs = {k: v for k, v in inputs.items() if v or k not in _LATER_SETTINGS}
    if inputs.get("exclude_ids"):
        inputs["exclude_ids"] = digest_of_file(inputs["exclude_ids"])
    return inputs


def _finished(folder: ShardFolder, inputs, stamp) -> clips.DatasetInfo | None:
    if not folder.holds("dataset.json"):
        return None
    info = clips.DatasetInfo.load(folder.directory)
    folder.check_inputs(info.source.get("inputs", {}), inputs)
    resuming.compare_files(folder, info.files, stamp)
    return info


def _plan(folder: ShardFolder, make_plan) -> ConversionPlan:
    """The plan that an earlier run has saved, else a new one."""
    path = folder.path("plan.jsonl")
    if tf.io.gfile.exists(path):
        return ConversionPlan.load(path)
    plan = make_plan()
    if not plan.num_clips:
        folder.remove_work()  # so that the next run looks at the files again
        raise ValueError(nothing_readable(plan.num_files, plan.skipped))
    plan.save(path)
    return plan


def _write(folder, job, plan, class_names, label_kind, run, files) -> clips.DatasetInfo:
    reports = resuming.write_shards(folder, job, plan.shards, run)
    skipped = plan.skipped + [entry for report in reports for entry in report.skipped]
    if not any(report.summary.lengths for report in reports):
        resuming.remove_shards(folder)  # so that the next run looks again
        raise ValueError(nothing_readable(plan.num_files, skipped))
    return clips.finish_dataset(
        job.output_dir,
        [report.summary for report in reports],
        class_names,
        label_kind,
        source={"inputs": plan.inputs, "num_files": plan.num_files},
        skipped=skipped,
        files=files,
    )


def nothing_readable(num_files: int, skipped: Sequence[dict[str, str]]) -> str:
    """The message for a conversion of which no clip is left."""
    first = skipped[0]
    message = (
        f"none of the {num_files} files gives a clip; the first: "
        f"{first['clip'] or first['video']}: {first['reason']}"
    )
    if all(each["kind"] == "missing" for each in skipped):
        message += (
            "; paths start from the manifest's folder, unless --video_root or "
            "--image_root is given"
        )
    return message


def result_line(output_dir: str, info: clips.DatasetInfo) -> str:
    """One line about a finished dataset, for the terminal."""
    return (
        f"{output_dir}: {info.num_clips} clips in {len(info.shards)} shards, "
        f"{len(info.skipped)} left out"
    )


def _check_skipped(output_dir: str, info: clips.DatasetInfo, limit: float) -> None:
    kinds = collections.Counter(entry["kind"] for entry in info.skipped)
    faults = [e for e in info.skipped if e["kind"] not in (EXCLUDED, DUPLICATE)]
    for kind in (EXCLUDED, DUPLICATE):
        if kinds[kind]:
            logging.info("%d files left out as %s", kinds[kind], kind)
    if not faults:
        return
    num_files = info.source["num_files"]
    num_faulty = len({entry["video"] for entry in faults})
    first = faults[0]
    message = (
        f"of {num_files} files, {num_faulty} ({num_faulty / num_files:.1%}) were left "
        f"out or lost clips, the first: {first['clip'] or first['video']}: "
        f"{first['reason']}; all are listed in dataset.json"
    )
    if num_faulty / num_files > limit:
        raise TooManySkippedError(
            f"{message}. The limit, --max_skipped_fraction, is {limit:.1%}; to try "
            f"again after repairing the files, remove {output_dir} or add --overwrite"
        )
    logging.warning("%s", message)
