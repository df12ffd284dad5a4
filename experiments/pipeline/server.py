"""The server that the processes of stages are forked from.

It imports TensorFlow and all else that a stage needs, once, and runs none of it: so a
stage's process starts in a tenth of a second.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver

CONTEXT = multiprocessing.get_context("forkserver")
_IMPORTED = ("experiments.pipeline.processes",)


def start() -> None:
    """Starts the server, if there is none, and does not wait until it is ready."""
    CONTEXT.set_forkserver_preload(list(_IMPORTED))
    multiprocessing.forkserver.ensure_running()
