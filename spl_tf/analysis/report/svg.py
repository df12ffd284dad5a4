"""Matplotlib figures as inline SVG that follows the page's theme.

Colors are placeholders that become CSS custom properties, text takes the page's font,
and points can carry a text that a pointer shows.
"""

from __future__ import annotations

import dataclasses
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
# Facts of the drawing program, and styles that would hold for the whole page.
_DROPPED = (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")
_COLOR = re.compile(r"#([0-9a-f]{6})\b")
_FONT = re.compile(r"font: [^;]*?([\d.]+)px[^;]*")
_NAMED_CLASSES = 40
_URL = re.compile(r"url\(#([^)]+)\)")

# What is drawn in these colors is shown in the custom property of that name.
_PROPERTIES = (
    "--ink",
    "--muted",
    "--rule",
    "--diagonal",
    "--off",
    "--s-none",
    "--s-weak",
    "--s-teacher",
    "--s-agreement",
    "--s-data",
    "--s-spl",
    "--s-spl-m",
    "--s-spl-d",
    "--s-spl-b",
    "--s-other-1",
    "--s-other-2",
    "--s-other-3",
    "--dropped",
)
_PLACEHOLDERS = {name: f"#0a0b{i:02x}" for i, name in enumerate(_PROPERTIES)}
_BACK = {color: f"var({name})" for name, color in _PLACEHOLDERS.items()}

ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _XLINK)


def color(name: str) -> str:
    """The placeholder to draw with for a custom property such as "--ink"."""
    return _PLACEHOLDERS[name]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A drawn chart.

    Attributes:
        name: Unique on the page; a prefix of the ids in the picture.
        title: Heading above the picture.
        svg: The `<svg>` element, as text.
        points: (x, y, text) in the units of the picture's view box.
        note: Text below the picture; may be empty.
    """

    name: str
    title: str
    svg: str
    points: Sequence[tuple[float, float, str]]
    note: str = ""


class Canvas:
    """A figure with one or more axes in the page's style, and the points to show."""

    def __init__(self, name: str, width: float, height: float):
        """Makes an empty figure.

        Args:
            name: Name that no other chart of the page has; begins its ids.
            width: Width in CSS pixels, where the picture is shown in full size.
            height: Height in CSS pixels, where the picture is shown in full size.
        """
        self._name = name
        # 72 dots per inch: one unit of the view box is a pixel.
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        self.figure.set_layout_engine("constrained")
        FigureCanvasSVG(self.figure)
        self._points: list[tuple[Axes, np.ndarray, Sequence[str]]] = []

    def axes(self) -> Axes:
        """Adds axes in the page's style."""
        axes = self.figure.add_subplot()
        axes.patch.set_visible(False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(color("--rule"))
        axes.tick_params(which="both", colors=color("--muted"), labelsize=11, length=3)
        axes.xaxis.label.set(color=color("--muted"), size=11)
        axes.yaxis.label.set(color=color("--muted"), size=11)
        axes.grid(color=color("--rule"), linewidth=0.7)
        axes.set_axisbelow(True)
        return axes

    def add_points(
        self, axes: Axes, x: ArrayLike, y: ArrayLike, texts: Sequence[str]
    ) -> None:
        """Lets the pointer show a text at each place, in data coordinates."""
        self._points.append((axes, np.column_stack([x, y]).astype(float), texts))

    def finish(self, title: str, label: str, note: str = "") -> Chart:
        """Draws the figure as a chart.

        Args:
            title: Heading above the picture.
            label: What the chart shows, for those who do not see it.
            note: Text below the picture; may be empty.
        """
        buffer = io.StringIO()
        self.figure.patch.set_visible(False)
        settings = {
            "svg.fonttype": "none",
            "svg.hashsalt": self._name,
            "font.size": 11,
            "axes.unicode_minus": True,
        }
        with matplotlib.rc_context(settings):
            self.figure.savefig(buffer, format="svg", metadata={"Date": None})
        points = []
        height = self.figure.bbox.height
        for axes, places, texts in self._points:
            shown = axes.transData.transform(places)
            for (x, y), text in zip(shown.tolist(), texts, strict=True):
                points.append((round(x, 1), round(height - y, 1), text))
        return Chart(
            self._name,
            title,
            _themed(buffer.getvalue(), self._name, label),
            points,
            note,
        )


def name_classes(axis: Axis, names: Sequence[str]) -> None:
    """Writes class names at 0, 1, ... of an axis, or of many numbers."""
    if len(names) > _NAMED_CLASSES:
        axis.set_major_locator(MaxNLocator(integer=True))
        return
    # In the middle: classes often differ in their last word only.
    short = [n if len(n) <= 24 else f"{n[:12]}…{n[-11:]}" for n in names]
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axis.set_ticks(
        range(len(names)),
        short,
        parse_math=False,
        color=color("--ink"),
        fontsize=9,
        **(turned if axis.axis_name == "x" else {}),
    )


def _themed(svg: str, prefix: str, label: str) -> str:
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in _DROPPED]:
            parent.remove(child)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", label)
    for element in root.iter():
        _rewrite(element, prefix)
    return ElementTree.tostring(root, encoding="unicode")


def _rewrite(element: ElementTree.Element, prefix: str) -> None:
    """Colors, fonts and references of one element; never its text."""
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, f"{prefix}-{value}")
        elif key == f"{{{_XLINK}}}href" and value.startswith("#"):
            element.set(key, f"#{prefix}-{value[1:]}")
        elif key in ("style", "fill", "stroke", "clip-path"):
            value = _COLOR.sub(lambda found: _BACK.get(found[0], found[0]), value)
            value = _FONT.sub(r"font-size: \1px", value)
            element.set(key, _URL.sub(rf"url(#{prefix}-\1)", value))
