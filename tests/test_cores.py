import os
import subprocess
import sys

import pytest

from spl_tf.cores import usable_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_only_the_cores_of_the_process_count():
    (first, *_) = sorted(os.sched_getaffinity(0))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from spl_tf.cores import usable_cores as u; print(u())",
        ],
        preexec_fn=lambda: os.sched_setaffinity(0, {first}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
    assert usable_cores() == len(os.sched_getaffinity(0))
