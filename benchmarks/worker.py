"""Processes that wait for tasks, so that contenders of any interpreter take turns.

Standard library only: both ends import it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def serve(tasks: dict[str, Callable[..., Any]]) -> None:
    """Does the tasks that come on standard input, until it ends.

    Args:
        tasks: By name; each takes a request's arguments and returns something that
            JSON can hold.
    """
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(tasks[name](*arguments)), file=answers, flush=True)


class Worker:
    """A process that serves."""

    def __init__(self, interpreter: str, module: str, *arguments: str):
        """Starts `interpreter -m module arguments`, in the directory at hand."""
        self._name = module
        self._process = subprocess.Popen(
            [interpreter, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, task: str, *arguments: Any) -> Any:
        """Has a task done, and returns its answer.

        Raises:
            RuntimeError: The process has ended; why is on standard error.
        """
        print(json.dumps([task, arguments]), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            code = self._process.wait()
            raise RuntimeError(
                f"{self._name} ended with code {code} during {task!r}; its own message "
                "stands above"
            )
        return json.loads(answer)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def timed(work: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Seconds that `work` took, and those of all of the process' threads; its result.

    Other programs lengthen the first, and hardly the second.
    """
    start, cpu_start = time.perf_counter(), time.process_time()
    result = work()
    cpu = time.process_time() - cpu_start
    return (time.perf_counter() - start, cpu), result


def peak_bytes() -> int:
    """The most memory that this process has had in RAM (Linux)."""
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["VmHWM"].split()[0]) * 1024
