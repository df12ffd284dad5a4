"""The page that shows near-copies side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from spl_tf.analysis.report.shell import render_plain
from spl_tf.analysis.report.sprites import Sprite


@dataclasses.dataclass(frozen=True)
class ShownClip:
    """One side of a pair.

    Attributes:
        clip_id: The clip's `example/id`.
        label: Name of its class; may be empty.
        frames: Its frames that were compared, in one row.
        most_alike: Which of them is most like one of the other side, from 0.
    """

    clip_id: str
    label: str
    frames: Sprite
    most_alike: int


@dataclasses.dataclass(frozen=True)
class ShownPair:
    """Two clips and the cosine of their most similar frames."""

    similarity: float
    first: ShownClip
    second: ShownClip


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """What of one dataset is like what of another.

    Attributes:
        pairs: Pairs that are shown, most similar first.
        count: Number of all pairs, also those that are not shown.
        threshold: Cosine above which two clips are a pair.
        names: Names of the datasets, left and right.
        excluded: Number of media that are left out.
    """

    pairs: Sequence[ShownPair]
    count: int
    threshold: float
    names: tuple[str, str]
    excluded: int


def render_duplicates(found: Duplicates) -> str:
    """Makes one HTML page that needs nothing else; names are text on it."""
    return render_plain("duplicates", "Near-duplicates", (), found)
