"""What a filter keeps of each class, as a chart (OmniSource, Figure 3)."""

from __future__ import annotations

import numpy as np

from spl_tf.analysis.report.charts import MAX_POINTS, MAX_STEPS, counted, thin
from spl_tf.analysis.report.svg import Canvas, Chart, color, name_classes
from spl_tf.labels.filters import KeptClips

_WIDTH, _HEIGHT = 480, 290  # CSS pixels


def filter_chart(name: str, title: str, kept: KeptClips) -> Chart:
    """Clips per class before and after a filter, the largest class first.

    Bars are of one order, so that each class can be followed; the line is the kept
    clips in an order of their own, so that the two distributions can be compared.

    Args:
        name: Name that no other chart of the page has.
        title: Heading above the chart.
        kept: Clips of each class, and those that the filter keeps.
    """
    names = list(kept.counts)
    counts = np.array(list(kept.counts.values()), np.int64)
    order = np.argsort(-counts[:, 0], kind="stable")
    before, after = counts[order].T
    canvas = Canvas(name, _WIDTH, _HEIGHT)
    axes = canvas.axes()
    edges = thin(len(names) + 1, MAX_STEPS)
    for sizes, hue, text in (
        (before, "--dropped", "found"),
        (after, "--diagonal", "kept"),
    ):
        style = {"fill": True, "color": color(hue), "label": text}
        axes.stairs(sizes[edges[:-1]], edges - 0.5, **style)
    alone = np.sort(after)[::-1][edges[:-1]]
    style = {"color": color("--off"), "linewidth": 1.8, "label": "kept, sorted"}
    axes.stairs(alone, edges - 0.5, baseline=None, **style)
    places = thin(len(names), MAX_POINTS)
    texts = [
        f"{names[order[i]]}: {after[i]:,} of {before[i]:,} clips kept" for i in places
    ]
    canvas.add_points(axes, places, after[places], texts)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.yaxis.set_major_formatter(counted)
    axes.grid(axis="x", visible=False)
    axes.legend(frameon=False, labelcolor=color("--ink"))
    name_classes(axes.xaxis, [names[i] for i in order])
    axes.set_xlabel("classes, most clips first")
    axes.set_ylabel("clips")
    note = (
        f"{kept.after:,} of {kept.before:,} clips kept ({kept.share:.1%}), of "
        f"{kept.balance[1].classes:,} of {kept.balance[0].classes:,} classes"
    )
    return canvas.finish(title, f"Clips per class before and after; {note}", note)
