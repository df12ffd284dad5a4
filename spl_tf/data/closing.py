"""Calls from TensorFlow's threads into Python that end before the interpreter does.

A pipeline that is open when the process ends goes on reading ahead. A thread of it that
enters Python while the interpreter shuts down is ended there and then, and the process
waits for it for ever. So no call is served once the process ends, and the interpreter
waits until the pipelines, their buffers full of refusals, have come to rest.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator

_QUIET_SECONDS = 0.3
_PATIENCE_SECONDS = 20.0


class _Calls:
    """Counts the calls under way."""

    def __init__(self):
        self._lock = threading.Lock()
        self._under_way = 0
        self._last_change = None
        self._closing = False
        atexit.register(self._close)

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Encloses a call, or refuses it with a `RuntimeError`."""
        with self._lock:
            self._last_change = time.monotonic()
            if self._closing:
                raise RuntimeError("the process is ending")
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._last_change = time.monotonic()
                self._under_way -= 1

    def _close(self) -> None:
        if self._last_change is None:
            return
        self._closing = True
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with self._lock:
                quiet = time.monotonic() - self._last_change
                if not self._under_way and quiet > _QUIET_SECONDS:
                    return
            time.sleep(0.02)


_CALLS = _Calls()


def ends_in_time() -> contextlib.AbstractContextManager[None]:
    """Encloses what TensorFlow calls in Python.

    Raises:
        RuntimeError: The process is ending.
    """
    return _CALLS.call()
