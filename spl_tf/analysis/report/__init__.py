"""The page that shows an experiment, as HTML.

`render_page(ReportContent)` is that of SPL's strategies, `render_experiment(
ExperimentContent)` that of rows of any names. Everything here draws; what is drawn
comes in as content, so that a page does not depend on how runs keep their files.
"""

from spl_tf.analysis.report.content import (
    CellPictures,
    ClipLabels,
    Counts,
    DatasetFacts,
    HeatStrip,
    LearningCurve,
    ReportContent,
    Row,
    Stage,
    WebClips,
)
from spl_tf.analysis.report.duplicates import Duplicates, ShownClip, ShownPair
from spl_tf.analysis.report.experiment import (
    Chapter,
    ExperimentContent,
    FilmLabel,
    Films,
    FilteredSource,
    RowTable,
    render_experiment,
)
from spl_tf.analysis.report.features import (
    ClusterPage,
    RetrievalPage,
    ShownCluster,
    ShownQuery,
    render_clusters,
    render_retrieval,
)
from spl_tf.analysis.report.page import render_page

__all__ = [
    "CellPictures",
    "Chapter",
    "ClipLabels",
    "ClusterPage",
    "Counts",
    "DatasetFacts",
    "Duplicates",
    "ExperimentContent",
    "FilmLabel",
    "Films",
    "FilteredSource",
    "HeatStrip",
    "LearningCurve",
    "ReportContent",
    "RetrievalPage",
    "Row",
    "RowTable",
    "ShownClip",
    "ShownCluster",
    "ShownPair",
    "ShownQuery",
    "Stage",
    "WebClips",
    "render_clusters",
    "render_experiment",
    "render_page",
    "render_retrieval",
]
