"""From the folders of a workdir to what the page shows.

What a failed or unfinished stage has not written is listed under `missing`, by section,
but not what is still to run; a file that is there but damaged is an error.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from typing import Any

from experiments.reporting import facts
from experiments.reporting.workdir import Workdir
from experiments.spl.reporting import heat, training_runs, web_clips
from spl_tf.analysis.report import DatasetFacts, ReportContent, Row

_KEYS = ("title", "strategies", "seeds", "rows")
# What each dataset of a seed is for, and which stage makes it.
_ROLES = {
    "target_train": "target clips for training",
    "target_val": "target clips for validation",
    "web": "web clips",
    "web_teacher": "web clips with the teacher's labels",
}
_MAKERS = {key: f"convert_{key}" for key in _ROLES} | {"web_teacher": "predict"}
_PHASES = ("pretrain", "finetune")
_ROW_FIELDS = (
    "strategy",
    "seed",
    "labels",
    "clips",
    "kept",
    "cover",
    "top_1",
    "top_5",
    "mAP",
    "probe_top_1",
)


def gather(workdir: str | os.PathLike) -> ReportContent:
    """Reads all that the report shows.

    Args:
        workdir: Folder of an experiment that runs or ran, finished or not.

    Raises:
        FileNotFoundError: The folder has no `results.json`.
        ValueError: A file is damaged; the message names it.
    """
    source = Workdir(workdir, _KEYS, _MAKERS)
    results = source.results
    runs = [row.get(phase) for row in results["rows"][-1:] for phase in _PHASES]
    rows = [_row(row) for row in results["rows"]]
    _note_absent_rows(source, rows)
    web = web_clips.read_web_clips(source)
    return ReportContent(
        title=results["title"],
        description=results.get("description") or "",
        strategies=list(results["strategies"]),
        rows=rows,
        curve=[_row(row) for row in results.get("curve") or ()],
        paper=results.get("paper"),
        noise_ratios={
            entry["seed"]: entry["noise_ratio"]
            for entry in results["seeds"]
            if entry.get("noise_ratio") is not None
        },
        web=web,
        learning=training_runs.read_curves(source),
        counts=training_runs.read_counts(source),
        heat=heat.draw_strips(source, web),
        datasets=_datasets(source),
        stages=facts.read_stages(source),
        configs=facts.read_configs(source, filter(None, runs)),
        versions=facts.read_versions(source),
        missing=source.missing,
        built=datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M UTC"
        ),
    )


def _row(entry: Mapping[str, Any]) -> Row:
    values = {name: entry.get(name) for name in _ROW_FIELDS}
    return Row(**values, seconds=entry.get("seconds") or {})


def _note_absent_rows(source: Workdir, rows: list[Row]) -> None:
    if source.is_planned():
        return  # a row is there once it is evaluated
    found = {(row.strategy, row.seed) for row in rows if row.top_1 is not None}
    seeds = [entry["seed"] for entry in source.results["seeds"]]
    for strategy in source.results["strategies"]:
        absent = [str(seed) for seed in seeds if (strategy, seed) not in found]
        if absent:
            source.miss("rows", f"{strategy}: no result of seed {', '.join(absent)}")


def _datasets(source: Workdir) -> list[DatasetFacts]:
    """The datasets of the first seed; all seeds are made in the same way."""
    found = []
    for entry in source.results["seeds"][:1]:
        for key, role in _ROLES.items():
            path = source.find_dataset("datasets", role, entry, key)
            if path is not None:
                found.append(facts.read_dataset(path, entry[key], role))
    return found
