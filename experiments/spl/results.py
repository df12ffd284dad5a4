"""The table of an experiment: its content, and its form for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ml_collections import config_dict

from experiments.pipeline.fingerprints import Record
from experiments.pipeline.results import format_progress
from experiments.reporting import text_table
from experiments.spl.config import NONE, SPLITS, Row, parse_row
from experiments.spl.stages import Layout


def collect(
    config: config_dict.ConfigDict,
    seeds: Iterable[int],
    record: Callable[[str], Record | None],
) -> dict[str, Any]:
    """What `results.json` says of rows and seeds, as far as there are results.

    Args:
        config: The experiment's whole config.
        seeds: Seeds whose rows are shown.
        record: Gives the record of a stage whose result is up to date, by its name.
    """
    layouts = [Layout(config, seed) for seed in seeds]

    def rows(names: Iterable[str]) -> list[dict[str, Any]]:
        found = [
            _row(layout, parse_row(config, name), record)
            for layout in layouts
            for name in names
        ]
        return [row for row in found if row is not None]

    return {
        "strategies": list(config.strategies),
        "paper": config.paper.to_dict() or None,
        "seeds": [_seed(layout, record(layout.stage("predict"))) for layout in layouts],
        "rows": rows(config.strategies),
        "curve": [
            # In the curve the number of labels tells them apart.
            row | {"strategy": row["strategy"].partition(":")[0]}
            for row in rows(config.curve)
        ],
    }


def _seed(layout: Layout, predicted: Record | None) -> dict[str, Any]:
    return {
        "seed": layout.seed,
        "noise_ratio": predicted.facts["noise_ratio"] if predicted else None,
        **{split: layout.clips(split) for split in SPLITS},
        "web_teacher": layout.labelled,
        "world": layout.world,
    }


def _row(
    layout: Layout, row: Row, record_of: Callable[[str], Record | None]
) -> dict[str, Any] | None:
    """A row of the table; None if it is not evaluated yet."""

    def record(step: str) -> Record | None:
        return record_of(layout.stage(row.folder, step))

    evaluated, probed = record("evaluate"), record("probe")
    if evaluated is None:
        return None
    trained = record("finetune") or record("scratch")
    trained = trained or record_of(layout.stage("teacher"))
    labelled, pretrained = record("build_labels"), record("pretrain")
    labels = labelled.facts if labelled else {}
    steps = {"pretrain": pretrained, "finetune": trained, "evaluate": evaluated}
    is_pretrained = row.labels != NONE
    return {
        "seed": layout.seed,
        "strategy": row.name,
        "labels": labels.get("labels", 0),
        "clips": labels.get("clips", 0),
        "kept": labels.get("kept", 0.0),
        "cover": labels.get("cover"),
        "top_1": evaluated.facts["top_1"],
        "top_5": evaluated.facts["top_5"],
        "mAP": evaluated.facts["mAP"],
        "train_loss": trained.facts["train_loss"],
        "probe_top_1": probed.facts["top_1"] if probed else None,
        "label_map": f"{layout.labels(row)}/label_map" if is_pretrained else None,
        "pretrain": layout.pretrain(row) if is_pretrained else None,
        "finetune": layout.run(row),
        "evaluation": layout.evaluation(row),
        "seconds": {
            step: found.seconds if found else 0.0 for step, found in steps.items()
        },
    }


def format_table(results: dict[str, Any]) -> str:
    """The results as a table for the terminal.

    Over several seeds they are means with standard errors, and the last columns say
    what the main strategy is better by, seed by seed. Where nothing is evaluated yet,
    how many stages are done.
    """
    # Here and not above: the report's own libraries load with it.
    from spl_tf.analysis.report.looks import main_strategy

    lines = []
    noise = [s["noise_ratio"] for s in results["seeds"] if s["noise_ratio"] is not None]
    if noise:
        lines += [
            f"noise ratio {text_table.share(noise)}: the share of web clips whose "
            "teacher disagrees with the query",
            "",
        ]
    rows = {
        name: [row for row in results["rows"] if row["strategy"] == name]
        for name in results["strategies"]
    }
    rows = {name: found for name, found in rows.items() if found}
    if not rows:
        return "\n".join([*lines, format_progress(results)])
    has_probe = any(row["probe_top_1"] is not None for row in results["rows"])
    several = len({row["seed"] for row in results["rows"]}) > 1
    main = main_strategy(list(rows))
    table = [["pre-trained on", "labels", "web clips", "kept", "top-1", "top-5"]]
    if has_probe:
        table[0].append("linear")
    if several:
        table[0] += [f"{main} ahead by", "seeds"]
    for name, found in rows.items():
        cells = _cells(name, found, has_probe)
        if several:
            ahead = "" if name == main else text_table.ahead(rows[main], found)
            cells += [ahead, str(len(found))]
        table.append(cells)
    lines += text_table.aligned(table)
    return "\n".join(lines)


def _cells(name: str, rows: Sequence[dict[str, Any]], has_probe: bool) -> list[str]:
    cells = [
        name,
        f"{text_table.mean(rows, 'labels'):,.0f}",
        f"{text_table.mean(rows, 'clips'):,.0f}",
        f"{text_table.mean(rows, 'kept'):.1%}",
        text_table.share([row["top_1"] for row in rows]),
        text_table.share([row["top_5"] for row in rows]),
    ]
    if has_probe:
        probed = [row["probe_top_1"] for row in rows]
        cells.append(text_table.share([share for share in probed if share is not None]))
    return cells
