"""A process ends at once, whatever its pipelines are doing."""

import subprocess
import sys
import threading
from subprocess import PIPE, STDOUT

import pytest

SCRIPT = """
import sys
from spl_tf import clips, data
dataset = clips.ClipDataset(sys.argv[1])
sampling = data.ClipSampling(num_frames=3, stride=2)
source = data.TrainInput(dataset, None, sampling, 24, flip=True, seed=0)
iterator = iter(data.train_batches(source, 4))
for _ in range(2):
    next(iterator)
print("read", flush=True)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("", 0, "read"),
        ("raise RuntimeError('the consumer fails')", 1, "the consumer fails"),
        (
            "sys.stdout.flush(); other = iter(data.eval_batches("
            "dataset, sampling, 24, 2)); next(other); sys.exit(3)",
            3,
            "read",
        ),
    ],
    ids=["open at exit", "consumer raises", "two open"],
)
def test_a_process_with_an_open_pipeline_ends(web_dataset, ending, code, said):
    script = SCRIPT.format(ending=ending)
    command = [sys.executable, "-c", script, web_dataset.directory]
    with subprocess.Popen(command, stdout=PIPE, stderr=STDOUT, text=True) as running:
        # The start may take long on a busy machine; the end may not.
        limit = threading.Timer(240, running.kill)
        limit.start()
        printed = ""
        for line in running.stdout:
            printed += line
            if line == "read\n":
                limit.cancel()
                limit = threading.Timer(60, running.kill)
                limit.start()
        limit.cancel()
    assert running.returncode == code, printed
    assert said in printed
