"""Which stages of an experiment may run."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence

from experiments.pipeline.stages import Stage, needs


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which stages may run.

    Attributes:
        stages: Names or patterns, of whole names or their last part; empty for all.
        rows: Names of rows; of what rows share, what these need is chosen too, and what
            follows from that alone, such as the evaluation of their teacher. Empty for
            all.
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
        of_rows = self._of_rows(stages)
        return {
            stage.name for stage in stages if stage.name in of_rows and self._has(stage)
        }

    def _of_rows(self, stages: Sequence[Stage]) -> set[str]:
        """Names of what the chosen rows have, need, and share."""
        needed = needs(stages)
        if not self.rows:
            return set(needed)
        owners: dict[str, set[str]] = {stage.name: set() for stage in stages}
        for stage in reversed(stages):  # each comes after what it needs
            if stage.row:
                owners[stage.name].add(stage.row)
            for name in needed[stage.name]:
                owners[name] |= owners[stage.name]
        chosen: set[str] = set()
        for stage in stages:
            rows = owners[stage.name]
            if rows & {*self.rows} or (
                not rows and chosen.issuperset(needed[stage.name])
            ):
                chosen.add(stage.name)
        return chosen

    def _has(self, stage: Stage) -> bool:
        return (not self.seeds or stage.seed is None or stage.seed in self.seeds) and (
            not self.stages or any(_matches(stage, p) for p in self.stages)
        )


def _matches(stage: Stage, pattern: str) -> bool:
    names = (stage.name, _last_part(stage))
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _last_part(stage: Stage) -> str:
    return stage.name.rpartition("/")[2]
