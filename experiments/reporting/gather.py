"""From the folders of a workdir to what the page shows.

What a failed or unfinished stage has not written is listed under `missing`, by section,
but not what is still to run; a file that is there but damaged is an error.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from typing import Any

from experiments.reporting import heat, training_runs, web_clips
from experiments.reporting.workdir import Workdir
from spl_tf import clips
from spl_tf.analysis.report import DatasetFacts, ReportContent, Row, Stage
from spl_tf.runs import run_folder

_ROLES = {
    "target_train": "target clips for training",
    "target_val": "target clips for validation",
    "web": "web clips",
    "web_teacher": "web clips with the teacher's labels",
}
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
        workdir: Of `run_pipeline`.

    Raises:
        FileNotFoundError: There is no `results.json`.
        ValueError: A file is damaged; the message names it.
    """
    source = Workdir(workdir)
    results = source.results
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
        stages=[_stage(entry) for entry in results.get("stages", ())],
        configs=_configs(source),
        versions=_versions(source),
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


def _stage(entry: Mapping[str, Any]) -> Stage:
    return Stage(
        name=entry["stage"],
        seconds=entry.get("seconds"),
        state=entry["state"],
        reason=entry.get("reason") or "",
        log=entry.get("log") or "",
    )


def _datasets(source: Workdir) -> list[DatasetFacts]:
    """The datasets of the first seed; all seeds are made in the same way."""
    found = []
    for entry in source.results["seeds"][:1]:
        for key, role in _ROLES.items():
            path = source.find_dataset("datasets", role, entry, key)
            if path is None:
                continue
            info = clips.DatasetInfo.load(path)
            teacher = {
                k: v for k, v in (info.teacher or {}).items() if k != "confusion"
            }
            found.append(
                DatasetFacts(
                    role=role,
                    path=entry[key],
                    label_kind=info.label_kind,
                    clips=info.num_clips,
                    classes=len(info.class_names),
                    num_bytes=sum(shard["num_bytes"] for shard in info.shards),
                    source=teacher or info.source,
                    # Prediction copies the list of the dataset that it labels.
                    skipped=() if info.teacher else info.skipped,
                )
            )
    return found


def _configs(source: Workdir) -> dict[str, Any]:
    """The experiment's config, and those of the runs of one strategy."""
    found = {}
    path = os.path.join(source.path, "config.json")
    if os.path.exists(path):
        found["Config of the experiment"] = run_folder.read_json(path)["config"]
    for row in source.results["rows"][-1:]:
        for phase in ("pretrain", "finetune"):
            path = os.path.join(source.path, row.get(phase) or "", "config.json")
            if row.get(phase) and os.path.exists(path):
                title = f"Config of a run: {row[phase]}"
                found[title] = run_folder.read_json(path)["config"]
    return found


def _versions(source: Workdir) -> dict[str, str]:
    path = os.path.join(source.path, "config.json")
    if not os.path.exists(path):
        return {}
    content = run_folder.read_json(path)
    found = dict(content["versions"])
    if content.get("git_revision"):
        found["source"] = content["git_revision"]
    return found
