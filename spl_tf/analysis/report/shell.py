"""What all pages share: templates, styles, scripts."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
import json
import re
from collections.abc import Sequence

import jinja2

from spl_tf.analysis.report import wording
from spl_tf.analysis.report.looks import look
from spl_tf.analysis.report.svg import Chart

_TEMPLATES = "templates"


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
    environment.globals["lede"] = wording.lede
    environment.globals["certainty"] = wording.certainty
    return environment


def joined(names: Sequence[str]) -> str:
    """Styles or scripts of the templates' folder, in one text."""
    folder = importlib.resources.files(__package__) / _TEMPLATES
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def sha256(text: str) -> str:
    """The digest by which a page's policy knows its script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def picture_file(chart: Chart) -> str:
    """The picture of a chart as the SVG file of its own, in the page's light colors."""
    colors = re.search(r":root {(.*?)}", joined(("style.css",)), re.DOTALL)[1]
    fonts = "font-family: system-ui, sans-serif; background: var(--paper)"
    start, end, rest = chart.svg.partition(">")
    return f"{start}{end}<style>:root {{{colors} {fonts}}}</style>{rest}"
