"""What all pages share: templates, styles, scripts."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import jinja2
from markupsafe import Markup

from spl_tf.analysis.report import wording
from spl_tf.analysis.report.content import DatasetFacts, Stage
from spl_tf.analysis.report.looks import look
from spl_tf.analysis.report.svg import Chart

_TEMPLATES = "templates"
_SHOWN_SKIPPED = 40
_FINISHED = ("done", "skipped")  # skipped: done by an earlier run


class PageContent(Protocol):
    """What the contents of all pages have; see `ReportContent`."""

    title: str
    description: str
    datasets: Sequence[DatasetFacts]
    stages: Sequence[Stage]
    configs: Mapping[str, Any]
    versions: Mapping[str, str]
    missing: Mapping[str, Sequence[str]]
    built: str


def render(
    template: str,
    content: PageContent,
    drawn: Iterable[Chart],
    styles: Sequence[str],
    scripts: Sequence[str],
    **values: Any,
) -> str:
    """Fills a template that extends `base.html.j2`.

    Args:
        template: The template's file name.
        content: What the page shows.
        drawn: All charts that it shows, for the pointer.
        styles: Style sheets of the templates' folder, in order.
        scripts: Files of the templates' folder, in the order in which they run.
        **values: What else the template asks for: `comparison`, `ledes`, `sections`
            and its own.
    """
    script = joined(scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest())
    return (
        environment()
        .get_template(template)
        .render(
            content=content,
            points={chart.name: chart.points for chart in drawn},
            waiting=count_waiting(content.stages),
            skipped=_skipped(content.datasets),
            stages=_stage_groups(content.stages),
            style=Markup(joined(styles)),
            script=Markup(script),
            script_hash=digest.decode(),
            **values,
        )
    )


def render_plain(name: str, title: str, styles: Sequence[str], found: Any) -> str:
    """Fills a template that extends `plain.html.j2`, a page without a script.

    Args:
        name: The template's name; its own style sheet has the same.
        title: Heading of the page.
        styles: Further style sheets of the templates' folder.
        found: What the page shows.
    """
    style = Markup(joined(("style.css", *styles, f"{name}.css")))
    template = environment().get_template(f"{name}.html.j2")
    return template.render(title=title, style=style, found=found)


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of this folder, which escape all they are filled with."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, _TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # In the order of the program, and short.
    environment.policies["json.dumps_kwargs"] = {
        "sort_keys": False,
        "separators": (",", ":"),
    }
    for name in ("percent", "points", "behind", "count", "duration", "size"):
        environment.filters[name] = getattr(wording, name)
    environment.filters["look"] = look
    environment.filters["webp"] = lambda data: base64.b64encode(data).decode()
    environment.filters["pretty"] = functools.partial(
        json.dumps, indent=2, ensure_ascii=False
    )
    environment.globals["certainty"] = wording.certainty
    environment.globals["macros"] = environment.get_template("macros.html.j2").module
    return environment


def joined(names: Sequence[str]) -> str:
    """Styles or scripts of the templates' folder, in one text."""
    folder = importlib.resources.files(__package__) / _TEMPLATES
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def picture_file(chart: Chart) -> str:
    """The picture of a chart as the SVG file of its own, in the page's light colors."""
    colors = re.search(r":root {(.*?)}", joined(("style.css",)), re.DOTALL)[1]
    fonts = "font-family: system-ui, sans-serif; background: var(--paper)"
    start, end, rest = chart.svg.partition(">")
    return f"{start}{end}<style>:root {{{colors} {fonts}}}</style>{rest}"


def count_waiting(stages: Sequence[Stage]) -> int:
    """How many stages are still to run; 0 after a failure, which may be why."""
    if any(stage.state == "failed" for stage in stages):
        return 0
    return sum(stage.state == "not run" for stage in stages)


def _skipped(datasets: Sequence[DatasetFacts]) -> list[dict[str, Any]]:
    """What was left out of each dataset: counts by kind, and the first entries."""
    found = []
    for dataset in datasets:
        kinds: dict[str, int] = {}
        for entry in dataset.skipped:
            kinds[entry["kind"]] = kinds.get(entry["kind"], 0) + 1
        found.append(
            {
                "dataset": dataset,
                "kinds": sorted(kinds.items(), key=lambda item: -item[1]),
                "entries": dataset.skipped[:_SHOWN_SKIPPED],
                "left_out": max(len(dataset.skipped) - _SHOWN_SKIPPED, 0),
            }
        )
    return found


def _stage_groups(stages: Sequence[Stage]) -> Mapping[str, Any]:
    """Stages of one name under several seeds added up, and the longest of them."""
    groups: dict[str, dict[str, Any]] = {}
    for stage in stages:
        name = stage.name.partition("/")[2] if stage.name.startswith("seed_") else ""
        group = groups.setdefault(
            name or stage.name, {"seconds": 0.0, "count": 0, "open": []}
        )
        group["seconds"] += stage.seconds or 0.0
        group["count"] += 1
        if stage.state not in _FINISHED:
            group["open"].append(stage)
    total = sum(group["seconds"] for group in groups.values())
    longest = max((group["seconds"] for group in groups.values()), default=0.0)
    return {"groups": groups, "total": total, "longest": longest or 1.0}
