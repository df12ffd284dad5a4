"""Runs or continues an experiment, or says what there is to do."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import config_dict

from experiments.pipeline import estimates, registry, results
from experiments.pipeline.actions import ACTIONS
from experiments.pipeline.choice import Choice
from experiments.pipeline.ledger import (
    FAILED,
    NOT_CHOSEN,
    NOT_RUN,
    SKIPPED,
    Ledger,
)
from experiments.pipeline.rules import check_seeds
from experiments.pipeline.scheduler import Machine, Scheduler
from experiments.pipeline.stages import RESULTS_FILE
from spl_tf.cores import usable_cores
from spl_tf.distribution.interruption import locked, on_sigterm
from spl_tf.runs.run_folder import check_workdir, claim_workdir, read_json, write_json
from spl_tf.training import TrainingStopped

_CONFIG_FILE = "config.json"
_echo = functools.partial(print, flush=True)


def run_pipeline(
    config: config_dict.ConfigDict,
    workdir: str,
    stages: Sequence[str] = (),
    rows: Sequence[str] = (),
    seeds: Sequence[int] = (),
    jobs: int = 1,
    threads: int = 0,
    echo: Callable[[str], None] = _echo,
) -> dict[str, Any]:
    """Runs or continues an experiment.

    A program that calls it at its top level needs `if __name__ == "__main__":`.

    Args:
        config: The experiment's whole config, see `experiments.pipeline.registry`.
        workdir: Folder of all results; made if it is not there.
        stages: Names or patterns of the stages that may run; empty for all.
        rows: Rows of the table that may run; empty for all.
        seeds: Seeds that may run, also others than the config's; empty for all.
        jobs: Stages that run at a time, each in a process of its own.
        threads: TensorFlow's threads in each; 0 for an equal share of the cores.
            Another number may change the last digits of a result.
        echo: Gets a line when a stage starts or ends.

    Returns:
        The content of `results.json`. Stages that failed are in it, under `stages`.

    Raises:
        ValueError: The config, a choice or the workdir is wrong (before any work).
        WorkdirBusyError: Another process works in the workdir.
        TrainingStopped: SIGTERM came; all stages are saved.
    """
    ledger, all_seeds = _open(config, workdir, Choice(stages, rows, seeds))
    cores = usable_cores()
    machine = Machine(jobs, cores, threads or max(1, cores // jobs))
    actions = {**ACTIONS, **registry.find(config).actions}

    def write() -> dict[str, Any]:
        found = results.collect(config, all_seeds, ledger)
        write_json(os.path.join(workdir, RESULTS_FILE), found)
        return found

    os.makedirs(workdir, exist_ok=True)
    stop = threading.Event()
    with locked(workdir), on_sigterm(stop.set):
        _write_config(config, workdir)
        Scheduler(ledger, machine, actions, echo).run(stop, write)
        found = write()
    if stop.is_set():
        raise TrainingStopped("stopped and saved; the same command continues")
    _summarize(found["stages"], echo)
    return found


def describe_plan(
    config: config_dict.ConfigDict,
    workdir: str,
    stages: Sequence[str] = (),
    rows: Sequence[str] = (),
    seeds: Sequence[int] = (),
    jobs: int = 1,
) -> str:
    """What `run_pipeline` would run and why, with time and disk; touches nothing.

    Args:
        config: The experiment's whole config.
        workdir: Folder of all results, which need not exist.
        stages: Names or patterns of the stages that may run; empty for all.
        rows: Rows of the table that may run; empty for all.
        seeds: Seeds that may run, also others than the config's; empty for all.
        jobs: Stages that run at a time.

    Raises:
        ValueError: The config, a choice or the workdir is wrong.
    """
    ledger, _ = _open(config, workdir, Choice(stages, rows, seeds))
    return estimates.describe(ledger, jobs, usable_cores())


def _open(
    config: config_dict.ConfigDict, workdir: str, choice: Choice
) -> tuple[Ledger, list[int]]:
    """Checks everything; returns the ledger and the seeds of the experiment."""
    check_workdir(workdir)
    _check_no_training(workdir)
    registry.find(config).check_config(config)
    check_seeds(config.seeds, "config.seeds")
    if choice.seeds:
        check_seeds(choice.seeds, "--seeds")
    seeds = list(dict.fromkeys((*config.seeds, *choice.seeds)))
    stages = registry.make_stages(config, seeds)
    return Ledger(stages, choice.of(stages), os.path.abspath(workdir)), seeds


def _check_no_training(workdir: str) -> None:
    """Raises ValueError for a training run, whose files have the same names."""
    path = os.path.join(workdir, _CONFIG_FILE)
    if not os.path.exists(path):
        return
    try:
        content = read_json(path)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove it if {workdir} is an experiment's"
        ) from error
    if "label_names" in content:
        raise ValueError(
            f"{workdir} is the workdir of a training run; choose another one"
        )


def _write_config(config: config_dict.ConfigDict, workdir: str) -> None:
    # A changed config is no other experiment: each stage sees what concerns it.
    former = os.path.join(workdir, _CONFIG_FILE)
    if os.path.exists(former):
        os.remove(former)
    claim_workdir(workdir, config)


def is_unfinished(stage: dict[str, Any]) -> bool:
    """Whether a stage of `results.json` failed, or was chosen and did not run."""
    if stage["state"] == NOT_RUN:
        return not stage["reason"].startswith(NOT_CHOSEN)
    return stage["state"] == FAILED


def _summarize(stages: Sequence[dict[str, Any]], echo: Callable[[str], None]) -> None:
    """Says how many stages were up to date, and which did not run."""
    skipped = sum(stage["state"] == SKIPPED for stage in stages)
    if skipped:
        echo(f"{skipped} of {len(stages)} stages were up to date")
    for stage in stages:
        if stage["state"] == NOT_RUN and is_unfinished(stage):
            echo(f"{stage['stage']} did not run: {stage['reason']}")
