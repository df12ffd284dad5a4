"""The page of a workdir: rows, what was filtered, near-copies, what is trained on."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from experiments.filter_clips import read_kept
from experiments.omnisource.config import TARGET
from experiments.omnisource.results import only_table
from experiments.reporting import facts
from experiments.reporting.films import motion_films, training_films
from experiments.reporting.near_copies import read_duplicates
from experiments.reporting.row_tables import row_table
from experiments.reporting.workdir import Workdir
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL
from spl_tf.analysis.report import (
    DatasetFacts,
    Duplicates,
    ExperimentContent,
    Films,
    FilteredSource,
    render_experiment,
)
from spl_tf.clips import ClipDataset
from spl_tf.motion import CameraMotion
from spl_tf.runs import run_folder
from spl_tf.training.config import completed, default_source

_KEYS = ("title", "strategies", "seeds", "rows")
_SHOWN_PAIRS = 12  # of each source
_PAPER = "https://arxiv.org/abs/2003.13042"
_Made = TypeVar("_Made")


def render(workdir: str | os.PathLike) -> str:
    """Makes the page, HTML.

    Args:
        workdir: Folder that `run_pipeline` works in.

    Raises:
        FileNotFoundError: There is no `results.json`.
        ValueError: A file is damaged; the message names it.
    """
    return render_experiment(gather(workdir))


def gather(workdir: str | os.PathLike) -> ExperimentContent:
    """Reads all that the page shows; see `render`."""
    source = Workdir(workdir, _KEYS, {})
    results = source.results
    rows = results["rows"]
    # What was finished before there were tables has the paper's numbers alone.
    tables = results.get("tables") or [
        only_table(results["strategies"], results.get("paper") or {})
    ]
    done = {row["seed"] for row in rows}
    # One seed is shown, and of its rows the one with most web data.
    seed, *_ = sorted(results["seeds"], key=lambda entry: entry["seed"] not in done)
    shown = [row for row in rows if row["seed"] == seed["seed"]]
    run = max(shown, key=lambda row: len(row["sources"]))["run"] if shown else None
    return ExperimentContent(
        title=results["title"],
        kicker="OmniSource",
        description=results.get("description") or "",
        method=_PAPER,
        tables=[row_table(table, results, TARGET, "all") for table in tables],
        filtered=_of_sources(source, seed, "filtered", _filtered),
        duplicates=_of_sources(source, seed, "duplicates", _duplicates),
        films=_films(source, seed, run),
        datasets=_datasets(source, seed),
        stages=facts.read_stages(source),
        configs=facts.read_configs(source, [run] if run else []),
        versions=facts.read_versions(source),
        missing=source.missing,
        built=datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M UTC"
        ),
    )


def _of_sources(
    source: Workdir,
    seed: Mapping[str, Any],
    section: str,
    read: Callable[[Workdir, Mapping[str, Any], Mapping[str, Any], str], _Made],
) -> list[_Made]:
    """What is read of each web source of a seed, as far as its stage has run."""
    found = []
    for entry in seed["sources"]:
        if not entry[section]:
            continue  # its stage is still to run, or there is none
        folder = source.find(section, entry["source"], entry[section])
        if folder:
            found.append(read(source, seed, entry, folder))
    return found


def _filtered(source, seed, entry, folder: str) -> FilteredSource:
    rules = run_folder.read_json(os.path.join(folder, "results.json"))["filter"]
    words = ["without near-copies"] if rules.pop("exclude_ids") else []
    usual = default_source().filter
    words += [
        f"{key.replace('_', ' ')} {value}"
        for key, value in rules.items()
        if value != usual[key]
    ]
    return FilteredSource(entry["source"], read_kept(folder), ", ".join(words))


def _duplicates(source, seed, entry, folder: str) -> Duplicates:
    return read_duplicates(
        folder,
        _SHOWN_PAIRS,
        os.path.join(source.path, seed["datasets"][entry["source"]]),
        os.path.join(source.path, seed["datasets"][TARGET_VAL]),
    )


def _films(source: Workdir, seed: Mapping[str, Any], run: str | None) -> list[Films]:
    """Clips of each source as a row is trained on them, and how the cameras move."""
    films: list[Films] = []
    folder = run and source.find("films", "a row's training", run)
    if folder:
        record = run_folder.read_json(os.path.join(folder, "config.json"))
        try:
            films += training_films(completed(record["config"]))
        except FileNotFoundError as error:  # the workdir was moved
            source.miss("films", str(error))
    if seed["motion"]:
        motion = source.find("films", "the cameras' motion", seed["motion"])
        target = os.path.join(source.path, seed["datasets"][TARGET_TRAIN])
        if motion and os.path.exists(target):
            films += motion_films(CameraMotion.load(motion), ClipDataset(target))
    return films


def _datasets(source: Workdir, seed: Mapping[str, Any]) -> list[DatasetFacts]:
    """The datasets of a seed; all seeds are made in the same way."""
    roles = {
        TARGET_TRAIN: "target clips for training",
        TARGET_VAL: "target clips for validation",
    }
    found = []
    for split, path in seed["datasets"].items():
        if os.path.exists(os.path.join(source.path, path, "dataset.json")):
            role = roles.get(split, f"web data: {split}")
            directory = os.path.join(source.path, path)
            found.append(facts.read_dataset(directory, path, role))
    return found
