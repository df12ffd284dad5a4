"""A stage's process: its log, its share of the machine, and how it ends.

A stage that crashes, or is killed for its memory, takes nothing else with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import traceback
import types
from typing import Any

import tensorflow as tf
from absl import logging

from experiments.pipeline import server
from experiments.pipeline.actions import run
from experiments.pipeline.task import Share, Task
from spl_tf.training import TrainingStopped

# A process that has given its answer and does not end is killed.
_SECONDS_TO_END = 30.0


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a stage's process ended.

    Attributes:
        facts: What the stage reports; None if it did not finish.
        error: What went wrong, in a line; "" for a stage that finished.
        seconds: From its start to its end.
        working_seconds: The part in which it did its work.
    """

    facts: dict[str, Any] | None
    error: str
    seconds: float
    working_seconds: float


class StageProcess:
    """A process that runs one stage."""

    def __init__(self, task: Task, log_path: str, title: str):
        """Starts it.

        Args:
            task: What the stage has to do.
            log_path: File that gets its output, after that of earlier runs.
            title: First line of this run's output, after the time.
        """
        server.start()
        os.makedirs(os.path.dirname(log_path), exist_ok=True)
        self._answers, sender = server.CONTEXT.Pipe(duplex=False)
        self._started = time.monotonic()
        self._process = server.CONTEXT.Process(
            target=_main, args=(task, log_path, title, sender)
        )
        self._process.start()
        sender.close()

    @property
    def answers(self) -> multiprocessing.connection.Connection:
        """Is readable when the process has ended, or is about to."""
        return self._answers

    def ask_to_stop(self) -> None:
        """Sends SIGTERM: training and prediction save what they have."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it and all that it has started."""
        # Its group: it leads one of its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def end(self) -> Ended:
        """Waits for its end, and says what became of it."""
        answer = {}
        with contextlib.suppress(EOFError), self._answers:
            answer = json.loads(self._answers.recv_bytes())
        self._process.join(_SECONDS_TO_END)
        seconds = time.monotonic() - self._started
        exit_code = self._process.exitcode
        self.kill()  # what it may have left behind
        self._process.join()
        error = answer.get("error", "")
        if not answer:
            error = _cause_of_death(exit_code)
        return Ended(answer.get("facts"), error, seconds, answer.get("seconds", 0.0))


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"its process ended with code {exit_code}"
    name = signal.Signals(-exit_code).name
    hint = ", perhaps for lack of memory" if exit_code == -signal.SIGKILL else ""
    return f"its process was killed by {name}{hint}"


def _main(task: Task, log_path: str, title: str, answers) -> None:
    """Runs in the process of the stage."""
    # A group of its own: Ctrl-C is for the main process, which says when to stop.
    os.setpgid(0, 0)
    # What this process starts need not import the binary that started it.
    sys.modules["__main__"] = types.ModuleType("__main__")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _write_to(log_path)
    print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {title}", flush=True)
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    started = time.monotonic()
    try:
        _take_share(task.share)
        answer = {"facts": run(task)}
    except TrainingStopped as stopped:
        answer = {"error": str(stopped)}
    except BaseException as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or ["no message"]
        answer = {"error": f"{type(error).__name__}: {lines[0]}"}
    answer["seconds"] = time.monotonic() - started
    used = sum(os.times()[:4])
    print(f"--- {answer['seconds']:.1f} s, {used:.1f} s of processor", flush=True)
    answers.send_bytes(json.dumps(answer).encode())
    answers.close()


def _end_with_parent() -> None:
    """Ends this process and all that it has started when the main process dies."""
    multiprocessing.parent_process().join()
    os.killpg(0, signal.SIGKILL)


def _write_to(log_path: str) -> None:
    """Sends all output to a file, also that of libraries and of processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout.reconfigure(line_buffering=True)


def _take_share(share: Share) -> None:
    """Limits TensorFlow to a part of the machine."""
    tf.config.threading.set_intra_op_parallelism_threads(share.threads)
    # With a single one, a training step cannot tell waiting for input from computing.
    tf.config.threading.set_inter_op_parallelism_threads(max(2, share.threads))
    if share.jobs == 1:
        return
    gpus = tf.config.list_physical_devices("GPU")
    # Equally many for each, so that the clips of a step do not depend on the place.
    number = max(1, len(gpus) // share.jobs)
    own = [gpus[(share.job * number + k) % len(gpus)] for k in range(number) if gpus]
    tf.config.set_visible_devices(own, "GPU")
    for gpu in own:
        tf.config.experimental.set_memory_growth(gpu, True)
