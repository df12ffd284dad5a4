"""What a paper's experiment gives the engine, found by the name that its config has.

This is the engine's only way to a paper: `config.experiment` is the name of a folder of
`experiments/` whose `experiment.py` has `EXPERIMENT`, or the whole name of such a
module elsewhere.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ml_collections import config_dict

from experiments.pipeline.fingerprints import Record
from experiments.pipeline.stages import RESULTS_FILE, Input, Stage
from experiments.pipeline.task import Action

# What configs were of that say nothing: those from before there were several.
_FIRST = "spl"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a paper's experiment gives the engine.

    Attributes:
        check_config: Raises ValueError or FileNotFoundError, which name the key, for a
            config that is impossible, before any work.
        stages: Gives the stages of a config and a seed, in the order in which they
            should start if several can; each comes after those that it needs. One that
            all seeds share is the same for each.
        actions: What its stages can do beside `actions.ACTIONS`, or instead, by name;
            see there. They replace a former result by themselves.
        collect: From config, seeds, and the record of a stage that is up to date by
            its name, what `results.json` has beside title, description and stages.
        format_table: Makes text for the terminal of the content of `results.json`.
        report: Makes the HTML page of a workdir.
    """

    check_config: Callable[[config_dict.ConfigDict], None]
    stages: Callable[[config_dict.ConfigDict, int], Iterable[Stage]]
    actions: Mapping[str, Action]
    collect: Callable[
        [config_dict.ConfigDict, Sequence[int], Callable[[str], Record | None]],
        dict[str, Any],
    ]
    format_table: Callable[[dict[str, Any]], str]
    report: Callable[[str], str]


def find(config: Mapping[str, Any]) -> Experiment:
    """The experiment that a config is of.

    Raises:
        ValueError: There is none of that name.
    """
    name = config.get("experiment", _FIRST)
    module = name if "." in name else f"experiments.{name}.experiment"
    try:
        return importlib.import_module(module).EXPERIMENT
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # one that it imports
        raise ValueError(
            f"config.experiment is {name!r}, expected a folder of experiments/ with an "
            f"experiment.py, or the whole name of a module: {error}"
        ) from error


def default_config(experiment: str) -> config_dict.ConfigDict:
    """The keys that the config of every experiment has; a paper adds its own.

    Args:
        experiment: Name of a folder or module, see `find`.
    """
    config = config_dict.ConfigDict()
    config.experiment = experiment
    config.title = ""
    config.description = ""
    config.seeds = (0,)
    config.report = True
    return config


def make_stages(config: config_dict.ConfigDict, seeds: Iterable[int]) -> list[Stage]:
    """All stages of an experiment; each comes after those that it needs.

    Raises:
        ValueError: Two rows would have the same folder.
    """
    experiment = find(config)
    stages: dict[str, Stage] = {}
    for seed in seeds:
        for stage in experiment.stages(config, seed):
            # Those that all seeds share come once per seed.
            other = stages.setdefault(stage.name, stage)
            if other.row != stage.row:
                raise ValueError(
                    f"rows {other.row!r} and {stage.row!r} would both be {stage.name}; "
                    "give one another name"
                )
    if config.report:
        results = {"results": Input("results", RESULTS_FILE)}
        stages["report"] = Stage("report", "report", {}, results, "report")
    _check_outputs(stages.values())
    return list(stages.values())


def _check_outputs(stages: Iterable[Stage]) -> None:
    makers: dict[str, str] = {}
    for stage in stages:
        other = makers.setdefault(stage.output, stage.name)
        if other != stage.name:
            raise ValueError(
                f"{other} and {stage.name} would both write {stage.output}; give one "
                "another name"
            )
