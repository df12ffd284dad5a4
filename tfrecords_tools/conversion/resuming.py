"""A dataset folder that is made in one run or in several, by whatever job."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from spl_tf import clips
from spl_tf.clips.remote import scheme
from spl_tf.clips.shard_folder import INPUTS, ChangedInputsError, ShardFolder
from spl_tf.cores import usable_cores
from spl_tf.files import locked
from tfrecords_tools.conversion import options, runners, source_files
from tfrecords_tools.conversion.shard_job import ShardReport

RUNNERS = ("local", "beam")
_LOCK = ".conversion-lock"
_SHARDS = "clips.tfrecord-*"


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a conversion runs, none of which changes what it writes."""

    runner: str = options.option("local", "local (processes of this machine) or beam.")
    beam_args: tuple = options.option(
        (), "Argument for Apache Beam, e.g. --beam_args=--runner=FlinkRunner; repeat."
    )
    num_workers: int = options.option(0, "Processes; 0 for one per core.")
    overwrite: bool = options.option(False, "Replace what is in --output_dir.")
    max_skipped_fraction: float = options.option(
        0.1, "Fail when a larger share of the files was left out or lost clips."
    )

    def __post_init__(self):
        options.check(
            self,
            ("runner", self.runner in RUNNERS, f"one of {', '.join(RUNNERS)}"),
            ("num_workers", self.num_workers >= 0, "0 or more"),
            ("max_skipped_fraction", 0 <= self.max_skipped_fraction <= 1, "0 to 1"),
        )

    @property
    def workers(self) -> int:
        """The number of processes; `num_workers`, or one per core where that is 0."""
        return self.num_workers or usable_cores()


def resumed(
    folder: ShardFolder,
    overwrite: bool,
    finished: Callable[[], clips.DatasetInfo | None],
    write: Callable[[], clips.DatasetInfo],
) -> clips.DatasetInfo:
    """Makes a dataset, or finishes or returns the one that the folder holds.

    Args:
        folder: The dataset's; made if it is not there.
        overwrite: Whether what it holds goes first.
        finished: Gives the description if it is finished; raises where it holds
            something else.
        write: Claims the folder, writes what is missing, and the description.

    Raises:
        FolderBusyError: Another process works in it, see `convert`.
    """
    info = None if overwrite else finished()
    if info is not None and not tf.io.gfile.exists(folder.work_dir):
        logging.info("%s is complete", folder.directory)
        return info
    tf.io.gfile.makedirs(folder.directory)
    with _alone(folder.directory):
        if overwrite:
            remove_shards(folder)
        info = finished() or write()
        folder.remove_work()
    return info


def _alone(output_dir: str) -> contextlib.AbstractContextManager[None]:
    # A remote file system has no locks.
    remote = scheme(output_dir)
    return contextlib.nullcontext() if remote else locked(output_dir, _LOCK)


def claim(
    folder: ShardFolder,
    inputs: dict[str, Any],
    stamp: Callable[[], dict[str, str]] = dict,
) -> dict[str, str]:
    """Makes the folder this conversion's own, or checks that it is.

    What an earlier run had half written is removed.

    Args:
        folder: The folder that is being made.
        inputs: All that decides what is written.
        stamp: Gives the source files' `source_files.stamps`.

    Returns:
        The stamps of the files that the conversion began with.

    Raises:
        ChangedInputsError: The folder holds something made from other inputs.
    """
    former = folder.load(INPUTS)
    if not former:
        if clips.matching(folder.directory, _SHARDS):
            raise ChangedInputsError(
                f"{folder.directory} holds shards but neither dataset.json nor a plan: "
                "they are of another tool. Give another --output_dir, or --overwrite "
                "to replace them"
            )
        tf.io.gfile.makedirs(folder.work_dir)
        files = stamp()
        folder.save(source_files.FILES, files)
        folder.save(INPUTS, inputs)
        return files
    folder.check_inputs(former, inputs)
    files = folder.load(source_files.FILES) or {}
    compare_files(folder, files, stamp)
    folder.remove_halves(_is_shard)
    return files


def compare_files(
    folder: ShardFolder, before: dict[str, str], stamp: Callable[[], dict[str, str]]
) -> None:
    """Raises `ChangedInputsError` where source files are others than `before`."""
    changed = source_files.replaced(before, stamp()) if before else ""
    if changed:
        raise ChangedInputsError(
            f"{folder.directory} holds a conversion of files that were replaced since, "
            f"as their sizes or times say: {changed}. {folder.remedy}"
        )


def write_shards(
    folder: ShardFolder, job: Any, shards: Sequence[list], run: RunOptions
) -> list[ShardReport]:
    """Writes the shards that are not yet there, in the processes that `run` says.

    Args:
        folder: The folder that is being made, and is claimed.
        job: Writes a shard and its report, as `ShardJob` does.
        shards: What each shard is made of, an entry per clip.
        run: Runner and processes.

    Returns:
        The report of each shard.

    Raises:
        StorageFullError, WorkerDiedError: It cannot go on.
    """
    reports = {shard: job.finished(shard) for shard in range(len(shards))}
    tasks = [(s, shards[s]) for s, report in reports.items() if report is None]
    done = sum(map(len, shards)) - sum(len(each) for _, each in tasks)
    if len(tasks) < len(shards):
        logging.info(
            "%d of %d shards are already written", len(shards) - len(tasks), len(shards)
        )
    if tasks and run.runner == "beam":
        runners.run_beam(job, tasks, run.beam_args, done)
    elif tasks:
        runners.run_local(job, tasks, min(run.workers, len(tasks)), done)
    folder.remove_halves(_is_shard)
    reports.update((shard, job.finished(shard)) for shard, _ in tasks)
    missing = [shard for shard, report in reports.items() if report is None]
    if missing:
        raise RuntimeError(
            f"{folder.directory}: shards {missing} were reported as written but are "
            "not there; if workers run on other machines, --output_dir must be a path "
            "that all of them share"
        )
    return list(reports.values())


def remove_shards(folder: ShardFolder) -> None:
    """Removes a conversion, finished or not, whatever it was made from."""
    shards = clips.matching(folder.directory, _SHARDS)
    folder.remove_dataset(map(os.path.basename, shards))
    folder.remove_work()


def _is_shard(name: str) -> bool:
    return name.startswith("clips.")
