"""The page of a workdir: rows, clusters, what is found, what is trained on."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from typing import Any

from experiments.cluster_features import nearest_films
from experiments.motionfit.config import WEB
from experiments.motionfit.results import (
    RECALLS,
    by_row,
    cluster_table,
    recall_cells,
)
from experiments.reporting import facts
from experiments.reporting.films import training_films
from experiments.reporting.row_tables import row_table
from experiments.reporting.workdir import Workdir
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL
from spl_tf.analysis.report import (
    Chapter,
    DatasetFacts,
    ExperimentContent,
    Films,
    RowTable,
    render_experiment,
)
from spl_tf.clips import ClipDataset
from spl_tf.runs import run_folder
from spl_tf.training.config import completed

_KEYS = ("title", "strategies", "tables", "seeds", "rows")
_SHOWN_CLUSTERS = 6
_PAPER = "https://arxiv.org/abs/2105.01646"


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
    done = {row["seed"] for row in results["rows"]}
    # One seed is shown.
    seed, *_ = sorted(results["seeds"], key=lambda entry: entry["seed"] not in done)
    run = next((r["run"] for r in results["rows"] if r["seed"] == seed["seed"]), None)
    return ExperimentContent(
        title=results["title"],
        kicker="MotionFit",
        description=results.get("description") or "",
        method=_PAPER,
        tables=[_table(table, results) for table in results["tables"]],
        chapters=[*_clusters(source, seed), *_retrieval(results)],
        films=_teacher_films(source, seed),
        datasets=_datasets(source, seed),
        stages=facts.read_stages(source),
        configs=facts.read_configs(source, [run] if run else []),
        versions=facts.read_versions(source),
        missing=source.missing,
        built=datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M UTC"
        ),
    )


def _table(table: Mapping[str, Any], results: Mapping[str, Any]) -> RowTable:
    rows = [name for name in table["rows"] if name in results["strategies"]]
    main = next((name for name in rows if name.startswith("motionfit")), "")
    return row_table(table, results, table["reference"], main, "row")


def _clusters(source: Workdir, seed: Mapping[str, Any]) -> list[Chapter]:
    """How good each row's clusters are, and clips of the largest of some rows."""
    head, *rows = cluster_table(source.results["seeds"]) or [()]
    films = []
    for entry in seed["clusters"][:2]:
        folder = source.find("clusters", f"clusters of {entry['row']}", entry["folder"])
        dataset = os.path.join(source.path, seed["datasets"].get(entry["source"], ""))
        if folder and os.path.exists(os.path.join(dataset, "dataset.json")):
            found = run_folder.read_json(os.path.join(folder, "clusters.json"))
            shown = nearest_films(
                ClipDataset(dataset), found["nearest"], _SHOWN_CLUSTERS
            )
            films += [
                Films(
                    f"{entry['row']}, {each.title}",
                    each.sprite,
                    each.clips,
                    f"{found['sizes'][int(number)]:,} clips; the nearest to its "
                    "centroid, with their classes, which nothing was told",
                )
                for number, each in shown.items()
            ]
    if not rows:
        return []
    text = (
        "Features of videos whose labels are not looked at, in clusters by k-means. "
        "Purity: the share of clips that are of their cluster's most frequent class; "
        "NMI: the normalised mutual information of clusters and classes. Classes are "
        "those of the records: of web videos, what was searched for. Each row's "
        f"clusters have a page, {os.path.join('seed_N', 'clusters', 'ROW')}/index.html."
    )
    return [Chapter("clusters", "Clusters", text, head, rows, films)]


def _retrieval(results: Mapping[str, Any]) -> list[Chapter]:
    rows = by_row(results["strategies"], results["rows"])
    searched = {
        name: found for name, found in rows.items() if all(r["recall"] for r in found)
    }
    if not searched:
        return []
    text = (
        "R@n: the share of clips for validation with one of their class among the n "
        "nearest of the target's training clips, by the cosine of features before "
        "fine-tuning. Each row has a page of queries and what they find, "
        f"{os.path.join('seed_N', 'retrieval', 'ROW')}/index.html."
    )
    head = ["row", *(f"R@{n}" for n in RECALLS), "seeds"]
    cells = [
        [name, *recall_cells(found), str(len(found))]
        for name, found in searched.items()
    ]
    return [Chapter("retrieval", "Retrieval", text, head, cells)]


def _teacher_films(source: Workdir, seed: Mapping[str, Any]) -> list[Films]:
    """What the networks that give labels see: frames, or their motion."""
    films = []
    for name, folder in seed["teacher_runs"].items():
        place = source.find("films", f"the training of {name}", folder)
        if place:
            record = run_folder.read_json(os.path.join(place, "config.json"))
            try:
                films += [
                    Films(f"{name}: {each.title}", each.sprite, each.clips, each.text)
                    for each in training_films(completed(record["config"]))
                ]
            except FileNotFoundError as error:  # the workdir was moved
                source.miss("films", str(error))
    return films


def _datasets(source: Workdir, seed: Mapping[str, Any]) -> list[DatasetFacts]:
    """The datasets of a seed; all seeds are made in the same way."""
    roles = {
        TARGET_TRAIN: "target clips for training",
        TARGET_VAL: "target clips for validation",
        WEB: "videos without labels",
    }
    found = []
    for split, path in seed["datasets"].items():
        directory = os.path.join(source.path, path)
        if os.path.exists(os.path.join(directory, "dataset.json")):
            found.append(facts.read_dataset(directory, path, roles[split]))
    return found
