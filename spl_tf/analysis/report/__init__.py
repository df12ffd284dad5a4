"""The page that shows an experiment: `render_page(ReportContent) -> HTML`.

Everything here draws; what is drawn comes in as `ReportContent`, so that the page does
not depend on how runs keep their files (`experiments/spl/reporting` reads those).
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
from spl_tf.analysis.report.page import render_page

__all__ = [
    "CellPictures",
    "ClipLabels",
    "Counts",
    "DatasetFacts",
    "HeatStrip",
    "LearningCurve",
    "ReportContent",
    "Row",
    "Stage",
    "WebClips",
    "render_page",
]
