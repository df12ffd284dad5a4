"""How the project's binaries start and end."""

from __future__ import annotations

import atexit
import errno
import logging as python_logging
import os
import sys
from collections.abc import Callable

from absl import app, logging

_OF_STORAGE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
)


def run(
    main: Callable[[list[str]], int | None],
    errors: tuple[type[Exception], ...] = (),
) -> None:
    """Runs a binary's `main` like `absl.app.run`, and never returns.

    An error that the user can mend (ValueError, OSError and `errors`) ends the program
    with one line, `error: ...`, and exit code 1; `--verbosity=1` shows its traceback.
    So does one of TensorFlow's about a file or folder that cannot be read or written.
    Any other exception is shown with its traceback, as usual.

    Args:
        main: Takes the arguments that are no flags; what it returns is the exit code.
        errors: Further exceptions whose message says all that the user needs.
    """
    status = [1]  # of an exception that nobody catches
    atexit.register(_leave_without_teardown, status)

    def reporting_main(argv: list[str]) -> int | str | None:
        try:
            return main(argv)
        except (ValueError, OSError, ImportError, *errors) as error:
            if logging.level_debug():
                raise
            return f"error: {error}"
        except Exception as error:
            fault = _storage_fault(error)
            if not fault or logging.level_debug():
                raise
            return f"error: {fault}"
        except KeyboardInterrupt:
            return "stopped"

    try:
        app.run(reporting_main, flags_parser=_parse_flags)
    except SystemExit as end:
        code = end.code
        status[0] = code if isinstance(code, int) else int(code is not None)
        raise


def _storage_fault(error: Exception) -> str:
    """TensorFlow's words for a place that cannot be read or written; else nothing.

    It has no OSError: what the system says stands behind the path, as in "/data/x;
    Permission denied". The class tells less: a GPU's memory runs out as a disk does.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return ""
    is_one = isinstance(error, tensorflow.errors.PermissionDeniedError)
    is_one |= error.message.endswith("is not a directory")  # as `makedirs` has it
    is_one |= any(f"; {os.strerror(code)}" in error.message for code in _OF_STORAGE)
    return error.message.splitlines()[0] if is_one else ""


def _parse_flags(argv: list[str]) -> list[str]:
    """As absl parses them; a key that a config does not have is one line, too."""
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError) as error:
        # ml_collections may wrap its own error, which names the last part of the key.
        cause = error
        while cause.args and isinstance(cause.args[0], Exception):
            cause = cause.args[0]
        reason = ". ".join(str(cause.args[0]).splitlines())
        given = [arg for arg in argv if arg.startswith("--config.")]
        raise SystemExit(
            f"error: the config has no key {reason}; given: {' '.join(given)}"
        ) from error


def prepare_worker() -> None:
    """Lets a worker process end cleanly; the `initializer` of a process pool."""
    atexit.register(_leave_without_teardown, [0])


def _leave_without_teardown(status: list[int]) -> None:
    """Ends the process here if tensorflow-io is in it.

    A process that used its S3 file system aborts with code 134 in the destructors that
    would follow (https://github.com/tensorflow/io/issues/2039). What was registered
    with `atexit` before this runs last and is skipped, so the log is flushed here.
    """
    if "tensorflow_io" not in sys.modules:
        return
    try:
        python_logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status[0])
