"""The per-class table, and what pre-training changed in what is confused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from spl_tf.analysis.report.content import Counts
from spl_tf.analysis.report.looks import NONE, main_strategy
from spl_tf.metrics import ConfusionChange, confusion_changes, confusion_scores

# Lines of the table; of more classes, those whose accuracy changed most.
MAX_CLASSES = 500
_SHOWN_CHANGES = 8


@dataclasses.dataclass(frozen=True)
class ClassLine:
    """How one class fares: a line of the table.

    Attributes:
        name: Name of the class, as in `dataset.json`.
        clips: Validation clips of it, of all seeds.
        accuracy: Accuracy in [0, 1] by strategy; None without clips.
        partner: The class that it is most confused with after pre-training; None if
            with none.
        before: Confusion score of the two without pre-training; None if not measured.
        after: Confusion score of the two after pre-training; 0 without a partner.
    """

    name: str
    clips: int
    accuracy: Mapping[str, float | None]
    partner: str | None
    before: float | None
    after: float


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """The table of classes, and which pairs are confused less or more.

    Attributes:
        strategies: The columns of accuracy, in order.
        before: The strategy that changes start from, or None.
        after: The strategy that they end at.
        lines: Lines of the classes that are shown, in class order.
        left_out: Number of classes that are not shown.
        drops: Pairs that are confused less, largest drop first.
        rises: Pairs that are confused more, largest rise first.
        seeds: How many seeds were added up.
    """

    strategies: tuple[str, ...]
    before: str | None
    after: str
    lines: tuple[ClassLine, ...]
    left_out: int
    drops: tuple[ConfusionChange, ...]
    rises: tuple[ConfusionChange, ...]
    seeds: int

    @property
    def largest_score(self) -> float:
        """The largest score of `drops` and `rises`, 0 without any."""
        changes = (*self.drops, *self.rises)
        return max((max(c.before, c.after) for c in changes), default=0.0)


def class_table(counts: Sequence[Counts]) -> ClassTable | None:
    """Makes the table; None without predictions."""
    by_strategy = {entry.strategy: entry for entry in counts}
    after = main_strategy([name for name in by_strategy if name != NONE] or [NONE])
    if after not in by_strategy:
        return None
    before = NONE if NONE in by_strategy and after != NONE else None
    lines = _lines(by_strategy, before, after)
    left_out = max(len(lines) - MAX_CLASSES, 0)
    changes = []
    if before:
        changes = confusion_changes(
            by_strategy[before].confusion, by_strategy[after].confusion
        )
    return ClassTable(
        strategies=tuple(by_strategy),
        before=before,
        after=after,
        lines=tuple(_most_changed(lines, before, after)),
        left_out=left_out,
        drops=tuple(c for c in changes if c.after < c.before)[:_SHOWN_CHANGES],
        rises=tuple(c for c in changes[::-1] if c.after > c.before)[:_SHOWN_CHANGES],
        seeds=by_strategy[after].seeds,
    )


def _lines(
    counts: Mapping[str, Counts], before: str | None, after: str
) -> list[ClassLine]:
    accuracies = {
        name: entry.confusion.class_accuracy() for name, entry in counts.items()
    }
    matrix = counts[after].confusion.counts
    names = counts[after].confusion.class_names
    scores = confusion_scores(matrix)
    former = confusion_scores(counts[before].confusion.counts) if before else None
    lines = []
    for index, name in enumerate(names):
        partner = int(scores[index].argmax())
        score = float(scores[index, partner])
        lines.append(
            ClassLine(
                name=name,
                clips=int(matrix[index].sum()),
                accuracy={
                    strategy: None if math.isnan(found[name]) else found[name]
                    for strategy, found in accuracies.items()
                },
                partner=names[partner] if score else None,
                before=None if former is None else float(former[index, partner]),
                after=score,
            )
        )
    return lines


def _most_changed(
    lines: list[ClassLine], before: str | None, after: str
) -> list[ClassLine]:
    if len(lines) <= MAX_CLASSES:
        return lines
    changes = [
        abs((line.accuracy[after] or 0) - (line.accuracy.get(before) or 0))
        for line in lines
    ]
    chosen = np.sort(np.argsort(changes, kind="stable")[::-1][:MAX_CLASSES])
    return [lines[index] for index in chosen]
