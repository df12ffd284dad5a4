"""The comparison of strategies: means over seeds, their errors, paired differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from spl_tf.analysis.report.content import ReportContent, Row
from spl_tf.analysis.report.looks import main_strategy
from spl_tf.metrics import Difference, Estimate, estimate, paired_difference


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the table; None is what nothing is known of.

    Attributes:
        strategy: The strategy's name, as in the config.
        values: Estimates by the name of a `Row`'s field.
        seeds: The values of `top_1` by seed.
        seconds: Mean over seeds of the time of all stages of the strategy.
        paper: The paper's numbers in [0, 1], by the name of a `Row`'s field.
        behind: What the main strategy is better by; None for itself.
        ahead: What the line is better by than the main strategy; None for that one.
    """

    strategy: str
    values: Mapping[str, Estimate | None]
    seeds: Mapping[int, float]
    seconds: Estimate | None
    paper: Mapping[str, float]
    behind: Difference | None
    ahead: Difference | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The table of strategies.

    Attributes:
        lines: Lines of the strategies, in the order of the report.
        main: The strategy that differences refer to; None without rows.
        seeds: Seeds in which some strategy has a result, ascending.
    """

    lines: tuple[Line, ...]
    main: str | None
    seeds: tuple[int, ...]

    def line(self, strategy: str | None) -> Line | None:
        """The line of a strategy, if it was measured."""
        for line in self.lines:
            if line.strategy == strategy and line.values["top_1"]:
                return line
        return None


_FIELDS = (
    "top_1",
    "top_5",
    "mAP",
    "probe_top_1",
    "labels",
    "clips",
    "kept",
    "cover",
)


def compare(content: ReportContent) -> Comparison:
    """Makes the table from the rows of all seeds."""
    measured = {row.strategy for row in content.rows if row.top_1 is not None}
    return compare_rows(
        content.rows,
        content.strategies,
        main_strategy([name for name in content.strategies if name in measured]),
        (content.paper or {}).get("rows", {}),
    )


def compare_rows(
    rows: Sequence[Row],
    names: Sequence[str],
    main: str | None,
    papers: Mapping[str, Mapping[str, float]],
) -> Comparison:
    """Makes a table of rows of any names.

    Args:
        rows: Of all seeds.
        names: The lines, in order.
        main: The one that differences refer to.
        papers: The paper's numbers of some lines.
    """
    lines = []
    for name in names:
        own = [row for row in rows if row.strategy == name]
        behind = ahead = None
        if main not in (None, name):
            mine = _by_seed(own)
            other = _by_seed([row for row in rows if row.strategy == main])
            behind = paired_difference(other, mine)
            ahead = paired_difference(mine, other)
        lines.append(
            Line(
                strategy=name,
                values={field: _mean_of(own, field) for field in _FIELDS},
                seeds=_by_seed(own),
                seconds=estimate(sum(r.seconds.values()) for r in own if r.seconds),
                paper=papers.get(name, {}),
                behind=behind,
                ahead=ahead,
            )
        )
    seeds = sorted({seed for line in lines for seed in line.seeds})
    return Comparison(tuple(lines), main, tuple(seeds))


def _by_seed(rows: Sequence[Row]) -> dict[int, float]:
    return {row.seed: row.top_1 for row in rows if row.top_1 is not None}


def _mean_of(rows: Sequence[Row], field: str) -> Estimate | None:
    values = [getattr(row, field) for row in rows]
    return estimate(value for value in values if value is not None)
