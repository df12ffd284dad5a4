"""How the project's binaries start and end."""

from __future__ import annotations

import atexit
import dis
import errno
import logging as python_logging
import os
import re
import sys
from collections.abc import Callable

from absl import app, flags, logging

_PACKAGES = ("spl_tf", "tfrecords_tools", "experiments", "benchmarks")
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Path and source line, in the text of a traceback.
_REMOTE_FRAME = re.compile(r'^ +File "(.*)", line .*\n +(.*)', re.MULTILINE)

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


class _CropParser(flags.ArgumentParser):
    """The side of a square, an int, or HEIGHTxWIDTH, a list of both."""

    syntactic_help = "a whole number, or two with x between"

    def parse(self, argument: str | int | list[int]) -> int | list[int]:
        """Gives what a flag says; raises ValueError for what is no size."""
        if not isinstance(argument, str):
            return argument
        sides = argument.split("x")
        if len(sides) > 2 or not all(re.fullmatch("[1-9][0-9]*", n) for n in sides):
            raise ValueError(f"expected pixels, 1 or more, or HEIGHTxWIDTH: {argument}")
        height, *width = map(int, sides)
        return [height, *width] if width else height


def define_view_flags(positions: bool = True) -> None:
    """Defines flags of how a finished network looks at clips; see `Views`.

    Args:
        positions: Whether `--fully_convolutional` is among them.
    """
    flags.DEFINE(
        _CropParser(),
        "crop_size",
        None,
        "Side of the crop in pixels, or HEIGHTxWIDTH; else the run's.",
        serializer=flags.ArgumentSerializer(),
    )
    flags.DEFINE_integer(
        "short_side", None, "Scale frames to it before the crop; 0 for not at all."
    )
    flags.DEFINE_integer(
        "num_frames", None, "Frames, or segments, of a view; else the run's."
    )
    if positions:
        flags.DEFINE_bool(
            "fully_convolutional", False, "Average probabilities over all positions."
        )


def run(
    main: Callable[[list[str]], int | None],
    errors: tuple[type[Exception], ...] = (),
) -> None:
    """Runs a binary's `main` like `absl.app.run`, and never returns.

    An error that the user can mend ends the program with one line, `error: ...`, and
    exit code 1: an OSError, ImportError, one of `errors`, and a ValueError that this
    project raises itself. `--verbosity=1` shows its traceback, and `--log_dir` keeps it
    in the log file there. So does one of TensorFlow's about a file or folder that
    cannot be read or written. Any other exception is shown with its traceback.

    Args:
        main: Takes the arguments that are no flags; what it returns is the exit code.
        errors: Further exceptions whose message says all that the user needs.
    """
    status = [1]  # of an exception that nobody catches
    atexit.register(_leave_without_teardown, status)

    def reporting_main(argv: list[str]) -> int | str | None:
        log_dir = flags.FLAGS.log_dir
        try:
            if log_dir:
                os.makedirs(log_dir, exist_ok=True)
                logging.get_absl_handler().use_absl_log_file()
            return main(argv)
        except Exception as error:
            message = _storage_fault(error)
            if isinstance(error, (OSError, ImportError, *errors)) or (
                isinstance(error, ValueError) and _is_raised_here(error)
            ):
                message = str(error)
            if logging.level_debug() or not message:
                raise
            if log_dir:
                logging.exception("the program ends")
            return f"error: {message}"
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


def _is_raised_here(error: Exception) -> bool:
    """Whether a `raise` of this project made an error, in whatever process.

    What a library raises, or an operation of Python's, is no message for the user, even
    where the call stands in our code.
    """
    # `concurrent.futures` raises anew what a process of its pool has raised.
    if type(error.__cause__).__name__ == "_RemoteTraceback":
        frames = _REMOTE_FRAME.findall(str(error.__cause__))
        path, line = frames[-1] if frames else ("", "")
        is_raise = line.startswith("raise ")
    else:
        place = error.__traceback__
        while place.tb_next:
            place = place.tb_next
        code = place.tb_frame.f_code
        path = code.co_filename
        # Keras leaves its own frames out: the last may be ours though it only calls.
        is_raise = dis.opname[code.co_code[place.tb_lasti]] == "RAISE_VARARGS"
    path = os.path.abspath(path)
    is_main = path == getattr(sys.modules["__main__"], "__file__", None)
    package = os.path.relpath(path, _ROOT).split(os.sep)[0]
    return is_raise and (is_main or package in _PACKAGES)


def _parse_flags(argv: list[str]) -> list[str]:
    """Flags and arguments by absl; a key that a config lacks is one line, too."""
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


def no_arguments(argv: list[str]) -> None:
    """Raises `app.UsageError` where a binary got arguments that are no flags."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")


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
