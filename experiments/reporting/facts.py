"""What a workdir says of its datasets, configs, versions and stages."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from experiments.reporting.workdir import Workdir
from spl_tf import clips
from spl_tf.analysis.report import DatasetFacts, Stage
from spl_tf.runs import run_folder


def read_dataset(directory: str, path: str, role: str) -> DatasetFacts:
    """How a dataset was made, and what was left out.

    Args:
        directory: Folder of the dataset.
        path: Path of the dataset as the page shows it.
        role: What the dataset is for, in words.
    """
    info = clips.DatasetInfo.load(directory)
    teacher = {k: v for k, v in (info.teacher or {}).items() if k != "confusion"}
    return DatasetFacts(
        role=role,
        path=path,
        label_kind=info.label_kind,
        clips=info.num_clips,
        classes=len(info.class_names),
        num_bytes=sum(shard["num_bytes"] for shard in info.shards),
        source=teacher or info.source,
        # Prediction copies the list of the dataset that it labels.
        skipped=() if info.teacher else info.skipped,
    )


def read_configs(source: Workdir, runs: Iterable[str]) -> dict[str, Any]:
    """The experiment's config, and those of some of its runs, by title.

    Args:
        source: The experiment's workdir.
        runs: Folders of trainings in it; one that is not there is left out.
    """
    titles = {"": "Config of the experiment"}
    titles |= {run: f"Config of a run: {run}" for run in runs}
    found = {}
    for folder, title in titles.items():
        path = os.path.join(source.path, folder, "config.json")
        if os.path.exists(path):
            found[title] = run_folder.read_json(path)["config"]
    return found


def read_versions(source: Workdir) -> dict[str, str]:
    """Versions of what made the results."""
    path = os.path.join(source.path, "config.json")
    if not os.path.exists(path):
        return {}
    content = run_folder.read_json(path)
    found = dict(content["versions"])
    if content.get("git_revision"):
        found["source"] = content["git_revision"]
    return found


def read_stages(source: Workdir) -> list[Stage]:
    """State, duration, reason and log of each stage, as `results.json` has them."""
    return [
        Stage(
            name=entry["stage"],
            seconds=entry.get("seconds"),
            state=entry["state"],
            reason=entry.get("reason") or "",
            log=entry.get("log") or "",
        )
        for entry in source.results.get("stages", ())
    ]
