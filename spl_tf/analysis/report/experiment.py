"""The page of an experiment whose rows have any names, e.g. OmniSource's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from spl_tf.analysis.report import wording
from spl_tf.analysis.report.charts import accuracy_chart
from spl_tf.analysis.report.comparison import Comparison, compare_rows
from spl_tf.analysis.report.content import DatasetFacts, Row, Stage
from spl_tf.analysis.report.duplicates import Duplicates
from spl_tf.analysis.report.filtering import filter_chart
from spl_tf.analysis.report.looks import Look
from spl_tf.analysis.report.shell import render
from spl_tf.analysis.report.sprites import Sprite
from spl_tf.analysis.report.svg import Chart
from spl_tf.labels.filters import KeptClips

_STYLES = ("style.css", "duplicates.css", "films.css", "experiment.css")
_SCRIPTS = ("page.js",)
_SECTIONS = {
    "filtered": "What was filtered",
    "duplicates": "Near-duplicates",
    "films": "What is trained on",
    "data": "Data",
    "run": "The run",
}


@dataclasses.dataclass(frozen=True)
class RowTable:
    """Rows that are compared, e.g. one table of a paper.

    Attributes:
        title: Heading above the table.
        rows: Names of the rows, in order, as a reader sees them.
        results: A result of a row under a seed each; `strategy` is the row's name.
        text: What the rows are, in words.
        reference: The row that differences are to; empty for no differences.
        main: The row that the page begins with, in the first table; empty for none.
        paper: By row, the paper's "top_1" and "top_5", in [0, 1].
        source: Which table of the paper its numbers are from.
        heading: What the column of names is headed with.
        measure: What the results' and the paper's "top_1" are.
    """

    title: str
    rows: Sequence[str]
    results: Sequence[Row]
    text: str = ""
    reference: str = ""
    main: str = ""
    paper: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    source: str = ""
    heading: str = "trained on"
    measure: str = "top-1"

    def __post_init__(self):
        known = {*self.rows, ""}
        named = {self.reference, self.main, *self.paper}
        if unknown := (named | {row.strategy for row in self.results}) - known:
            raise ValueError(
                f"table {self.title!r} has no row {min(unknown)!r}, only "
                f"{list(self.rows)}"
            )


@dataclasses.dataclass(frozen=True)
class FilteredSource:
    """What a filter keeps of a source.

    Attributes:
        name: Name of the source.
        kept: Clips of each class before and after the filter.
        rules: What the filter's rules are, in words.
    """

    name: str
    kept: KeptClips
    rules: str = ""


@dataclasses.dataclass(frozen=True)
class FilmLabel:
    """What is said of a moving thumbnail.

    Attributes:
        clip_id: The clip's `example/id`.
        label: Name of its class; may be empty.
    """

    clip_id: str
    label: str


@dataclasses.dataclass(frozen=True)
class Films:
    """Some clips as moving thumbnails.

    Attributes:
        title: Heading above the clips.
        sprite: Frames of the clips, a row per clip.
        clips: What is said of each row of the sprite.
        text: What they are, in words.
    """

    title: str
    sprite: Sprite
    clips: Sequence[FilmLabel]
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Chapter:
    """A section of a paper's own, e.g. the clusters of MotionFit.

    Attributes:
        name: The section's anchor, and its name in `ExperimentContent.missing`.
        title: Heading above it, and in the list of sections.
        text: What it shows, in words.
        head: Headings of the table's columns.
        rows: The table's cells as text; a name first, then numbers.
        films: Clips, below the table.
        charts: Pictures, beside the text; their names are unique on the page.
    """

    name: str
    title: str
    text: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    films: Sequence[Films] = ()
    charts: Sequence[Chart] = ()


@dataclasses.dataclass(frozen=True)
class ExperimentContent:
    """Everything on the page.

    Attributes:
        title: What the page is headed with.
        kicker: The method's name, above it.
        description: In words.
        method: Where the method is published.
        tables: The most important one first.
        filtered: What filters keep, an entry per source.
        duplicates: What `find_duplicates` found, an entry per source.
        chapters: Sections of the paper's own, after the results.
        films: Clips as networks are trained on them.
        datasets: How each dataset was made.
        stages: The pipeline's stages, in the order in which they ran.
        configs: Configs by title, as JSON can hold them.
        versions: Version by package, and the source's revision.
        missing: By section ("results", a chapter's name, "filtered", "duplicates",
            "films", "datasets"): what is not there and why.
        built: When the page was built.
    """

    title: str
    kicker: str
    description: str = ""
    method: str = ""
    tables: Sequence[RowTable] = ()
    filtered: Sequence[FilteredSource] = ()
    duplicates: Sequence[Duplicates] = ()
    chapters: Sequence[Chapter] = ()
    films: Sequence[Films] = ()
    datasets: Sequence[DatasetFacts] = ()
    stages: Sequence[Stage] = ()
    configs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    missing: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    built: str = ""


def render_experiment(content: ExperimentContent) -> str:
    """Makes one HTML page that needs nothing else; names are text on it."""
    compared = [
        compare_rows(table.results, table.rows, table.reference or None, table.paper)
        for table in content.tables
    ]
    accuracy = [
        _accuracy(number, table, comparison)
        for number, (table, comparison) in enumerate(
            zip(content.tables, compared, strict=True)
        )
    ]
    filtered = [
        filter_chart(f"filtered-{number}", source.name, source.kept)
        for number, source in enumerate(content.filtered)
    ]
    charts = [chart for chapter in content.chapters for chart in chapter.charts]
    first = compared[0] if compared else Comparison((), None, ())
    return render(
        "experiment.html.j2",
        content,
        [chart for chart in accuracy + charts + filtered if chart],
        _STYLES,
        _SCRIPTS,
        comparison=first,
        ledes=_ledes(content.tables[0], first) if compared else [],
        sections=_sections(content),
        tables=list(zip(content.tables, compared, accuracy, strict=True)),
        filtered=list(zip(content.filtered, filtered, strict=True)),
    )


def _accuracy(number: int, table: RowTable, comparison: Comparison) -> Chart | None:
    def look_of(row: str) -> Look:
        hue = "--s-none" if row == table.reference else "--diagonal"
        return Look(row, hue, False, "")

    # The first one is not beside its table.
    title = "" if number else table.title
    name = f"accuracy-{number}"
    return accuracy_chart(comparison, name, title, look_of, table.measure)


def _ledes(table: RowTable, comparison: Comparison) -> list[str]:
    main = comparison.line(table.main)
    if main is None:
        return []
    sentence = (
        f"\u201c{table.main}\u201d classifies {wording.points(main.values['top_1'])}"
        "\u202f% of the validation clips correctly"
    )
    if main.ahead:
        gap = wording.behind(main.ahead)
        sentence += f", {gap} points against \u201c{table.reference}\u201d"
    return [f"{sentence}."]


def _sections(content: ExperimentContent) -> dict[str, str]:
    """Titles of the sections that have something to show or to complain about."""
    missing = content.missing
    filled = {
        "filtered": content.filtered or missing.get("filtered"),
        "duplicates": content.duplicates or missing.get("duplicates"),
        "films": content.films or missing.get("films"),
        "data": content.datasets or missing.get("datasets"),
        "run": content.stages or content.versions or content.configs,
    }
    return {
        "results": "Results",
        **{chapter.name: chapter.title for chapter in content.chapters},
        **{name: _SECTIONS[name] for name in filled if filled[name]},
    }
