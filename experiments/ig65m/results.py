"""The tables of an experiment: their content, and their form for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import config_dict

from experiments.ig65m.config import (
    Row,
    chosen_subsets,
    parse_space,
    parse_subset,
    rows_of,
    subsets_of,
)
from experiments.ig65m.stages import Layout
from experiments.pipeline.fingerprints import Record
from experiments.pipeline.results import format_progress
from experiments.reporting import text_table
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL

Records = Callable[[str], Record | None]
FINETUNED, LINEAR = MEASURES = ("finetuned", "linear")  # of a row, in `results.json`


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
    rows = [
        _row(config, layout, row, record)
        for layout in layouts
        for row in rows_of(config)
    ]
    everything = {
        "title": "Rows",
        "text": "",
        "rows": list(config.strategies),
        "reference": config.strategies[0],
        "paper": {},
        "figure": "",
    }
    return {
        "strategies": list(config.strategies),
        "metric": config.metric,
        "tables": list(config.tables) or [everything],
        "seeds": [_seed(config, layout, record) for layout in layouts],
        "rows": [row for row in rows if row is not None],
    }


def _seed(config, layout: Layout, record: Records) -> dict[str, Any]:
    names = dict.fromkeys(subset.space for subset in chosen_subsets(config))
    spaces = [_space(config, layout, name, record) for name in names]
    targets = {split: layout.clips(split) for split in (TARGET_TRAIN, TARGET_VAL)}
    subsets = {subset.name: layout.videos(subset) for subset in subsets_of(config)}
    return {
        "seed": layout.seed,
        "world": layout.world,
        "datasets": targets,
        "subsets": subsets,
        "spaces": [space for space in spaces if space],
    }


def _space(config, layout: Layout, name: str, record: Records) -> dict[str, Any] | None:
    """What became of a label space's posts; None if there is nothing yet."""
    space = parse_space(config, name)
    if space.manifest:
        return None
    tags = record(layout.of_data("make_queries", name))
    found = record(layout.of_data("make_manifest", name))
    if tags is None or found is None:
        return None
    keys = ("videos", "posts", "left_out", "of_label")
    return {
        "space": name,
        "hashtags": tags.facts["count"],
        "shared": tags.facts["shared"],
        "seeds": tags.facts["labels"],
        **{key: found.facts[key] for key in keys},
    }


def _row(config, layout: Layout, row: Row, record: Records) -> dict[str, Any] | None:
    """A row of the table; None if it is not evaluated yet."""
    trained = record(layout.stage(row.name, row.phases[-1]))
    measured = {
        kind: record(layout.stage(row.name, f"evaluate_{kind}")) for kind in MEASURES
    }
    if trained is None or measured[FINETUNED] is None:
        return None
    pretrained = row.subset and record(layout.stage(row.name, "pretrain"))
    found = {
        kind: {key: done.facts.get(key) for key in ("top_1", "top_5", "mAP")}
        for kind, done in measured.items()
        if done
    }
    return {
        "seed": layout.seed,
        "strategy": row.name,
        **_of_subset(config, layout, row, record),
        FINETUNED: found[FINETUNED],
        LINEAR: found.get(LINEAR),
        "train_loss": trained.facts["train_loss"],
        "learning_rate": trained.facts.get("winner"),
        "run": layout.run(row),
        "pretrained": layout.pretrained(row) if row.subset else None,
        "evaluation": layout.evaluation(row, FINETUNED),
        "seconds": {
            "pretrain": pretrained.seconds if pretrained else 0.0,
            "train": trained.seconds,
            **{kind: done.seconds for kind, done in measured.items() if done},
        },
    }


def _of_subset(config, layout: Layout, row: Row, record: Records) -> dict[str, Any]:
    """What a row was pre-trained on, None for nothing."""
    if not row.subset:
        return dict.fromkeys(("space", "sampling", "videos", "labels"))
    subset = parse_subset(config, row.subset)
    converted = record(layout.of_data("convert", subset.name))
    return {
        "space": subset.space,
        "sampling": subset.settings.get("sampling", "random"),
        "videos": converted and converted.facts["clips"],
        "labels": converted and converted.facts["classes"],
    }


def by_row(
    names: Iterable[str], results: Mapping[str, Any], kind: str
) -> dict[str, list[dict[str, Any]]]:
    """The results of each row that has some of a kind, one per seed.

    Args:
        names: Names of rows.
        results: The content of `results.json`.
        kind: One of `MEASURES`.

    Returns:
        Entries of `results["rows"]`, whose `top_1` is the measure that the experiment
        shows, which may be a mean average precision.
    """
    metric, found = results["metric"], {}
    for name in names:
        rows = [
            row | {"top_1": row[kind][metric], "top_5": None, "mAP": row[kind]["mAP"]}
            for row in results["rows"]
            if row["strategy"] == name and row[kind]
        ]
        if rows:
            found[name] = rows
    return found


def shown_tables(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tables that compare rows as far as there are results; all, if none does."""
    tables = results["tables"]
    done = [
        table for table in tables if len(by_row(table["rows"], results, FINETUNED)) > 1
    ]
    return done or tables


def log_linear_fit(
    sizes: Sequence[float], values: Sequence[float]
) -> tuple[float, float] | None:
    """The line through values over the decimal logarithm of sizes (Figure 1).

    Returns:
        What a factor of ten adds, and the value at size 1; None of fewer than two
        different sizes.
    """
    if len(set(sizes)) < 2:
        return None
    slope, start = np.polyfit(np.log10(sizes), values, 1)
    return float(slope), float(start)


def curves(
    table: Mapping[str, Any], results: Mapping[str, Any]
) -> dict[tuple[str, str], list[tuple[float, list[float]]]]:
    """A table's accuracies by how many videos or labels rows are pre-trained on.

    Returns:
        By measure and sampling, (size, values of the seeds), ascending.
    """
    found: dict[tuple[str, str], list[tuple[float, list[float]]]] = {}
    for kind in MEASURES:
        for rows in by_row(table["rows"], results, kind).values():
            if rows[0]["space"]:
                size = text_table.mean(rows, table["figure"])
                curve = found.setdefault((kind, rows[0]["sampling"]), [])
                curve.append((size, [row["top_1"] for row in rows]))
    return {key: sorted(curve) for key, curve in found.items()}


def fit_lines(table: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """What the log-linear fits of a table's curves say, a sentence each."""
    lines = []
    for (kind, sampling), points in curves(table, results).items():
        sizes = [size for size, values in points for _ in values]
        fit = log_linear_fit(sizes, [v for _, values in points for v in values])
        if fit:
            lines.append(
                f"{kind}, {sampling}: {100 * fit[0]:+.1f} points for ten times the "
                f"{table['figure']}"
            )
    return lines


def format_table(results: dict[str, Any]) -> str:
    """The results as tables for the terminal: label spaces, and the rows.

    Over several seeds numbers are means with standard errors; "ahead" is what a row is
    better by than the table's reference, seed by seed.
    """
    spaces = space_table(results["seeds"])
    lines = text_table.aligned(spaces) if spaces else []
    if not results["rows"]:
        return "\n".join([*lines, format_progress(results)])
    for table in shown_tables(results):
        found = {kind: by_row(table["rows"], results, kind) for kind in MEASURES}
        if not found[FINETUNED]:
            continue
        lines += ["", table["title"], *_lines_of(found, table["reference"])]
        if table["figure"] in ("videos", "labels"):
            lines += fit_lines(table, results)
    return "\n".join(lines).strip()


def _lines_of(found: Mapping[str, Mapping[str, list]], reference: str) -> list[str]:
    ahead = [f"{kind} ahead" for kind in MEASURES]
    table = [["row", "videos", "labels", *MEASURES, *ahead, "seeds"]]
    for name, rows in found[FINETUNED].items():
        cells, ahead = [], []
        for kind in MEASURES:
            mine, base = (found[kind].get(each, []) for each in (name, reference))
            cells.append(text_table.share([row["top_1"] for row in mine]))
            compared = mine and base and name != reference
            ahead.append(text_table.ahead(mine, base) if compared else "")
        table.append([name, *sizes_of(rows), *cells, *ahead, str(len(rows))])
    return text_table.aligned(table)


def sizes_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many videos of how many labels a row is pre-trained on."""
    if rows[0]["videos"] is None:
        return ["-", "-"]
    return [f"{text_table.mean(rows, key):,.0f}" for key in ("videos", "labels")]


def space_table(seeds: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """What label spaces have, as means over seeds.

    Returns:
        A line of headings and one per space; nothing without any.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for seed in seeds:
        for entry in seed["spaces"]:
            labels = entry["of_label"]
            known = {
                "labels": len(labels),
                "most": labels[0],
                "least": labels[-1],
                "half": half_of(labels),
            }
            found.setdefault(entry["space"], []).append({**entry, **known})
    keys = ("seeds", "hashtags", "labels", "posts", "videos", "most", "least")
    head = ["label space", "seed labels", *keys[1:], "labels with half"]
    table = [head]
    for space, entries in found.items():
        counts = [f"{text_table.mean(entries, key):,.0f}" for key in keys]
        table.append([space, *counts, f"{text_table.mean(entries, 'half'):.0%}"])
    return table if found else []


def half_of(of_label: Sequence[int]) -> float:
    """The share of the labels, the most frequent first, that have half of all videos.

    Args:
        of_label: How many videos each label has, descending.
    """
    reached = np.cumsum(of_label) >= 0.5 * np.sum(of_label)
    return (int(np.argmax(reached)) + 1) / len(of_label)
