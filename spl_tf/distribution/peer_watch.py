"""Ends this process when another process of its run ends, or never comes up.

TensorFlow notices a lost process in most states, but not in all: while it connects it
waits for up to an hour, and holds the interpreter's lock, so that no thread could act
for it. Hence a small process of its own looks whether the others still answer. It runs
this file as a script, and so imports nothing but the standard library.
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


@contextlib.contextmanager
def watched(peers: Mapping[str, str], startup_timeout: float) -> Iterator[None]:
    """Watches other processes during the block.

    When one of them is lost, a message says which, and this process ends with
    `WORKER_LOST_EXIT_CODE`; or by SIGKILL, where TensorFlow keeps it from doing so.
    From a death to that end it takes less than a minute.

    Args:
        peers: Addresses, `host:port`, of the others' TensorFlow servers, by name.
        startup_timeout: Seconds in which each must have come up.
    """
    if not peers:
        yield
        return
    settings = {
        "peers": dict(peers),
        "startup_timeout": startup_timeout,
        "watched": os.getpid(),
    }
    # Isolated, so that nothing of the environment is imported.
    command = [sys.executable, "-I", os.path.abspath(__file__), json.dumps(settings)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as watcher:
        threading.Thread(target=_end_when_told, args=[watcher], daemon=True).start()
        try:
            yield
        finally:
            watcher.stdin.close()  # and it ends


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


def _watch(peers: list[_Peer], startup_timeout: float) -> str | None:
    """Waits for a fault; None when the watched process leaves the block, or ends."""
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(min(len(peers), 32)) as pool:
        while not _left_within(_INTERVAL_SECONDS):
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
    fault = _watch(peers, settings["startup_timeout"])
    if fault is None:
        return
    print(f"error: {fault}", file=sys.stderr, flush=True)
    sys.stdout.write("x")
    sys.stdout.flush()
    if not _left_within(_KILL_SECONDS):
        os.kill(settings["watched"], signal.SIGKILL)


if __name__ == "__main__":
    _main()
