"""Charts that several experiments draw: what the pointer shows, and where it stands."""

import re

import numpy as np
import pytest

from spl_tf.analysis.report import Chapter, ExperimentContent, render_experiment
from spl_tf.analysis.report.figures import (
    Curve,
    bar_chart,
    cumulative_chart,
    curve_chart,
)


def texts_of(chart):
    return [text.replace("\N{NO-BREAK SPACE}", " ") for _, _, text in chart.points]


def test_a_curve_has_means_errors_and_a_line_through_them():
    curve = Curve("linear", [(10, [0.4, 0.6]), (100, [0.7]), (1000, [0.9])], (0.2, 0.3))
    chart = curve_chart("c", "Amount", [curve], "videos", "top-1", {"none": [0.2, 0.4]})
    # Deviations of 0.1 by the root of 2 times the root of 1.
    assert texts_of(chart) == [
        "linear, 10 videos: 50.0 ± 10.0 %",
        "linear, 100 videos: 70.0 %",
        "linear, 1,000 videos: 90.0 %",
    ]
    assert chart.note == "linear: +20.0 points for ten times the videos"
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = chart.points
    # Equal factors are equally far apart, and equal steps of accuracy too.
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y1
    assert curve_chart("c", "Amount", [], "videos", "top-1", {}) is None


def test_bars_of_a_group_stand_beside_each_other():
    groups = {"scratch": {"a": [0.5]}, "noun": {"a": [0.6], "b": [0.7, 0.9]}}
    chart = bar_chart("b", "", groups, "mAP")
    assert texts_of(chart) == [
        "scratch, a: 50.0 %",
        "noun, a: 60.0 %",
        "noun, b: 80.0 ± 10.0 %",
    ]
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = chart.points
    assert x0 < x1 < x2
    assert x2 - x1 < x1 - x0
    assert (y0 - y1) * 2 == pytest.approx(y1 - y2, abs=0.3)
    assert bar_chart("b", "", {}, "mAP") is None


def test_a_cumulative_distribution_ends_with_all_videos():
    chart = cumulative_chart("d", "", {"even": [5, 5], "skewed": [90, 9, 1]})
    assert texts_of(chart) == [
        "even: 0 of 2 labels have 0.0%",
        "even: 1 of 2 labels have 50.0%",
        "even: 2 of 2 labels have 100.0%",
        "skewed: 0 of 3 labels have 0.0%",
        "skewed: 1 of 3 labels have 90.0%",
        "skewed: 2 of 3 labels have 99.0%",
        "skewed: 3 of 3 labels have 100.0%",
    ]
    ends = [chart.points[2], chart.points[6]]
    assert ends[0][:2] == ends[1][:2]
    many = cumulative_chart("d", "", {"many": np.arange(20_000, 0, -1)})
    assert len(many.points) <= 240


def test_a_chapter_shows_its_charts_beside_its_text():
    chart = cumulative_chart("dist", "", {"a <b>": [1]})
    chapter = Chapter("spaces", "Spaces", "Some <text>.", charts=[chart])
    page = render_experiment(ExperimentContent("t", "k", chapters=[chapter]))
    section = page.partition('<section id="spaces">')[2].partition("</section>")[0]
    assert section.count("<svg") == 1
    assert "<p>Some &lt;text&gt;.</p>" in section
    assert re.search(r'"dist":\s*\[\[', page)
    assert "a <b>" not in page
