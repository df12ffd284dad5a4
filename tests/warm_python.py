"""Programs in processes of their own that are warm: they start in a tenth of a second.

They are forked from the server of `experiments.pipeline`, which has imported TensorFlow
and run nothing of it; a cold start takes six seconds of a core. Each has a number, an
environment, output and an exit code of its own, and can be killed. What only a new
interpreter shows needs `subprocess`: which imports a program does, how it is torn down.
"""

import atexit
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import types
import weakref

from experiments.pipeline import server

ROOT = pathlib.Path(__file__).parents[1]


class WarmProcess:
    """Runs what `python` would with these arguments; used like `subprocess.Popen`."""

    def __init__(self, *arguments, cwd=ROOT, environment=None, one_stream=False):
        """Starts it.

        Args:
            arguments: `-m` or `-c` with what belongs to it, or a script; what follows
                are the program's own.
            cwd: The folder that it works in.
            environment: What is added to this process' environment.
            one_stream: Whether errors go where the output goes.
        """
        server.start()
        self.arguments = [str(argument) for argument in arguments]
        self._folder = tempfile.TemporaryDirectory()
        self._output = os.path.join(self._folder.name, "output")
        self._errors = self._output
        if not one_stream:
            self._errors = os.path.join(self._folder.name, "errors")
        for path in (self._output, self._errors):
            pathlib.Path(path).touch()
        environment = {**os.environ, **(environment or {})}
        places = (str(cwd), self._output, self._errors)
        self._process = server.CONTEXT.Process(
            target=_main, args=(self.arguments, environment, *places)
        )
        self._process.start()
        self.pid = self._process.pid
        # Else a failed test would leave it, and the end of the tests wait for it.
        weakref.finalize(self, _end, self._process)

    @property
    def returncode(self):
        """The exit code, minus a signal's number if one ended it; None before."""
        return self._process.exitcode

    def poll(self):
        return self.returncode

    def printed(self):
        """Its output so far."""
        return pathlib.Path(self._output).read_text(encoding="utf-8")

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.arguments, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """Waits for its end; what went to output and errors."""
        self.wait(timeout)
        return self.printed(), pathlib.Path(self._errors).read_text(encoding="utf-8")

    def send_signal(self, number):
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def run(*arguments, timeout=240, **options):
    """Runs what `python` would, like `subprocess.run`; see `WarmProcess`."""
    process = WarmProcess(*arguments, **options)
    try:
        output, errors = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(
        process.arguments, process.returncode, output, errors
    )


def _end(process):
    if process.is_alive():
        process.kill()


def _main(arguments, environment, cwd, output, errors):
    """Runs in the new process."""
    for stream, number, path in ((sys.stdout, 1, output), (sys.stderr, 2, errors)):
        stream.flush()
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    # A shell starts background commands with SIGINT ignored, and children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 0
    try:
        _run(*arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    atexit._run_exitfuncs()  # a process of `multiprocessing` leaves them out
    raise SystemExit(code)


def _run(kind, *arguments):
    if kind == "-m":
        sys.argv = list(arguments)
        sys.path.insert(0, os.getcwd())
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *arguments[1:]]
        sys.path.insert(0, "")
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(arguments[0], "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.argv = [kind, *arguments]
        sys.path.insert(0, os.path.dirname(kind))
        runpy.run_path(kind, run_name="__main__")
