"""Tables of `results.json` as a page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spl_tf.analysis.report import Row, RowTable


def row_table(
    table: Mapping[str, Any],
    results: Mapping[str, Any],
    reference: str,
    main: str = "",
    heading: str = "trained on",
    measure: str = "top-1",
) -> RowTable:
    """A table of those of its rows that the experiment runs.

    Args:
        table: One of `results["tables"]`: "title", "text", "rows" and "paper".
        results: The content of `results.json`, with "strategies" and "rows".
        reference: The row that others are compared with, if it is there.
        main: The row that the page begins with, if it is there.
        heading: What the column of names is headed with.
        measure: What the rows' and the paper's "top_1" are.
    """
    names = [name for name in table["rows"] if name in results["strategies"]]
    fields = ("strategy", "seed", "top_1", "top_5", "mAP", "seconds")
    paper = table["paper"].get("rows", {})
    return RowTable(
        title=table["title"],
        rows=names,
        results=[
            Row(**{field: row[field] for field in fields})
            for row in results["rows"]
            if row["strategy"] in names
        ],
        text=table["text"],
        reference=reference if reference in names else "",
        main=main if main in names else "",
        paper={row: found for row, found in paper.items() if row in names},
        source=table["paper"].get("source", ""),
        heading=heading,
        measure=measure,
    )
