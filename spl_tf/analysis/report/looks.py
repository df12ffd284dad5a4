"""How strategies are called, drawn and explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Look:
    """What a reader sees of a strategy.

    Attributes:
        title: What the strategy is called in text.
        color: Name of a CSS custom property.
        dashed: Whether its curves are dashed: the baselines.
        says: What it does with a web clip, in a sentence.
    """

    title: str
    color: str
    dashed: bool
    says: str


NONE = "none"

_LOOKS = {
    NONE: Look(
        "no web clips", "--s-none", True, "Trained on the labelled target clips only."
    ),
    "weak": Look(
        "weak label",
        "--s-weak",
        True,
        "Every clip is labelled with the query that found its video.",
    ),
    "teacher": Look(
        "teacher label",
        "--s-teacher",
        True,
        "Every clip is labelled with what the teacher sees in it.",
    ),
    "agreement": Look(
        "agreement",
        "--s-agreement",
        True,
        "Only clips whose teacher agrees with the query are used; the rest is "
        "discarded.",
    ),
    "data_parameters": Look(
        "Data Parameters",
        "--s-data",
        True,
        "Labelled with the query; a learned temperature turns doubtful clips down.",
    ),
    "spl": Look(
        "SPL",
        "--s-spl",
        False,
        "Every cell of the matrix, a pair of query and teacher, is a label.",
    ),
    "spl_m": Look(
        "SPL-M",
        "--s-spl-m",
        False,
        "The most frequent cells off the diagonal get labels of their own; clips of "
        "the other cells keep their query's label.",
    ),
    "spl_d": Look(
        "SPL-D",
        "--s-spl-d",
        False,
        "The most frequent cells off the diagonal get labels of their own; clips of "
        "the other cells are discarded.",
    ),
    "spl_b": Look(
        "SPL-B",
        "--s-spl-b",
        False,
        "Each query has two labels: one for clips on which the teacher agrees, one "
        "for all others.",
    ),
}
_SPARE = ("--s-other-1", "--s-other-2", "--s-other-3")


def look(strategy: str) -> Look:
    """Returns how a strategy is shown; one that is not known here keeps its name."""
    known = _LOOKS.get(strategy)
    if known is not None:
        return known
    # The same name always gets the same color.
    return Look(strategy, _SPARE[sum(strategy.encode()) % len(_SPARE)], True, "")


def main_strategy(strategies: Sequence[str]) -> str | None:
    """The one that the page is about: `spl_b`, else the first SPL, else the last."""
    if "spl_b" in strategies:
        return "spl_b"
    with_labels = [name for name in strategies if name.startswith("spl")]
    return (with_labels or list(strategies)[-1:] or [None])[0]
