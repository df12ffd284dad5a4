"""The charts of the page, drawn with Matplotlib as SVG."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from spl_tf.analysis.label_plots import split_counts
from spl_tf.analysis.report import wording
from spl_tf.analysis.report.comparison import Comparison
from spl_tf.analysis.report.content import LearningCurve, Row, WebClips
from spl_tf.analysis.report.looks import Look, look
from spl_tf.analysis.report.svg import Canvas, Chart, color
from spl_tf.labels import ConfusionMatrix, LabelMap
from spl_tf.metrics import estimate

_HALF, _THIRD = 440, 320  # CSS pixels
MAX_POINTS = 240  # of a curve or distribution that the pointer can show
MAX_STEPS = 1000  # of a drawn distribution
_PHASES = {"pretrain": "Pre-training on web clips", "finetune": "Fine-tuning"}
_BASELINE = 0.5  # where bars on a log axis begin


def accuracy_chart(
    comparison: Comparison,
    name: str = "accuracy",
    title: str = "Accuracy after fine-tuning",
    look_of: Callable[[str], Look] = look,
    measure: str = "top-1",
) -> Chart | None:
    """Top-1 of every line: a dot per seed, the mean and its standard error.

    Args:
        comparison: The lines.
        name: Unique on the page.
        title: Above the chart.
        look_of: How a line is drawn.
        measure: What the values are.
    """
    lines = [line for line in comparison.lines if line.values["top_1"]]
    if not lines:
        return None
    canvas = Canvas(name, _HALF, 62 + 30 * len(lines))
    axes = canvas.axes()
    for place, line in enumerate(lines):
        shown, mean = look_of(line.strategy), line.values["top_1"]
        values = list(line.seeds.values())
        style = {"color": color(shown.color), "linewidth": 0, "marker": "o"}
        if len(values) > 1:
            axes.plot(
                values, [place] * len(values), **style, markersize=5, alpha=0.35, mew=0
            )
            axes.errorbar(
                mean.mean, place, xerr=mean.error, color=color(shown.color), capsize=0
            )
        axes.plot(mean.mean, place, **style, markersize=9)
        axes.annotate(
            f"{100 * mean.mean:.1f}",
            (mean.mean, place),
            (0, 8),
            textcoords="offset points",
            ha="center",
            va="bottom",
            size=11,
            color=color("--ink"),
        )
        texts = [
            f"{shown.title}, seed {seed}: {value:.1%}"
            for seed, value in line.seeds.items()
        ]
        canvas.add_points(axes, values, [place] * len(values), texts)
    axes.set_yticks(range(len(lines)), [look_of(line.strategy).title for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.7)
    axes.tick_params(axis="y", labelcolor=color("--ink"), length=0, labelsize=12)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(_percents)
    axes.margins(x=0.08)
    what = "top-1 accuracy" if measure == "top-1" else measure
    axes.set_xlabel(f"{what} on the validation clips")
    return canvas.finish(title, f"{what.capitalize()} of each line; see the table")


def distribution_charts(web: WebClips) -> list[Chart]:
    """Clips per label of each label map, sorted, on one log axis (Figure 7)."""
    largest = max(
        (int(m.used_label_counts.max(initial=1)) for m in web.label_maps.values()),
        default=1,
    )
    return [
        _distribution(f"distribution-{number}", strategy, label_map, largest)
        for number, (strategy, label_map) in enumerate(web.label_maps.items())
    ]


def _distribution(name: str, strategy: str, label_map: LabelMap, largest: int) -> Chart:
    canvas = Canvas(name, _THIRD, 210)
    axes = canvas.axes()
    diagonal, off_diagonal = split_counts(label_map)
    shown = look(strategy)
    groups = (
        (0, diagonal, "--diagonal", "diagonal"),
        (len(label_map.class_names), off_diagonal, "--off", "off-diagonal"),
    )
    for first, counts, name, group in groups:
        if not len(counts):
            continue
        edges = thin(len(counts) + 1, MAX_STEPS)
        axes.stairs(
            counts[edges[:-1]],
            edges + first,
            fill=True,
            baseline=_BASELINE,
            color=color(name),
        )
        places = thin(len(counts), MAX_POINTS)
        texts = [f"{counts[i]:,} clips, {group} label {i + 1:,}" for i in places]
        canvas.add_points(axes, places + first + 0.5, counts[places], texts)
    _log_counts(axes, largest)
    axes.set_xlim(0, max(len(label_map.class_names) + len(off_diagonal), 1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.xaxis.set_major_formatter(counted)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("labels, most frequent first")
    used = len(diagonal) + len(off_diagonal)
    empty = label_map.num_labels - used
    note = f"{used:,} labels with clips" + (f", {empty:,} empty" if empty else "")
    discarded = label_map.total - label_map.num_kept
    if discarded:
        note += f"; {discarded:,} clips discarded"
    return canvas.finish(
        shown.title, f"Clips per label of {shown.title}, sorted; {note}", note
    )


def _log_counts(axes: Axes, largest: int) -> None:
    axes.set_yscale("log")
    axes.set_ylim(_BASELINE, 2 * largest)
    axes.yaxis.set_major_formatter(counted)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def cover_chart(confusion: ConfusionMatrix, maps: dict[str, LabelMap]) -> Chart | None:
    """Share of clips with a label of their own, by the size of the label space."""
    if not confusion.total:
        return None
    weak, teacher, counts = confusion.cells()
    off_diagonal = np.sort(counts[weak != teacher])[::-1]
    covered = confusion.total - off_diagonal.sum() + np.cumsum([0, *off_diagonal])
    ratio = covered / confusion.total
    labels = confusion.num_classes + np.arange(len(ratio))
    canvas = Canvas("cover", _HALF, 290)
    axes = canvas.axes()
    drawn = thin(len(ratio), MAX_STEPS)
    axes.plot(labels[drawn], ratio[drawn], color=color("--off"), linewidth=2)
    places = thin(len(ratio), MAX_POINTS)
    texts = [f"{labels[i]:,} labels cover {ratio[i]:.1%} of the clips" for i in places]
    canvas.add_points(axes, labels[places], ratio[places], texts)
    for strategy, label_map in maps.items():
        if strategy in ("spl_m", "spl_d"):
            _mark(axes, label_map, look(strategy).title)
    if labels[-1] > 40 * labels[0]:
        axes.set_xscale("log")
    axes.set_ylim(min(ratio[0] * 0.9, 0.9), 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_formatter(counted)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("labels of SPL-M and SPL-D")
    return canvas.finish(
        "Cover ratio against number of labels",
        f"The cover ratio rises from {ratio[0]:.1%} with {labels[0]:,} labels to "
        f"100% with {labels[-1]:,}",
    )


def _mark(axes: Axes, label_map: LabelMap, title: str) -> None:
    x, y = label_map.num_labels, label_map.sample_cover_ratio
    axes.plot(x, y, "o", color=color("--ink"), markersize=6)
    below = title.endswith("D")  # the two often have the same size
    axes.annotate(
        f"{title} {y:.0%}",
        (x, y),
        (8, -6 if below else 6),
        textcoords="offset points",
        va="top" if below else "bottom",
        size=11,
        color=color("--ink"),
    )


def learning_charts(curves: Sequence[LearningCurve]) -> list[Chart]:
    """The loss of each phase; the mean over seeds, and each seed thinly."""
    charts = []
    for phase, title in _PHASES.items():
        chosen = [curve for curve in curves if curve.phase == phase and len(curve.loss)]
        if chosen:
            charts.append(_learning(phase, title, chosen))
    return charts


def _learning(phase: str, title: str, curves: Sequence[LearningCurve]) -> Chart:
    canvas = Canvas(f"learning-{phase}", _HALF, 290)
    axes = canvas.axes()
    for strategy in dict.fromkeys(curve.strategy for curve in curves):
        runs = [curve for curve in curves if curve.strategy == strategy]
        shown = look(strategy)
        style = {
            "color": color(shown.color),
            "linestyle": (0, (4, 1.5)) if shown.dashed else "-",
        }
        steps, loss = _mean_curve(runs)
        if len(runs) > 1:
            for run in runs:
                drawn = thin(len(run.steps), MAX_POINTS)
                style_of_seed = {"linewidth": 0.6, "alpha": 0.3}
                axes.plot(run.steps[drawn], run.loss[drawn], **style, **style_of_seed)
        drawn = thin(len(steps), MAX_POINTS)
        axes.plot(steps[drawn], loss[drawn], **style, linewidth=2)
        places = thin(len(steps), 60)
        texts = [
            f"{shown.title}, step {steps[i]:,}: loss {loss[i]:.3g}" for i in places
        ]
        canvas.add_points(axes, steps[places], loss[places], texts)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.xaxis.set_major_formatter(counted)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    return canvas.finish(title, f"{title}: training loss by step and strategy")


def _mean_curve(runs: Sequence[LearningCurve]) -> tuple[np.ndarray, np.ndarray]:
    """The mean over runs, at the steps that all of them logged."""
    steps = runs[0].steps
    for run in runs[1:]:
        steps = np.intersect1d(steps, run.steps)
    losses = [run.loss[np.isin(run.steps, steps)] for run in runs]
    return steps, np.mean(losses, axis=0)


# Rows of the table that are points of a curve, too: with one label per class, and with
# all cells, SPL-M and SPL-D are other strategies.
_POINTS = {"spl_m": ("weak", "spl_m", "spl"), "spl_d": ("agreement", "spl_d", "spl")}


def labels_chart(
    curve: Sequence[Row], rows: Sequence[Row], comparison: Comparison
) -> Chart | None:
    """Accuracy by the number of labels, beside strategies of a fixed one (Figure 4).

    Args:
        curve: Rows of strategies with several numbers of labels.
        rows: Rows of the table, which hold more points of SPL-M and SPL-D.
        comparison: The table's accuracies, a line per strategy.
    """
    measured = _points(curve, rows)
    if not measured:
        return None
    canvas = Canvas("labels", _HALF, 300)
    axes = canvas.axes()
    for strategy in dict.fromkeys(row.strategy for row in measured):
        points = [row for row in measured if row.strategy == strategy]
        shown = look(strategy)
        sizes = sorted({row.labels for row in points})
        means = [
            estimate(row.top_1 for row in points if row.labels == size)
            for size in sizes
        ]
        axes.errorbar(
            sizes,
            [mean.mean for mean in means],
            yerr=[mean.error or 0 for mean in means],
            color=color(shown.color),
            marker="o",
            markersize=6,
            linewidth=2,
            elinewidth=1.2,
            label=shown.title,
        )
        texts = [
            f"{shown.title}, {size:,} labels: {wording.points(mean)} %"
            for size, mean in zip(sizes, means, strict=True)
        ]
        canvas.add_points(axes, sizes, [mean.mean for mean in means], texts)
    _draw_fixed(axes, comparison)
    axes.set_xscale("log")
    ticks = sorted({row.labels for row in measured})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(ticks[0] / 1.35, ticks[-1] * 1.35)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    # Not at the ends of the lines, which are the same point.
    axes.legend(loc="best", frameon=False, labelcolor=color("--ink"))
    axes.set_xlabel("number of labels")
    axes.set_ylabel("top-1 accuracy")
    return canvas.finish(
        "Accuracy against number of labels", "Top-1 accuracy by the number of labels"
    )


def _points(curve: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """The curve's rows and those of the table that belong to it, each once."""
    found = {}
    for strategy in dict.fromkeys(row.strategy for row in curve):
        names = _POINTS.get(strategy, ())
        own = [row for row in curve if row.strategy == strategy]
        for row in own + [row for row in rows if row.strategy in names]:
            if row.top_1 is not None and row.labels:
                point = dataclasses.replace(row, strategy=strategy)
                found[strategy, row.labels, row.seed] = point
    return list(found.values())


def _draw_fixed(axes: Axes, comparison: Comparison) -> None:
    """Lines across for strategies whose number of labels is no choice."""
    for line in comparison.lines:
        mean = line.values["top_1"]
        if mean and line.strategy in ("weak", "agreement", "spl_b"):
            shown = look(line.strategy)
            style = {"color": color(shown.color), "linestyle": (0, (4, 3))}
            axes.axhline(mean.mean, linewidth=1.2, **style)
            _name_start(axes, mean.mean, shown.title)


def _name_start(axes: Axes, y: float, title: str) -> None:
    style = {"va": "bottom", "size": 10, "color": color("--muted")}
    axes.text(0.01, y, title, transform=axes.get_yaxis_transform(), **style)


def thin(count: int, most: int) -> np.ndarray:
    """Up to `most` of `count` places, evenly spread, with the first and the last."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))


counted = FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")

# With as many digits as ticks that are close to each other need.
_percents = FuncFormatter(lambda value, _: f"{round(100 * value, 3):g}%")
