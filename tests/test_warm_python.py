"""A warm process does what a cold one does, but for the imports."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests import warm_python


@pytest.mark.parametrize(
    "code",
    [
        "print('printed'); print('told', file=sys.stderr)",
        "print(sys.argv, __name__, os.getcwd(), os.environ['ADDED'])",
        "sys.exit(3)",
        "sys.exit('stopped')",
        "raise KeyError('bug')",
        "import atexit; atexit.register(print, 'at the end')",
        "import threading; threading.Timer(0.1, print, ['later']).start()",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.kill(os.getpid(), signal.SIGINT)",
    ],
)
@pytest.mark.parametrize("kind", ["-c", "-m", "script"])
def test_what_it_prints_and_its_exit_code_are_those_of_a_cold_one(tmp_path, code, kind):
    code = f"import os, signal, sys\n{code}\n"
    script = tmp_path / "program.py"
    script.write_text(code)
    place = {"-c": ["-c", code], "-m": ["-m", "program"], "script": [str(script)]}
    arguments = [*place[kind], "first", "--second=2"]
    cold = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=os.environ | {"ADDED": "yes"},
        capture_output=True,
        text=True,
        check=False,
    )
    warm = warm_python.run(*arguments, cwd=tmp_path, environment={"ADDED": "yes"})
    assert warm.stdout == cold.stdout
    # A traceback has other frames around those of the program.
    assert warm.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]
    if "SIGINT" in code:  # of which a shell says 130
        assert cold.returncode == -signal.SIGINT
    else:
        assert warm.returncode == cold.returncode


def test_tensorflow_is_imported_and_can_still_be_set_up():
    code = """
import sys
assert "tensorflow" in sys.modules
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
print(len(tf.config.list_logical_devices("CPU")))
"""
    assert warm_python.run("-c", code).stdout == "2\n"


def test_it_is_watched_and_killed():
    code = "import time; print('begun', flush=True); time.sleep(600)"
    process = warm_python.WarmProcess("-c", code)
    deadline = time.monotonic() + 240
    while process.printed() != "begun\n":
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.1)
    process.kill()
    assert process.communicate(timeout=60) == ("begun\n", "")
    assert process.returncode == -signal.SIGKILL
