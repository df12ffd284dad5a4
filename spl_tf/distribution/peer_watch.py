"""Ends this process when another process of its run ends, or never comes up.

TensorFlow notices a lost process in most states, but not in all: while it connects it
waits for up to an hour, and holds the interpreter's lock, so that no thread could act
for it. Hence a small process of its own looks whether the others still answer. It runs
this file as a script, and so imports nothing but the standard library.

A process whose port is taken, or that ends by another error of its own before all are
connected, leaves a note in a folder that all see, as nothing else tells it from others.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping

# EX_UNAVAILABLE of sysexits.h.
WORKER_LOST_EXIT_CODE = 69

_INTERVAL_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
# A machine that has died refuses nothing: it is silent.
_SILENT_SECONDS = 20.0
_REFUSALS = 3
# In which TensorFlow's own error may end the process with a traceback that says more.
_GRACE_SECONDS = 15.0
_KILL_SECONDS = 3.0
_NOTE = "ended_with_error.json"
_NOTE_GRACE_SECONDS = 5.0


@contextlib.contextmanager
def watched(
    peers: Mapping[str, str],
    startup_timeout: float,
    own: str,
    folder: str,
    not_told: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Watches other processes during the block.

    When one of them is lost, a message says which, and this process ends with
    `WORKER_LOST_EXIT_CODE`; or by SIGKILL, where TensorFlow keeps it from doing so.
    From a death to that end it takes less than a minute.

    Args:
        peers: Addresses, `host:port`, of the others' TensorFlow servers, by name.
        startup_timeout: Seconds in which each must have come up.
        own: What the others are told of the process that ends with an error, its name.
        folder: Where they are told so, if they share it; it is made then.
        not_told: Exceptions that are no fault of this process.
    """
    if not peers:
        yield
        return
    note = os.path.join(folder, _NOTE)
    settings = {
        "peers": dict(peers),
        "startup_timeout": startup_timeout,
        "watched": os.getpid(),
        "note": note,
        "started": _process_start(),
    }
    # Isolated, so that nothing of the environment is imported.
    command = [sys.executable, "-I", os.path.abspath(__file__), json.dumps(settings)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as watcher:
        threading.Thread(target=_end_when_told, args=[watcher], daemon=True).start()
        try:
            yield
        except not_told:
            raise
        except Exception as error:
            _leave_note(note, own, str(error))
            raise
        else:
            with contextlib.suppress(OSError):
                os.unlink(note)  # of a former attempt
        finally:
            watcher.stdin.close()  # and it ends


def _process_start() -> float:
    """When this process started, in seconds since the epoch."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        # The second field, a name in brackets, may have blanks.
        ticks = int(file.read().rsplit(")", 1)[1].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def _leave_note(path: str, name: str, error: str) -> None:
    # Without a folder for it, the others wait until they miss this process.
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = f"{path}.incomplete-{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"name": name, "error": error, "time": time.time()}, file)
        os.replace(temporary, path)


def _end_when_told(watcher: subprocess.Popen) -> None:
    if watcher.stdout.read(1):
        os._exit(WORKER_LOST_EXIT_CODE)


@dataclasses.dataclass
class _Peer:
    """What is known of another process."""

    name: str
    address: str
    last_seen: float | None = None
    refusals: int = 0

    def look(self) -> None:
        """Tries to connect to the process, and notes whether it answered."""
        host, port = self.address.rsplit(":", 1)
        try:
            place = (host.strip("[]"), int(port))
            socket.create_connection(place, _ANSWER_SECONDS).close()
        except ConnectionRefusedError:
            self.refusals += 1
        except OSError:
            self.refusals = 0
        else:
            self.refusals, self.last_seen = 0, time.monotonic()

    def is_missing(self, started: float, startup_timeout: float) -> bool:
        """Whether it never came up."""
        return self.last_seen is None and time.monotonic() > started + startup_timeout

    def is_gone(self) -> bool:
        """Whether it came up, and has ended."""
        if self.last_seen is None:
            return False
        silent = time.monotonic() - self.last_seen
        return self.refusals >= _REFUSALS or silent >= _SILENT_SECONDS


def _read_note(path: str, since: float) -> str | None:
    """What another process ended with since then."""
    try:
        with open(path, encoding="utf-8") as file:
            note = json.load(file)
    except OSError:
        return None
    if note["time"] < since:
        return None  # of a former attempt
    return (
        f"{note['name']} ended with an error, so this process ends too. Its error: "
        f"{note['error']}"
    )


def _watch(
    peers: list[_Peer], startup_timeout: float, note: str, since: float
) -> str | None:
    """Waits for a fault; None when the watched process leaves the block, or ends."""
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(min(len(peers), 32)) as pool:
        while not _left_within(_INTERVAL_SECONDS):
            told = _read_note(note, since)
            if told and not _left_within(_NOTE_GRACE_SECONDS):
                return told
            list(pool.map(_Peer.look, peers))
            for peer in peers:
                if peer.is_missing(started, startup_timeout):
                    return (
                        f"{peer.name} ({peer.address}) did not come up within "
                        f"{startup_timeout:g} seconds (config.runtime.startup_timeout)."
                        " Look whether it was started, and whether its address can be "
                        "reached from here; then start all processes again"
                    )
                if peer.is_gone() and not _left_within(_GRACE_SECONDS):
                    return (
                        f"{peer.name} ({peer.address}) has ended or cannot be reached "
                        "any more, so this process ends too. Start all of them again, "
                        "the run continues from its last checkpoint"
                    )
    return None


def _left_within(seconds: float) -> bool:
    """Whether the watched process closes the pipe by then, on purpose or by its end."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def _main() -> None:
    # These are for the watched process; its end is that of this one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settings = json.loads(sys.argv[1])
    peers = [_Peer(*item) for item in settings["peers"].items()]
    fault = _watch(
        peers, settings["startup_timeout"], settings["note"], settings["started"]
    )
    if fault is None:
        return
    print(f"error: {fault}", file=sys.stderr, flush=True)
    sys.stdout.write("x")
    sys.stdout.flush()
    if not _left_within(_KILL_SECONDS):
        os.kill(settings["watched"], signal.SIGKILL)


if __name__ == "__main__":
    _main()
