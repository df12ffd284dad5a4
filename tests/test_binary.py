import fnmatch
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from tests import warm_python

ROOT = pathlib.Path(__file__).parents[1]
PREAMBLE = """
import sys
from absl import app, flags, logging
from spl_tf import binary

class ToolError(Exception):
    pass

"""
ENDING = """
if __name__ == "__main__":
    binary.run(main, (ToolError,))
"""


def run_binary(tmp_path, body, *arguments, warm=False):
    """Runs `main(argv)` with this body, with TensorFlow if it is to be warm.

    Returns:
        The finished process.
    """
    script = tmp_path / "script.py"
    main = "def main(argv):\n" + textwrap.indent(textwrap.dedent(body), "    ")
    script.write_text(f"{PREAMBLE}{main}\n{ENDING}")
    if warm:
        return warm_python.run(script, *arguments)
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    return subprocess.run(
        [sys.executable, script, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(params=[False, True], ids=["alone", "with tensorflow_io"])
def load(request, tmp_path):
    """A line that loads nothing, or a tensorflow_io that aborts as the real one does.

    The C library calls `abort` after Python has ended.
    """
    (tmp_path / "tensorflow_io.py").write_text(
        "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.on_exit(libc.abort, 0)\n"
    )
    return "import tensorflow_io" if request.param else "pass"


def test_the_stand_in_for_tensorflow_io_aborts(tmp_path, load):
    code = subprocess.run(
        [sys.executable, "-c", load], cwd=tmp_path, capture_output=True, check=False
    ).returncode
    assert code == (0 if load == "pass" else -6)


@pytest.mark.parametrize(
    ("end", "code", "message"),
    [
        ("return None", 0, ""),
        ("return 3", 3, ""),
        ("sys.exit(4)", 4, ""),
        ("sys.exit('stopped')", 1, "stopped\n"),
        ("raise ValueError('web.csv, line 3: no label')", 1, None),
        ("raise ToolError('web.csv, line 3: no label')", 1, None),
        ("raise FileNotFoundError('web.csv, line 3: no label')", 1, None),
    ],
)
def test_exit_codes_and_messages(tmp_path, load, end, code, message):
    done = run_binary(tmp_path, f"{load}\nprint('printed')\n{end}")
    assert (done.returncode, done.stdout) == (code, "printed\n")
    if message is None:
        message = "error: web.csv, line 3: no label\n"
    assert done.stderr == message


def test_other_exceptions_show_their_traceback(tmp_path, load):
    done = run_binary(tmp_path, f"{load}\nraise KeyError('bug')")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("KeyError: 'bug'\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("int('x')", "invalid literal for int() with base 10: 'x'"),
        ("import numpy\nnumpy.ones(3).reshape(2)", "cannot reshape array of"),
        ("import keras\nkeras.layers.Dense(-1)", "Received an invalid value"),
        # Keras cuts its own frames out of this traceback, so that ours is the last.
        ("import keras\nkeras.layers.Dense(1)(1)", "Only input tensors may"),
        (
            "import tensorflow as tf\ntf.function(lambda: tf.zeros([2, -2]))()",
            "",
        ),
    ],
    ids=["python", "numpy", "keras", "keras, cut", "a traced function"],
)
def test_a_value_error_of_a_library_shows_its_traceback(tmp_path, body, message):
    uses_tensorflow = "keras" in body or "tensorflow" in body
    done = run_binary(tmp_path, body, warm=uses_tensorflow)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert f"\nValueError: {message}" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line[:7] == "error: "]


def test_a_value_error_of_ours_is_one_line_wherever_it_passes_through(tmp_path):
    body = """
    import contextlib, concurrent.futures
    def read():
        with contextlib.ExitStack():
            try:
                int("x")
            except ValueError as error:
                raise ValueError("web.csv, line 3: no label") from error
            finally:
                print("passed")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(read).result()
        except ValueError:
            raise
    """
    done = run_binary(tmp_path, body)
    assert (done.returncode, done.stdout) == (1, "passed\n")
    assert done.stderr == "error: web.csv, line 3: no label\n"


@pytest.mark.parametrize("ours", [True, False])
def test_what_a_worker_process_raises_is_told_apart_too(tmp_path, ours):
    (tmp_path / "classes.txt").write_text("a\na\n")
    body = f"""
    import concurrent.futures, multiprocessing
    from spl_tf.labels import read_class_names
    context = multiprocessing.get_context("spawn")
    path = {str(tmp_path / "classes.txt")!r}
    task = (read_class_names, path) if {ours} else (int, "x")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(*task).result()
    """
    done = run_binary(tmp_path, body)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) != ours
    assert done.stderr.startswith("error: ") == ours


def test_log_dir_keeps_the_log_and_the_traceback_of_an_error_of_one_line(tmp_path):
    folder = tmp_path / "log"
    body = "logging.info('begun')\nraise ValueError('web.csv, line 3: no label')"
    done = run_binary(tmp_path, body, f"--log_dir={folder}")
    assert done.stderr == "error: web.csv, line 3: no label\n"
    kept = "".join(
        path.read_text() for path in folder.iterdir() if not path.is_symlink()
    )
    assert "begun" in kept
    assert "Traceback" in kept
    assert kept.endswith("ValueError: web.csv, line 3: no label\n")


def test_verbosity_1_shows_the_traceback_of_every_error(tmp_path):
    done = run_binary(tmp_path, "raise ValueError('no label')", "--verbosity=1")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")


def test_usage_errors_show_the_usage(tmp_path, load):
    done = run_binary(tmp_path, f"{load}\nraise app.UsageError('no arguments', 7)")
    assert done.returncode == 7
    assert "no arguments" in done.stdout + done.stderr
    assert "[flags]" in done.stdout + done.stderr


def test_unknown_flags_are_refused(tmp_path):
    done = run_binary(tmp_path, "return 0", "--nosuch=1")
    assert done.returncode == 1
    assert "Unknown command line flag 'nosuch'" in done.stderr


def test_what_is_registered_in_main_still_runs_at_the_end(tmp_path, load):
    body = f"""
    import atexit
    {load}
    atexit.register(print, "at exit")
    logging.info("logged")
    """
    done = run_binary(tmp_path, body)
    assert (done.returncode, done.stdout) == (0, "at exit\n")
    assert done.stderr.endswith("logged\n")


def test_workers_that_are_prepared_end_cleanly(tmp_path, load):
    body = f"""
    import concurrent.futures, multiprocessing
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(
        1, mp_context=context, initializer=binary.prepare_worker
    )
    with pool:
        pool.submit(exec, {load!r}).result()
        workers = list(pool._processes.values())
    print([worker.exitcode for worker in workers])
    """
    done = run_binary(tmp_path, body)
    assert (done.returncode, done.stdout) == (0, "[0]\n"), done.stderr


def test_the_module_does_not_import_tensorflow():
    code = "import sys, spl_tf.binary; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_key_that_a_config_does_not_have_is_one_line(tmp_path):
    (tmp_path / "config.py").write_text(
        "from ml_collections import config_dict\n"
        "def get_config():\n"
        "    return config_dict.create(data=config_dict.create(train=''))\n"
    )
    define = """
    from ml_collections import config_flags
    config_flags.DEFINE_config_file("config")
    """
    script = tmp_path / "script.py"
    main = "def main(argv):\n    print(flags.FLAGS.config.data.train)\n"
    script.write_text(f"{PREAMBLE}{textwrap.dedent(define)}{main}{ENDING}")
    command = [sys.executable, script, f"--config={tmp_path / 'config.py'}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(argument):
        return subprocess.run(
            [*command, argument],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    assert run("--config.data.train=here").stdout == "here\n"
    done = run("--config.data.trian=here")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: the config has no key 'trian'. Did you mean \"train\" instead of "
        '"trian"?; given: --config.data.trian=here'
    )
    assert "Traceback" not in done.stderr


IN_A_FILE = "/proc/version/out"  # as no permission, which root always has
FULL = """
with tf.io.gfile.GFile('/dev/full', 'wb') as file:
    file.write(b'x')
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"tf.io.gfile.makedirs({IN_A_FILE!r})", "/proc/version is not a directory"),
        (
            f"clips.write_atomically({IN_A_FILE!r}, b'x')",
            f"{IN_A_FILE}.incom*; Not a d",
        ),
        ("clips.write_atomically('/sys/out', b'x')", "/sys/out.incom*; Permission den"),
        ("tf.io.gfile.makedirs('/proc/out')", "/proc/out; No such file or directory"),
        ("tf.io.TFRecordWriter('/tmp')", "/tmp; Is a directory"),
        (FULL, "/dev/full; No space left on device"),
        ("os.makedirs('/proc/version/out')", "[Errno 20] Not a directory: '/proc/v*"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, body, message):
    load = "import os, tensorflow as tf\nfrom spl_tf import clips\n"
    done = run_binary(tmp_path, load + body, warm=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    pattern = f"error: {message.replace('[', '[[]')}*"
    assert fnmatch.fnmatchcase(done.stderr.splitlines()[-1], pattern)


def test_other_errors_of_tensorflow_keep_their_traceback(tmp_path):
    body = """
    import tensorflow as tf
    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")
    """
    done = run_binary(tmp_path, body, warm=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
