"""One process per workdir, and stopping it in good order."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

from absl import logging

from spl_tf import files

# EX_TEMPFAIL of sysexits.h: nothing is wrong, run it again.
STOPPED_EXIT_CODE = 75


class TrainingStopped(Exception):  # noqa: N818, it is no error
    """SIGTERM came; the run is saved, and the same command continues it."""


# Another process works in the workdir.
WorkdirBusyError = files.FolderBusyError


def locked(workdir: str) -> contextlib.AbstractContextManager[None]:
    """Holds the workdir's lock, see `files.locked`."""
    return files.locked(workdir, "lock")


@contextlib.contextmanager
def on_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Calls a function when SIGTERM comes, in the block, from a thread.

    Python runs its own signal handlers only when the main thread returns from
    TensorFlow, which may be many steps later. Outside the main thread nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)

    def watch() -> None:
        while number := receiver.recv(1):
            if number[0] == signal.SIGTERM:
                logging.info("SIGTERM: saving at the next step")
                stop()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    former = signal.signal(signal.SIGTERM, lambda *_: None)
    former_wakeup = signal.set_wakeup_fd(sender.fileno())
    try:
        yield
    finally:
        signal.set_wakeup_fd(former_wakeup)
        signal.signal(signal.SIGTERM, former)
        sender.close()
        thread.join()
        receiver.close()
