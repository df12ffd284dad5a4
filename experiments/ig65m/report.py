"""The page of a workdir: rows, figures, label spaces, posts, what is trained on."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.ig65m.results import (
    FINETUNED,
    LINEAR,
    MEASURES,
    by_row,
    curves,
    log_linear_fit,
    shown_tables,
    space_table,
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
from spl_tf.analysis.report.figures import (
    Curve,
    bar_chart,
    cumulative_chart,
    curve_chart,
)
from spl_tf.runs import run_folder
from spl_tf.training.config import completed

_KEYS = ("title", "strategies", "metric", "tables", "seeds", "rows")
_PAPER = "https://arxiv.org/abs/1905.00561"
_TITLES = {FINETUNED: "fine-tuned", LINEAR: "linear classifier"}
_MEASURES = {"top_1": "top-1", "mAP": "mAP"}


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
    shown = [row for row in results["rows"] if row["seed"] == seed["seed"]]
    run = next((row["pretrained"] for row in shown[::-1] if row["pretrained"]), None)
    return ExperimentContent(
        title=results["title"],
        kicker="IG-65M",
        description=results.get("description") or "",
        method=_PAPER,
        tables=[
            _table(table, results, kind)
            for table in shown_tables(results)
            for kind in MEASURES
            if kind == FINETUNED or by_row(table["rows"], results, kind)
        ],
        chapters=[*_figures(results), *_spaces(results, seed), *_posts(seed)],
        films=_films(source, run),
        datasets=_datasets(source, seed),
        stages=facts.read_stages(source),
        configs=facts.read_configs(source, [run] if run else []),
        versions=facts.read_versions(source),
        missing=source.missing,
        built=datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M UTC"
        ),
    )


def _table(table: Mapping[str, Any], results: Mapping[str, Any], kind: str) -> RowTable:
    found = by_row(table["rows"], results, kind)
    *_, last = found or [""]
    key = {FINETUNED: "top_1", LINEAR: LINEAR}[kind]
    papers = table["paper"].get("rows", {})
    papers = {row: {"top_1": p[key]} for row, p in papers.items() if key in p}
    title = f"{table['title']}: {_TITLES[kind]}"
    paper = table["paper"] | {"rows": papers}
    shown = results | {"rows": [row for rows in found.values() for row in rows]}
    measure = _MEASURES[results["metric"]]
    main = last if measure == "top-1" else ""
    reference = table["reference"] if table["reference"] in found else ""
    if not reference and found:
        reference = next(iter(found))
    shown["strategies"] = list(found) or results["strategies"]
    table = table | {"title": title, "paper": paper}
    return row_table(table, shown, reference, main, "pre-trained on", measure)


def _figures(results: Mapping[str, Any]) -> Iterator[Chapter]:
    """A chapter for each table that has a figure."""
    measure = _MEASURES[results["metric"]]
    for number, table in enumerate(shown_tables(results)):
        name, title = f"figure-{number}", table["title"]
        if table["figure"] == "bars":
            chart = bar_chart(name, "", _bars(table, results), measure)
        elif table["figure"]:
            chart = curve_chart(
                name,
                "",
                _curves(table, results),
                table["figure"],
                measure,
                {
                    f"{row}, fine-tuned": [each["top_1"] for each in rows]
                    for row, rows in by_row(table["rows"], results, FINETUNED).items()
                    if not rows[0]["space"]
                },
            )
        else:
            continue
        if chart:
            yield Chapter(name, title, _beside(table), charts=[chart])


def _curves(table, results) -> list[Curve]:
    found = curves(table, results)
    several = len({sampling for _, sampling in found}) > 1
    drawn = []
    for (kind, sampling), points in found.items():
        sizes = [size for size, values in points for _ in values]
        fit = log_linear_fit(sizes, [v for _, values in points for v in values])
        title = _TITLES[kind] + (f", {sampling}".replace("_", "-") if several else "")
        drawn.append(Curve(title, points, fit))
    return drawn


def _bars(table, results) -> dict[str, dict[str, list[float]]]:
    bars: dict[str, dict[str, list[float]]] = {}
    for kind in MEASURES:
        for row, rows in by_row(table["rows"], results, kind).items():
            bars.setdefault(row, {})[_TITLES[kind]] = [each["top_1"] for each in rows]
    return bars


def _beside(table: Mapping[str, Any]) -> str:
    """A figure's text, with the paper's numbers."""
    paper, text = table["paper"], table["text"]
    numbers = [
        f"{row} {_TITLES[kind]} {100 * found[key]:.1f} %"
        for row, found in paper.get("rows", {}).items()
        for kind, key in ((FINETUNED, "top_1"), (LINEAR, LINEAR))
        if key in found
    ]
    said = "; ".join([*numbers, *paper.get("says", ())])
    return f"{text} The paper, {paper['source']}: {said}." if said else text


def _spaces(results: Mapping[str, Any], seed: Mapping[str, Any]) -> list[Chapter]:
    """Label spaces and their distributions (Table 1, Figure 3)."""
    head, *rows = space_table(results["seeds"]) or [()]
    if not rows:
        return []
    counts = {entry["space"]: entry["of_label"] for entry in seed["spaces"]}
    text = (
        "What posts get labels by: all hashtags that are a seed label, its words "
        "stemmed and in any order. Most and least: how many videos the labels with "
        "most and fewest have; labels with half: the share of the labels, the most "
        f"frequent first, that have half of all. The curves are of seed "
        f"{seed['seed']}; in the paper's Figure 3 verb + noun is the most skewed of "
        "four spaces of 359, 438, 1,428 and 10,653 labels."
    )
    chart = cumulative_chart("cumulative", "", counts)
    return [Chapter("spaces", "Label spaces", text, head, rows, charts=[chart])]


def _posts(seed: Mapping[str, Any]) -> list[Chapter]:
    """Why posts were left out."""
    reasons = dict.fromkeys(r for space in seed["spaces"] for r in space["left_out"])
    if not reasons:
        return []
    head = ["label space", "posts", "with labels", *reasons]
    rows = [
        [
            space["space"],
            *(f"{space[key]:,}" for key in ("posts", "videos")),
            *(f"{space['left_out'].get(reason, 0):,}" for reason in reasons),
        ]
        for space in seed["spaces"]
    ]
    text = (
        f"Posts of seed {seed['seed']}, by what became of them in each label space; "
        "each that was left out is named in seed_N/spaces/SPACE/left_out.csv."
    )
    return [Chapter("posts", "Posts", text, head, rows)]


def _films(source: Workdir, run: str | None) -> list[Films]:
    """What a pre-training sees, each clip with the label that was drawn for it."""
    folder = run and source.find("films", "a pre-training", run)
    if not folder:
        return []
    record = run_folder.read_json(os.path.join(folder, "config.json"))
    try:
        return training_films(completed(record["config"]))
    except FileNotFoundError as error:  # the workdir was moved
        source.miss("films", str(error))
        return []


def _datasets(source: Workdir, seed: Mapping[str, Any]) -> list[DatasetFacts]:
    """The datasets of a seed; all seeds are made in the same way."""
    roles = {
        TARGET_TRAIN: "target clips for training",
        TARGET_VAL: "target clips for validation",
    }
    found = []
    for name, path in (seed["datasets"] | seed["subsets"]).items():
        directory = os.path.join(source.path, path)
        if os.path.exists(os.path.join(directory, "dataset.json")):
            role = roles.get(name, f"videos of pre-training: {name}")
            found.append(facts.read_dataset(directory, path, role))
    return found
