"""What a subset changes in a manifest's rows: labels that it lacks, and their spans.

An `Edit` takes the cells of the header and of a row, which may be the header itself.
"""

from __future__ import annotations

from collections.abc import Collection

from tfrecords_tools.conversion.manifest import LABEL_SEPARATOR, labels_in
from tfrecords_tools.subsets.table import spans_of

_SPAN = ("start", "end")


def keep_labels(
    names: Collection[str], header: list[str], cells: list[str]
) -> list[str]:
    """Leaves a row, which has one of some labels, these labels alone."""
    if cells is header:
        return cells
    row = dict(zip(header, cells, strict=True))
    labels = labels_in(row["label"], row.get("more_labels"))
    kept = [name for name in labels if name in names]
    if kept == labels:
        return cells
    row["label"] = kept[0]
    if "more_labels" in row:
        row["more_labels"] = LABEL_SEPARATOR.join(kept[1:])
    return list(row.values())


def keep_center(seconds: float, header: list[str], cells: list[str]) -> list[str]:
    """Leaves a row whose length is known its central seconds, or all if it is shorter.

    Columns `start` and `end` that are not there are added.
    """
    if cells is header:
        return [*header, *(name for name in _SPAN if name not in header)]
    start, end = spans_of(header)("a row", cells)
    cut = max(0.0, (end - start - seconds) / 2)
    row = dict(zip(header, cells, strict=True))
    for name, value in zip(_SPAN, (start + cut, end - cut), strict=True):
        row[name] = f"{value:.6f}".rstrip("0").rstrip(".")
    return list(row.values())
