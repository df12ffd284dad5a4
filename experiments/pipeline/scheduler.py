"""Runs stages in the order of their needs, several at a time."""

from __future__ import annotations

import dataclasses
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Callable, Mapping

from experiments.pipeline.ledger import FAILED, NO_RESULT, Ledger, Verdict
from experiments.pipeline.processes import Ended, StageProcess
from experiments.pipeline.stages import Stage
from experiments.pipeline.task import Action, Share, Task
from tfrecords_tools.conversion.manifest import path_of

_POLL_SECONDS = 0.5
_SECONDS_TO_SAVE = 60.0  # then a process that was asked to stop is killed


@dataclasses.dataclass(frozen=True)
class Machine:
    """How much of the machine the stages get.

    Attributes:
        jobs: Stages that run at a time.
        cores: How many cores the machine has.
        threads: TensorFlow's threads in each stage. The same for all and all the time:
            the order in which floats are added up depends on it.
    """

    jobs: int
    cores: int
    threads: int


@dataclasses.dataclass(frozen=True)
class _Running:
    stage: Stage
    verdict: Verdict
    process: StageProcess
    job: int


class Scheduler:
    """Runs what a ledger says has to run."""

    def __init__(
        self,
        ledger: Ledger,
        machine: Machine,
        actions: Mapping[str, Action],
        echo: Callable[[str], None],
    ):
        """Starts nothing yet.

        Args:
            ledger: What is known of former stages.
            machine: What there is to run them on.
            actions: What stages do: functions by the name in `Stage.action`.
            echo: Gets a line when a stage starts or ends.
        """
        self._ledger = ledger
        self._machine = machine
        self._actions = actions
        self._echo = echo
        self._running: dict[str, _Running] = {}
        self._began = time.monotonic()

    def run(self, stop: threading.Event, changed: Callable[[], None]) -> None:
        """Runs everything that has to, to the end.

        Args:
            stop: Set from outside, it makes this return soon, with nothing running.
            changed: Called after stages were decided, before others look at them.
        """
        try:
            while not stop.is_set():
                decided = self._advance()
                if not decided and not self._running:
                    return
                if not decided:
                    self._wait(stop)
                changed()
        finally:
            self._stop_running()

    def _advance(self) -> bool:
        """Decides what can be decided; if nothing can, starts what has to run.

        Returns:
            Whether a stage got its outcome.
        """
        before = len(self._ledger.outcomes)
        waiting = []
        for stage in self._ledger.undecided():
            if stage.name in self._running:
                continue
            verdict = self._ledger.decide(stage)
            if verdict is not None:
                waiting.append((stage, verdict))
            elif self._ledger.outcomes[stage.name].state == FAILED:
                self._say(f"{stage.name}: {self._ledger.outcomes[stage.name].reason}")
        if len(self._ledger.outcomes) > before:
            return True
        starting = waiting[: self._machine.jobs - len(self._running)]
        at_once = len(self._running) + len(starting)
        for stage, verdict in starting:
            self._start(stage, verdict, max(1, self._machine.cores // at_once))
        return False

    def _start(self, stage: Stage, verdict: Verdict, processes: int) -> None:
        ledger = self._ledger
        moved = ledger.begin(stage, verdict)
        reason = "" if verdict.reason == NO_RESULT else f", because {verdict.reason}"
        if moved:
            reason += f"; the former result is now {moved}"
        self._say(f"{stage.name} starts{reason}")
        machine, taken = self._machine, {each.job for each in self._running.values()}
        job = min(set(range(machine.jobs)) - taken)
        task = Task(
            self._actions[stage.action],
            stage.settings,
            {k: path_of(ledger.workdir, read.path) for k, read in stage.inputs.items()},
            os.path.join(ledger.workdir, stage.output),
            stage.options,
            ledger.workdir,
            Share(processes, machine.threads, job, machine.jobs),
        )
        log = os.path.join(ledger.workdir, log_of(stage.name))
        process = StageProcess(task, log, f"{stage.name}: {verdict.reason}")
        self._running[stage.name] = _Running(stage, verdict, process, job)

    def _wait(self, stop: threading.Event) -> None:
        """Waits until a stage ends, or it is time to stop."""
        ended = []
        while not ended and not stop.is_set():
            ended = self._ended(_POLL_SECONDS)
        for each in ended:
            self._take(each, each.process.end())

    def _ended(self, seconds: float) -> list[_Running]:
        waiting = {each.process.answers: each for each in self._running.values()}
        ready = multiprocessing.connection.wait(list(waiting), seconds)
        return [waiting[answers] for answers in ready]

    def _take(self, each: _Running, ended: Ended) -> None:
        stage = each.stage
        del self._running[stage.name]
        if ended.facts is not None:
            self._ledger.finish(stage, each.verdict, ended.facts, ended.working_seconds)
            self._say(f"{stage.name} done in {ended.seconds:.1f} s")
        else:
            self._ledger.fail(stage, ended.error)
            log = os.path.join(self._ledger.workdir, log_of(stage.name))
            self._say(
                f"{stage.name} FAILED after {ended.seconds:.1f} s: {ended.error}; "
                f"see {log}"
            )

    def _stop_running(self) -> None:
        """Lets running stages save what they have, and ends them."""
        try:
            for each in self._running.values():
                each.process.ask_to_stop()
            deadline = time.monotonic() + _SECONDS_TO_SAVE
            while self._running and time.monotonic() < deadline:
                for each in self._ended(_POLL_SECONDS):
                    ended = each.process.end()
                    if ended.facts is not None:
                        self._take(each, ended)  # it was faster
                        continue
                    del self._running[each.stage.name]
                    self._say(f"{each.stage.name} stopped")
        finally:
            for each in self._running.values():
                each.process.kill()

    def _say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        self._echo(f"[{minutes:3}:{seconds:02}] {text}")


def log_of(stage: str) -> str:
    """A stage's log, relative to the workdir."""
    return f"logs/{stage}.log"
