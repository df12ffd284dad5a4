"""Which stages of an experiment may run."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence

from experiments.pipeline.stages import Stage


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which stages may run.

    Attributes:
        stages: Names or patterns, of whole names or their last part; empty for all.
        rows: Names of rows; what all rows share is chosen too. Empty for all.
        seeds: Seeds; what all seeds share is chosen too. Empty for all.
    """

    stages: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def of(self, stages: Sequence[Stage]) -> set[str]:
        """Names of the chosen ones.

        Raises:
            ValueError: A name or pattern is of none of them.
        """
        known = dict.fromkeys(stage.row for stage in stages if stage.row)
        unknown = [row for row in self.rows if row not in known]
        if unknown:
            raise ValueError(
                f"row {unknown[0]!r} is none of the config's, which are "
                f"{', '.join(known)}"
            )
        for pattern in self.stages:
            if not any(_matches(stage, pattern) for stage in stages):
                last = dict.fromkeys(_last_part(stage) for stage in stages)
                raise ValueError(
                    f"no stage is called {pattern!r}; there are {', '.join(last)}, and "
                    f"whole names such as {stages[-1].name!r}"
                )
        return {stage.name for stage in stages if self._has(stage)}

    def _has(self, stage: Stage) -> bool:
        return (
            (not self.rows or not stage.row or stage.row in self.rows)
            and (not self.seeds or stage.seed is None or stage.seed in self.seeds)
            and (not self.stages or any(_matches(stage, p) for p in self.stages))
        )


def _matches(stage: Stage, pattern: str) -> bool:
    names = (stage.name, _last_part(stage))
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _last_part(stage: Stage) -> str:
    return stage.name.rpartition("/")[2]
