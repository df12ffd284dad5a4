"""What is known about each stage's result: up to date, stale, unfinished or missing."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Collection, Sequence
from typing import Any

from experiments.pipeline.fingerprints import (
    DONE,
    STARTED,
    Fingerprints,
    Record,
    describe_changes,
    flatten,
    load_record,
)
from experiments.pipeline.stages import Stage, needs
from tfrecords_tools.conversion.source_files import replaced_since

# States of stages, as `results.json` has them.
RAN, SKIPPED, FAILED, NOT_RUN = "done", "skipped", "failed", "not run"
NO_RESULT, NOT_CHOSEN = "no result yet", "not chosen"
_STALE = "stale"
# Others replace a former result by themselves, and take seconds.
_SET_ASIDE = ("render", "convert", "train", "predict")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a stage whose needs are met has to run.

    Attributes:
        fingerprint: What it would be made from now.
        reason: Why it has to run; "" if its result is up to date.
        record: Record of the former result, if it is up to date or can be continued.
    """

    fingerprint: dict[str, Any]
    reason: str
    record: Record | None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a stage.

    Attributes:
        state: `RAN`, `SKIPPED` (it was up to date), `FAILED` or `NOT_RUN`.
        reason: Why it ran, did not run, or failed.
        record: Record of its result; None without a result that is up to date.
    """

    state: str
    reason: str
    record: Record | None = None


class Ledger:
    """The stages of a workdir and what became of them."""

    def __init__(self, stages: Sequence[Stage], chosen: Collection[str], workdir: str):
        """Looks at nothing yet.

        Args:
            stages: All stages, each after those that it needs.
            chosen: Names of those that may run.
            workdir: The experiment's folder, an absolute path.
        """
        self.stages = list(stages)
        self.chosen = set(chosen)
        self.workdir = workdir
        self.outcomes: dict[str, Outcome] = {}
        self._needs = needs(stages)
        self._outputs = {stage.name: stage.output for stage in stages}
        self._fingerprints = Fingerprints(workdir)

    def undecided(self) -> list[Stage]:
        """Stages without an outcome whose needs all have one."""
        found = []
        for stage in self.stages:
            others = len(self.stages) - 1 if stage.is_last else 0
            if (
                stage.name not in self.outcomes
                and all(name in self.outcomes for name in self._needs[stage.name])
                and len(self.outcomes) >= others
            ):
                found.append(stage)
        return found

    def decide(self, stage: Stage) -> Verdict | None:
        """Gives an undecided stage its outcome, or says that it has to run.

        Returns:
            The verdict of a stage that has to run; None where there is an outcome.
        """
        if self.block(stage):
            return None
        try:
            verdict = self._examine(stage)
        except (OSError, ValueError) as error:
            self.outcomes[stage.name] = Outcome(FAILED, str(error))
            return None
        if not verdict.reason:
            reason = "its inputs and settings have not changed"
            self.outcomes[stage.name] = Outcome(SKIPPED, reason, verdict.record)
        elif stage.name not in self.chosen:
            reason = f"{NOT_CHOSEN} ({verdict.reason})"
            self.outcomes[stage.name] = Outcome(NOT_RUN, reason)
        else:
            return verdict
        return None

    def block(self, stage: Stage) -> bool:
        """Gives a stage that needs one without a result its outcome; else False."""
        for name in self._needs[stage.name]:
            needed = self.outcomes.get(name)
            if needed is not None and needed.record is None:
                reason = NOT_CHOSEN
                if stage.name in self.chosen:
                    reason = f"it needs {name}, which is {needed.state}"
                self.outcomes[stage.name] = Outcome(NOT_RUN, reason)
                return True
        return False

    def _examine(self, stage: Stage) -> Verdict:
        makers = {
            self._outputs[name]: outcome.record
            for name, outcome in self.outcomes.items()
        }
        current = self._fingerprints.of(stage, makers)
        record = load_record(self.workdir, stage.name)
        if record is None:
            return Verdict(current, NO_RESULT, None)
        defaults = flatten(stage.defaults, "settings.")
        former = {key: defaults[key] for key in defaults if key in current}
        changes = describe_changes(former | record.fingerprint, current)
        if changes:
            return Verdict(current, changes, None)
        output = os.path.join(self.workdir, stage.output)
        is_there = os.path.exists(output)
        if is_there and stage.action == "convert":
            replaced = replaced_since(output)
            if replaced:
                changes = f"the size or time of source files changed: {replaced}"
                return Verdict(current, changes, None)
        if record.state == DONE:
            reason = "" if is_there else f"{stage.output} is not there"
            return Verdict(current, reason, record if is_there else None)
        if not is_there:
            return Verdict(current, "it did not finish", None)
        if record.workdir != self.workdir:
            moved = f"it did not finish before {record.workdir} was moved"
            return Verdict(current, moved, None)
        return Verdict(current, "it did not finish", record)

    def begin(self, stage: Stage, verdict: Verdict) -> str:
        """Notes that a stage starts, and makes room for its result.

        Returns:
            Where a former result has been moved to; "" if there was none.
        """
        moved = ""
        if verdict.record is None and stage.action in _SET_ASIDE:
            moved = self._set_aside(stage.output)
        record = Record(STARTED, verdict.fingerprint, self.workdir, stage.output)
        record.save(self.workdir, stage.name)
        return moved

    def _set_aside(self, output: str) -> str:
        """Moves a folder that would be in the way, so that nothing is lost."""
        path = os.path.join(self.workdir, output)
        if not os.path.exists(path):
            return ""
        number = 1
        while os.path.exists(os.path.join(self.workdir, _STALE, f"{output}-{number}")):
            number += 1
        target = os.path.join(_STALE, f"{output}-{number}")
        target_path = os.path.join(self.workdir, target)
        os.makedirs(os.path.dirname(target_path), exist_ok=True)
        shutil.move(path, target_path)
        return target

    def finish(
        self, stage: Stage, verdict: Verdict, facts: dict[str, Any], seconds: float
    ) -> None:
        """Notes that a stage is done.

        Args:
            stage: The stage that has ended.
            verdict: The verdict that it began with.
            facts: What its action reports about the result.
            seconds: How long its work took.
        """
        record = Record(
            DONE,
            verdict.fingerprint,
            self.workdir,
            stage.output,
            seconds=round(seconds, 2),
            is_whole=verdict.record is None,
            facts=facts,
        )
        record.save(self.workdir, stage.name)
        self._fingerprints.forget(stage.output)
        self.outcomes[stage.name] = Outcome(RAN, verdict.reason, record)

    def fail(self, stage: Stage, error: str) -> None:
        """Notes that a stage failed; what it has written can be continued."""
        self.outcomes[stage.name] = Outcome(FAILED, error)
