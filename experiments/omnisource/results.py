"""The table of an experiment: its content, and its form for the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ml_collections import config_dict

from experiments.omnisource.config import TARGET, rows_of, used_sources
from experiments.omnisource.stages import MOTION_FILE, Layout
from experiments.pipeline.fingerprints import Record
from experiments.pipeline.results import format_progress
from experiments.reporting import text_table
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL

Records = Callable[[str], Record | None]


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
    return {
        "strategies": list(config.strategies),
        "tables": list(config.tables)
        or [only_table(config.strategies, config.paper.to_dict())],
        "seeds": [_seed(config, layout, record) for layout in layouts],
        "rows": [row for row in rows if row is not None],
    }


def only_table(rows: Iterable[str], paper: Mapping[str, Any]) -> dict[str, Any]:
    """The table of all rows, where a config has no tables.

    Args:
        rows: Their names.
        paper: `config.paper`.
    """
    return {
        "title": "What is trained on",
        "text": "",
        "rows": list(rows),
        "paper": dict(paper),
    }


def _seed(config, layout: Layout, record: Records) -> dict[str, Any]:
    motion = record(layout.stage("fit_camera_motion"))
    return {
        "seed": layout.seed,
        "world": layout.world,
        "datasets": {
            split: layout.clips(split)
            for split in (TARGET_TRAIN, TARGET_VAL, *used_sources(config))
        },
        "sources": [_source(config, layout, n, record) for n in used_sources(config)],
        "motion": os.path.join(layout.motion, MOTION_FILE) if motion else None,
    }


def _source(config, layout: Layout, name: str, record: Records) -> dict[str, Any]:
    """What became of a source: what its teacher says, copies, what its filter keeps."""
    teacher = config.sources[name].teacher
    predicted = record(layout.stage("predict", f"{name}_by_{teacher}"))
    copies = record(layout.stage("find_duplicates", name))
    kept = record(layout.stage("filter", name))
    return {
        "source": name,
        "teacher": teacher,
        "labelled": layout.labelled(name, teacher),
        "noise_ratio": predicted.facts["noise_ratio"] if predicted else None,
        "duplicates": layout.duplicates(name) if copies else None,
        "excluded": copies.facts["excluded"] if copies else None,
        "filtered": layout.filtered(name) if kept else None,
        "clips": kept.facts["clips"] if kept else None,
        "kept": kept.facts["kept"] if kept else None,
    }


def _row(layout: Layout, row, record: Records) -> dict[str, Any] | None:
    """A row of the table; None if it is not evaluated yet."""
    trained = record(layout.stage(row.name, "train"))
    evaluated = record(layout.stage(row.name, "evaluate"))
    if trained is None or evaluated is None:
        return None
    return {
        "seed": layout.seed,
        "strategy": row.name,
        "sources": list(row.sources),
        "top_1": evaluated.facts["top_1"],
        "top_5": evaluated.facts["top_5"],
        "mAP": evaluated.facts["mAP"],
        "train_loss": trained.facts["train_loss"],
        "run": layout.run(row),
        "evaluation": layout.evaluation(row),
        "seconds": {"train": trained.seconds, "evaluate": evaluated.seconds},
    }


def format_table(results: dict[str, Any]) -> str:
    """The results as tables for the terminal: what sources gave, and the rows.

    Over several seeds numbers are means with standard errors, and a row's last columns
    say what it is ahead of the target set alone, seed by seed.
    """
    lines = _source_lines(results["seeds"])
    if not results["rows"]:
        return "\n".join([*lines, format_progress(results)])
    titled = len(results["tables"]) > 1
    for table in results["tables"]:
        lines += ["", table["title"]] if titled else []
        lines += _lines_of(table["rows"], results["rows"])
    return "\n".join(lines)


def _lines_of(names: Iterable[str], results: list[dict[str, Any]]) -> list[str]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        if found := [row for row in results if row["strategy"] == name]:
            rows[name] = found
    if not rows:
        return ["no results yet"]
    base = TARGET if TARGET in rows else next(iter(rows))
    table = [["trained on", "top-1", "top-5", f"ahead of {base} by", "seeds"]]
    for name, found in rows.items():
        table.append(
            [
                name,
                text_table.share([row["top_1"] for row in found]),
                text_table.share([row["top_5"] for row in found]),
                "" if name == base else text_table.ahead(found, rows[base]),
                str(len(found)),
            ]
        )
    return text_table.aligned(table)


def _source_lines(seeds: list[dict[str, Any]]) -> list[str]:
    table = [["web data", "teacher", "clips", "near-copies", "kept"]]
    for place, source in enumerate(seeds[0]["sources"]):
        found = [seed["sources"][place] for seed in seeds]
        found = [entry for entry in found if entry["clips"] is not None]
        if not found:
            continue
        searched = all(entry["excluded"] is not None for entry in found)
        table.append(
            [
                source["source"],
                source["teacher"],
                f"{text_table.mean(found, 'clips'):,.0f}",
                f"{text_table.mean(found, 'excluded'):,.1f}" if searched else "-",
                text_table.share([entry["kept"] / entry["clips"] for entry in found]),
            ]
        )
    return [*text_table.aligned(table), ""] if len(table) > 1 else []
