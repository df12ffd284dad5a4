"""Results of rows and seeds as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spl_tf.metrics import estimate, paired_difference


def mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """The mean of a number over the seeds of a row."""
    return sum(row[key] for row in rows) / len(rows)


def share(values: Sequence[float]) -> str:
    """Mean, and with several values its standard error, in percent; "-" of nothing."""
    found = estimate(values)
    if found is None:
        return "-"
    if found.error is None:
        return f"{found.mean:.1%}"
    return f"{100 * found.mean:.1f} ± {100 * found.error:.1f}%"


def ahead(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> str:
    """What top-1 of one row is better by: points, standard error, in how many seeds.

    Args:
        first: Entries with `seed` and `top_1`, one per seed.
        second: Such entries of the other row; "-" without a common seed.
    """
    by_seed = ({row["seed"]: row["top_1"] for row in rows} for rows in (first, second))
    found = paired_difference(*by_seed)
    if found is None:
        return "-"
    points, error = found.estimate.mean, found.estimate.error
    text = f"{100 * points:+.1f}" + ("" if error is None else f" ± {100 * error:.1f}")
    return f"{text} ({found.wins} of {found.estimate.count})"


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is names, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for name, *cells in table:
        shown = [f"{c:>{width}}" for c, width in zip(cells, widths[1:], strict=True)]
        lines.append("   ".join([f"{name:<{widths[0]}}", *shown]))
    return lines
