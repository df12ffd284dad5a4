"""The tables of an experiment: their content, and their form for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ml_collections import config_dict

from experiments.motionfit.config import Row, rows_of, self_trained, used_splits
from experiments.motionfit.stages import Layout, teacher_of
from experiments.pipeline.fingerprints import Record
from experiments.pipeline.results import format_progress
from experiments.reporting import text_table

Records = Callable[[str], Record | None]
RECALLS = ("1", "5", "10", "20", "50")  # of the n nearest clips, n as text


def collect(
    config: config_dict.ConfigDict, seeds: Iterable[int], record: Records
) -> dict[str, Any]:
    """What `results.json` says of rows and seeds, as far as there are results.

    Args:
        config: The experiment's whole config.
        seeds: Seeds whose rows are shown.
        record: Gives the record of a stage whose result is up to date, by its name.
    """
    layouts = [Layout(config, seed) for seed in seeds]
    rows = [_row(layout, row, record) for layout in layouts for row in rows_of(config)]
    everything = {
        "title": "Rows",
        "text": "",
        "rows": list(config.strategies),
        "reference": config.strategies[0],
        "paper": {},
    }
    return {
        "strategies": list(config.strategies),
        "tables": list(config.tables) or [everything],
        "seeds": [_seed(config, layout, record) for layout in layouts],
        "rows": [row for row in rows if row is not None],
    }


def _seed(config, layout: Layout, record: Records) -> dict[str, Any]:
    teachers = {
        teacher_of(row): row for row in (*rows_of(config), *self_trained(config))
    }
    clusters = [_clusters(layout, row, record) for row in self_trained(config)]
    return {
        "seed": layout.seed,
        "world": layout.world,
        "datasets": {split: layout.records(split) for split in used_splits(config)},
        "teachers": {
            name: evaluated.facts["top_1"]
            for name, row in teachers.items()
            if row.teacher
            and (evaluated := record(layout.stage("evaluate_teacher", name)))
        },
        "teacher_runs": {
            name: layout.teacher(row)
            for name, row in teachers.items()
            if row.teacher and record(layout.stage("train_teacher", name))
        },
        "clusters": [found for found in clusters if found is not None],
    }


def _clusters(layout: Layout, row: Row, record: Records) -> dict[str, Any] | None:
    """What became of a row's clusters; None if there are none yet."""
    clustered = record(layout.stage("cluster", row.name))
    if clustered is None:
        return None
    facts = {
        key: clustered.facts[key] for key in ("clips", "clusters", "purity", "nmi")
    }
    return {
        "row": row.name,
        "teacher": teacher_of(row),
        "source": row.source,
        "folder": layout.clusters(row),
        **facts,
    }


def _row(layout: Layout, row: Row, record: Records) -> dict[str, Any] | None:
    """A row of the table; None if it is not evaluated yet."""
    trained = record(layout.stage(row.name, row.phases[-1]))
    evaluated = record(layout.stage(row.name, "evaluate"))
    if trained is None or evaluated is None:
        return None
    retrieved = record(layout.stage(row.name, "retrieve"))
    return {
        "seed": layout.seed,
        "strategy": row.name,
        "labelled": row.fraction,
        "top_1": evaluated.facts["top_1"],
        "top_5": evaluated.facts["top_5"],
        "mAP": evaluated.facts["mAP"],
        "recall": retrieved.facts["recall"] if retrieved else None,
        "train_loss": trained.facts["train_loss"],
        "run": layout.run(row),
        "evaluation": layout.evaluation(row),
        "retrieval": layout.retrieval(row) if retrieved else None,
        "seconds": {"train": trained.seconds, "evaluate": evaluated.seconds},
    }


def format_table(results: dict[str, Any]) -> str:
    """The results as tables for the terminal: clusters, and the rows.

    Over several seeds numbers are means with standard errors, and a row's last columns
    say what it is ahead of the table's reference, seed by seed.
    """
    clusters = cluster_table(results["seeds"])
    lines = text_table.aligned(clusters) if clusters else []
    if not results["rows"]:
        return "\n".join([*lines, format_progress(results)])
    for table in results["tables"]:
        rows = by_row(table["rows"], results["rows"])
        if rows:
            lines += ["", table["title"], *_lines_of(rows, table["reference"])]
    return "\n".join(lines).strip()


def by_row(
    names: Iterable[str], results: Sequence[Mapping[str, Any]]
) -> dict[str, list[Mapping[str, Any]]]:
    """The results of each row that has some, a result per seed."""
    found = {
        name: [row for row in results if row["strategy"] == name] for name in names
    }
    return {name: rows for name, rows in found.items() if rows}


def recall_cells(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """R@n of a row for each of `RECALLS`, "-" for more clips than there are."""
    return [
        text_table.share([row["recall"][n] for row in rows if n in row["recall"]])
        for n in RECALLS
    ]


def _lines_of(rows: Mapping[str, list], reference: str) -> list[str]:
    base = reference if reference in rows else next(iter(rows))
    searched = all(row["recall"] for found in rows.values() for row in found)
    recalls = [f"R@{n}" for n in RECALLS if searched]
    table = [["row", "labelled", "top-1", f"ahead of {base} by", *recalls, "seeds"]]
    for name, found in rows.items():
        table.append(
            [
                name,
                f"{found[0]['labelled']:.0%}",
                text_table.share([row["top_1"] for row in found]),
                "" if name == base else text_table.ahead(found, rows[base]),
                *(recall_cells(found) if searched else ()),
                str(len(found)),
            ]
        )
    return text_table.aligned(table)


def cluster_table(seeds: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """How good each row's clusters are, and the teacher that they are from.

    Returns:
        A line of headings and one per row with clusters; nothing without any.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        for entry in seed["clusters"]:
            accuracy = seed["teachers"].get(entry["teacher"])
            found.setdefault(entry["row"], []).append(entry | {"top_1": accuracy})
    head = ["clusters", "features", "their top-1", "clips", "number", "purity", "NMI"]
    table = [head]
    for row, entries in found.items():
        accuracies = [entry["top_1"] for entry in entries if entry["top_1"] is not None]
        table.append(
            [
                row,
                entries[0]["teacher"],
                text_table.share(accuracies),
                f"{text_table.mean(entries, 'clips'):,.0f}",
                f"{text_table.mean(entries, 'clusters'):,.0f}",
                *_agreement(entries),
            ]
        )
    return table if found else []


def _agreement(entries: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Purity and NMI, of sources whose classes are known."""
    known = [entry for entry in entries if entry["purity"] is not None]
    if not known:
        return "-", "-"
    purity = text_table.share([entry["purity"] for entry in known])
    return purity, f"{text_table.mean(known, 'nmi'):.3f}"
