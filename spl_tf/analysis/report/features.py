"""The pages of what features say: clusters, and which clips are like which."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from spl_tf.analysis.report.experiment import FilmLabel
from spl_tf.analysis.report.shell import render_plain
from spl_tf.analysis.report.sprites import Sprite


@dataclasses.dataclass(frozen=True)
class ShownCluster:
    """Some clips of a cluster.

    Attributes:
        name: The cluster's name.
        size: Number of all its clips.
        classes: Its most frequent classes, and how many clips it has of each.
        other_classes: Number of its other classes.
        sprite: Frames of the clips that are shown, a row per clip.
        clips: What is said of each row of the sprite.
    """

    name: str
    size: int
    classes: Sequence[tuple[str, int]]
    other_classes: int
    sprite: Sprite
    clips: Sequence[FilmLabel]


@dataclasses.dataclass(frozen=True)
class ClusterPage:
    """A dataset's clips in clusters.

    Attributes:
        dataset: The dataset's name.
        clips: Number of clips.
        sizes: Number of clips of each cluster.
        labelled: Number of clips whose class is known.
        purity: See `metrics.clusters`; None where none is known.
        mutual_information: The normalised one; None where no class is known.
        shown: The clusters that are shown.
    """

    dataset: str
    clips: int
    sizes: Sequence[int]
    labelled: int
    purity: float | None
    mutual_information: float | None
    shown: Sequence[ShownCluster]


@dataclasses.dataclass(frozen=True)
class ShownQuery:
    """A query and the clips that are most like it.

    Attributes:
        sprite: Their frames, a row per clip, of which the first is the query.
        clips: What is said of each row of the sprite; one is right if its label is the
            first one's.
        similarity: Cosine of the query and each of the others.
    """

    sprite: Sprite
    clips: Sequence[FilmLabel]
    similarity: Sequence[float]


@dataclasses.dataclass(frozen=True)
class RetrievalPage:
    """How often a query finds a clip of its class.

    Attributes:
        names: Names of the datasets of queries and gallery.
        queries: Number of queries.
        gallery: Number of clips of the gallery.
        recall: R@n in [0, 1], by n.
        note: What else is to be said, in words.
        shown: The queries that are shown.
    """

    names: tuple[str, str]
    queries: int
    gallery: int
    recall: Mapping[int, float]
    note: str
    shown: Sequence[ShownQuery]


def render_clusters(found: ClusterPage) -> str:
    """Makes one HTML page that needs nothing else; names are text on it."""
    return render_plain("clusters", "Clusters", ("films.css",), found)


def render_retrieval(found: RetrievalPage) -> str:
    """Makes one HTML page that needs nothing else; names are text on it."""
    return render_plain("retrieval", "Retrieval", ("films.css",), found)
