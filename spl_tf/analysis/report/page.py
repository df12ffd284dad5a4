"""The page: templates filled with the content, charts and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spl_tf.analysis.report import charts, wording
from spl_tf.analysis.report.classes import ClassTable, class_table
from spl_tf.analysis.report.comparison import Comparison, compare
from spl_tf.analysis.report.content import CellPictures, ReportContent, WebClips
from spl_tf.analysis.report.explorer import (
    MAX_CELLS,
    explorer_data,
    matrix_picture,
    pictures_data,
)
from spl_tf.analysis.report.shell import render
from spl_tf.analysis.report.svg import Chart

_STYLES = ("style.css", "explorer.css")
_SCRIPTS = ("page.js", "matrix.js", "explorer.js")
_SECTIONS = {
    "results": "Results",
    "matrix": "Query \u00d7 teacher",
    "labels": "Label spaces",
    "learning": "Learning",
    "heat": "Where it looks",
    "classes": "Class by class",
    "data": "Data",
    "run": "The run",
}


def render_page(content: ReportContent) -> str:
    """Makes one HTML page that needs nothing else.

    Names of classes, clips and files are text on it, whatever letters they hold: the
    template engine escapes them, the script sets them as text, and a policy in the
    page lets no other script run and nothing be loaded.
    """
    comparison = compare(content)
    drawn = _charts(content, comparison)
    classes = class_table(content.counts)
    web = content.web
    return render(
        "page.html.j2",
        content,
        [chart for group in drawn.values() for chart in group],
        _STYLES,
        _SCRIPTS,
        comparison=comparison,
        ledes=wording.lede(content, comparison),
        charts=drawn,
        classes=classes,
        sections=_sections(content, drawn, classes),
        explorer=explorer_data(web) if web else None,
        pictures=pictures_data(web.pictures) if web else None,
        middle=_middle_ground(web) if web else None,
        sampled=_sampled(web) if web else None,
        max_cells=MAX_CELLS,
    )


def _charts(content: ReportContent, comparison: Comparison) -> dict[str, list[Chart]]:
    """The charts of each section; a chart without data is not there."""
    web = content.web
    drawn = {
        "accuracy": [charts.accuracy_chart(comparison)],
        "labels": [charts.labels_chart(content.curve, content.rows, comparison)],
        "matrix": [matrix_picture(web.confusion)] if web else [],
        "distributions": charts.distribution_charts(web) if web else [],
        "cover": [charts.cover_chart(web.confusion, web.label_maps)] if web else [],
        "learning": charts.learning_charts(content.learning),
    }
    return {name: [c for c in group if c is not None] for name, group in drawn.items()}


def _sections(
    content: ReportContent,
    drawn: Mapping[str, Sequence[Chart]],
    classes: ClassTable | None,
) -> dict[str, str]:
    """Titles of the sections that have something to show or to complain about."""
    missing = content.missing
    filled = {
        "results": True,
        "matrix": content.web or missing.get("web"),
        "labels": drawn["distributions"],
        "learning": drawn["learning"] or missing.get("learning"),
        "heat": content.heat or missing.get("heat"),
        "classes": classes or missing.get("counts"),
        "data": content.datasets or missing.get("datasets"),
        "run": content.stages or content.versions or content.configs,
    }
    return {name: title for name, title in _SECTIONS.items() if filled[name]}


def _middle_ground(web: WebClips) -> list[CellPictures] | None:
    """The most frequent cell off the diagonal between the two classes it is made of."""
    cells = {(cell.weak, cell.teacher): cell for cell in web.pictures}
    weak, teacher, counts = web.confusion.cells()
    for index in (-counts).argsort(kind="stable").tolist():
        a, b = int(weak[index]), int(teacher[index])
        trio = [cells.get(key) for key in ((a, a), (a, b), (b, b))]
        if a != b and all(trio):
            return trio
    return None


def _sampled(web: WebClips) -> dict[str, int]:
    """How much of the clips can be seen."""
    shown = {(cell.weak, cell.teacher) for cell in web.pictures}
    return {
        "clips": sum(len(cell.clips) for cell in web.pictures),
        "cells": len(shown),
        "all_clips": web.confusion.total,
        "all_cells": len(web.confusion.cells()[0]),
    }
