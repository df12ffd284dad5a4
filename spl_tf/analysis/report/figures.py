"""Charts of what several experiments show: accuracy by size, bars, distributions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from spl_tf.analysis.report import wording
from spl_tf.analysis.report.charts import MAX_POINTS, thin
from spl_tf.analysis.report.svg import Canvas, Chart, color
from spl_tf.metrics import estimate

_WIDTH, _HEIGHT = 460, 300  # CSS pixels
_HUES = ("--diagonal", "--off", "--s-spl-d", "--s-agreement", "--s-teacher", "--s-weak")


@dataclasses.dataclass(frozen=True)
class Curve:
    """Accuracies by the size of something.

    Attributes:
        title: What it is called.
        points: Sizes, ascending, and the accuracies of the seeds, in [0, 1].
        fit: What a factor of ten adds to the accuracy, and the accuracy at size 1, of a
            line to draw; None for no line.
    """

    title: str
    points: Sequence[tuple[float, Sequence[float]]]
    fit: tuple[float, float] | None = None


def curve_chart(
    name: str,
    title: str,
    curves: Sequence[Curve],
    axis: str,
    measure: str,
    across: Mapping[str, Sequence[float]],
) -> Chart | None:
    """Means with standard errors over a logarithmic axis, and lines that are fitted.

    Args:
        name: Name that no other chart of the page has.
        title: Heading above the chart.
        curves: What is drawn; None is returned without any.
        axis: What the sizes are of.
        measure: What the accuracies are.
        across: Accuracies of the seeds that have no size, as dashed lines.
    """
    if not curves:
        return None
    canvas = Canvas(name, _WIDTH, _HEIGHT)
    axes = canvas.axes()
    for hue, curve in zip(_hues(len(curves)), curves, strict=True):
        _draw_curve(canvas, axes, hue, curve, axis)
    for text, values in across.items():
        style = {"color": color("--s-none"), "linestyle": (0, (4, 3)), "linewidth": 1.2}
        axes.axhline(estimate(values).mean, label=text, **style)
    axes.set_xscale("log")
    ticks = sorted({size for curve in curves for size, _ in curve.points})
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel(axis)
    axes.set_ylim(top=min(1.02, axes.get_ylim()[1]))  # lines may go on above
    _accuracies(axes, measure)
    axes.legend(loc="best", frameon=False, labelcolor=color("--ink"))
    notes = [
        f"{curve.title}: {100 * curve.fit[0]:+.1f} points for ten times the {axis}"
        for curve in curves
        if curve.fit
    ]
    return canvas.finish(title, f"{measure} by the number of {axis}", "; ".join(notes))


def _draw_curve(canvas: Canvas, axes: Axes, hue: str, curve: Curve, axis: str) -> None:
    sizes = [size for size, _ in curve.points]
    means = [estimate(values) for _, values in curve.points]
    heights = [mean.mean for mean in means]
    style = {"color": color(hue), "linewidth": 1.6}
    axes.errorbar(
        sizes,
        heights,
        yerr=[mean.error or 0 for mean in means],
        fmt="o" if curve.fit else "o-",
        markersize=6,
        elinewidth=1.2,
        label=curve.title,
        **style,
    )
    if curve.fit:
        ends = np.array([sizes[0], sizes[-1]])
        axes.plot(ends, curve.fit[0] * np.log10(ends) + curve.fit[1], **style)
    texts = [
        f"{curve.title}, {size:,.0f} {axis}: {wording.points(mean)} %"
        for size, mean in zip(sizes, means, strict=True)
    ]
    canvas.add_points(axes, sizes, heights, texts)


def bar_chart(
    name: str,
    title: str,
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    measure: str,
) -> Chart | None:
    """Bars of means with standard errors, a group of bars beside each other per name.

    Args:
        name: Name that no other chart of the page has.
        title: Heading above the chart.
        groups: By group and bar, the accuracies of the seeds, in [0, 1]; None is
            returned without any.
        measure: What the accuracies are.
    """
    bars = list(dict.fromkeys(bar for group in groups.values() for bar in group))
    if not bars:
        return None
    canvas = Canvas(name, _WIDTH, _HEIGHT)
    axes = canvas.axes()
    width, least = 0.8 / len(bars), 1.0
    for place, (hue, bar) in enumerate(zip(_hues(len(bars)), bars, strict=True)):
        found = [
            (
                number + width * (place - (len(bars) - 1) / 2),
                group,
                estimate(known[bar]),
            )
            for number, (group, known) in enumerate(groups.items())
            if bar in known
        ]
        x, heights = [each[0] for each in found], [each[2].mean for each in found]
        errors = [each[2].error or 0 for each in found]
        style = {"color": color(hue), "label": bar, "ecolor": color("--ink")}
        axes.bar(x, heights, 0.9 * width, yerr=errors, error_kw={"lw": 1.2}, **style)
        texts = [
            f"{group}, {bar}: {wording.points(mean)} %" for _, group, mean in found
        ]
        canvas.add_points(axes, x, heights, texts)
        least = min(least, *heights)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.tick_params(axis="x", labelcolor=color("--ink"), length=0)
    axes.grid(axis="x", visible=False)
    # From zero, differences between bars of 80 and 85 % could not be seen.
    axes.set_ylim(bottom=max(0.0, np.floor(10 * least - 0.5) / 10))
    _accuracies(axes, measure)
    axes.legend(loc="best", frameon=False, labelcolor=color("--ink"))
    return canvas.finish(title, f"{measure} by group: {', '.join(groups)}")


def cumulative_chart(
    name: str, title: str, counts: Mapping[str, Sequence[int]]
) -> Chart:
    """The share of all videos that the most frequent labels have (IG-65M, Figure 3).

    Args:
        name: Name that no other chart of the page has.
        title: Heading above the chart.
        counts: By distribution, how many videos each label has, descending.
    """
    canvas = Canvas(name, _WIDTH, _HEIGHT)
    axes = canvas.axes()
    for hue, (text, found) in zip(_hues(len(counts)), counts.items(), strict=True):
        shares = np.concatenate([[0.0], np.cumsum(found) / np.sum(found)])
        places = thin(len(shares), MAX_POINTS)
        labels = np.linspace(0, 1, len(shares))
        style = {"color": color(hue), "linewidth": 2, "label": text}
        axes.plot(labels[places], shares[places], **style)
        texts = [
            f"{text}: {place:,} of {len(found):,} labels have {shares[place]:.1%}"
            for place in places
        ]
        canvas.add_points(axes, labels[places], shares[places], texts)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("labels, most videos first")
    axes.set_ylabel("videos")
    axes.legend(loc="best", frameon=False, labelcolor=color("--ink"))
    return canvas.finish(title, "Cumulative distribution of videos over labels")


def _hues(count: int) -> list[str]:
    return [_HUES[number % len(_HUES)] for number in range(count)]


def _accuracies(axes: Axes, measure: str) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel(measure)
