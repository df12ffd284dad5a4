"""What an evaluation found, and how a reader is told."""

from __future__ import annotations

import dataclasses
from typing import Any

from spl_tf.inference.scores import ClassResult

_SHOWN_CLASSES = 10
_TITLES = {  # of the metrics
    "top_1": "top-1",
    "top_5": "top-5",
    "mean_class_accuracy": "mean class accuracy",
    "label_accuracy": "label accuracy",
    "mAP": "mAP",
}


@dataclasses.dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        results: The content of `results.json`: the metrics, `excluded_classes`, and
            under `settings` how the predictions were made.
        classes: Results of each class: the lines of `per_class.csv`.
    """

    results: dict[str, Any]
    classes: tuple[ClassResult, ...]


def summary(report: Report) -> str:
    """The results for a reader: the metrics, and the least accurate classes."""
    results = report.results
    excluded = results["excluded_classes"]
    without = f" (without {', '.join(excluded)})" if excluded else ""
    skipped = results["settings"].get("bad_records_skipped", 0)
    lines = [
        f"{results['clips']:,} clips, {len(report.classes):,} classes"
        + (f", bad records skipped: {skipped:,}" if skipped else ""),
        *(
            f"{title:<20} {results[key]:7.2%}"
            for key, title in _TITLES.items()
            if key in results
        ),
    ]
    lines[-1] += without
    if "linear" in results["settings"]:
        linear = results["settings"]["linear"]
        lines.append(
            f"linear classifier of strength {linear['strength']:g}, trained on "
            f"{linear['train_clips']:,} clips"
        )
    seen = [result for result in report.classes if result.clips]
    worst = sorted(seen, key=lambda result: result.accuracy)[:_SHOWN_CLASSES]
    title = "least accurate"
    width = max(len(name) for name in (title, *(result.name for result in worst)))
    lines += ["", f"{title:<{width}}  accuracy      AP  clips  taken for"]
    for result in worst:
        mistake = f"{result.taken_for} ({result.times})" if result.times else "-"
        lines.append(
            f"{result.name:<{width}}  {result.accuracy:8.1%}  "
            f"{result.average_precision:6.1%}  {result.clips:5}  {mistake}"
        )
    return "\n".join(lines)
