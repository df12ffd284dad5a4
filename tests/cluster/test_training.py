"""Training on two hosts: it ends when a part of it is lost, and the same goes on."""

import json
import time

import pytest

from spl_tf import training
from spl_tf.distribution.interruption import STOPPED_EXIT_CODE
from spl_tf.distribution.peer_watch import WORKER_LOST_EXIT_CODE
from spl_tf.runs.checkpoints import newest_step
from tests.training.conftest import small_config, write_target
from tests.training.run_files import CONFIG_FILE, assert_nearly_same_run

pytestmark = pytest.mark.cluster

LOST = "start all of them again, the run continues from its last checkpoint"


class Run:
    """A training of two tasks, whose steps are as one process would make them."""

    def __init__(self, slurm, folder, steps=196):
        self.config = small_config(write_target(folder / "target"))
        # See tests/distribution: settings under which that is so but for rounding.
        self.config.optimizer.learning_rate = 0.001
        self.config.model.synchronized_batch_norm = True
        self.config.data.update(batch_size=0, global_batch_size=4)
        self.config.schedule.length.steps = steps
        self.config.runtime.update(steps_per_call=1, checkpoint_every_steps=5)
        self.workdir, self._slurm = folder / "two", slurm
        text = json.dumps(self.config.to_dict())
        (folder / "config.py").write_text(CONFIG_FILE.format(text=text))
        self.flags = (f"--config={folder}/config.py", f"--workdir={self.workdir}")

    def start(self):
        command = ("-m", "experiments.train", *self.flags, "--strategy=multi_worker")
        return self._slurm.srun(*command)

    def start_and_advance(self):
        """Starts it, and waits until it has gone on from where it was."""
        before = newest_step(self.workdir)
        job = self.start()
        job.wait_for(lambda: newest_step(self.workdir) > before)
        return job


@pytest.fixture(scope="module")
def run(slurm, tmp_path_factory):
    return Run(slurm, tmp_path_factory.mktemp("run"))


def end_of(job, began):
    """What a job printed, which must end in less than a minute."""
    job.wait(60)
    assert time.monotonic() - began < 60
    return job.printed()


@pytest.mark.parametrize("lost", [1, 0])
def test_a_killed_task_ends_the_others(run, lost):
    job = run.start_and_advance()
    began = time.monotonic()
    job.kill_task(lost)
    printed = end_of(job, began)
    other = 1 - lost
    assert f"{other}: error: " in printed
    assert LOST in printed.lower()
    assert f"task {other}: Exited with exit code {WORKER_LOST_EXIT_CODE}" in printed


def test_scancel_saves_first(run):
    job = run.start_and_advance()
    began = time.monotonic()
    job.cancel()
    printed = end_of(job, began)
    for task in range(2):
        assert f"{task}: stopped at step" in printed
    assert f"Exited with exit code {STOPPED_EXIT_CODE}" in printed


def test_a_host_without_network_ends_the_tasks(run, slurm):
    job = run.start_and_advance()
    began = time.monotonic()
    with slurm.link_down("n2"):
        # What a task of n2 prints has no way here, as long as this is so.
        job.wait_for(lambda: not (job.runs_task(0) or job.runs_task(1)), timeout=60)
        assert time.monotonic() - began < 60
    printed = end_of(job, time.monotonic())
    for task in range(2):
        assert f"{task}: error: " in printed
        assert f"task {task}: Exited with exit code {WORKER_LOST_EXIT_CODE}" in printed
    assert LOST in printed.lower()


def test_at_its_time_limit_a_batch_job_saves_and_goes_on(slurm, tmp_path):
    run = Run(slurm, tmp_path, steps=1_000_000)
    job = slurm.submit(
        "--time=10",
        "--signal=TERM@60",
        "experiments/cluster/train.sbatch",
        *run.flags,
    )
    job.wait_for(lambda: newest_step(run.workdir))
    # The signal comes a minute before the limit, the limit in half a minute or more.
    hours, minutes, seconds = map(int, job.facts()["RunTime"].split(":"))
    limit = hours * 60 + minutes + (seconds + 30) // 60 + 1
    slurm.run("scontrol", "update", f"JobId={job.number}", f"TimeLimit={limit}")
    job.wait_for(lambda: "back into the queue" in job.printed())
    stopped = newest_step(run.workdir)
    for task in range(2):
        assert f"{task}: stopped at step {stopped} " in job.printed()
    job.wait_for(lambda: job.facts()["Restarts"] == "1", timeout=30)
    slurm.run("scontrol", "update", f"JobId={job.number}", "TimeLimit=10")
    job.wait_for(lambda: newest_step(run.workdir) > stopped)
    job.cancel()
    assert job.wait(60)[0] == "CANCELLED"
    time.sleep(1)
    assert job.facts()["JobState"] == "CANCELLED"


def test_the_same_command_ends_as_one_process_of_the_same_clips(run, tmp_path):
    job = run.start()
    assert job.wait(600) == ("COMPLETED", 0), job.printed()[-3000:]
    results = training.train(run.config, str(tmp_path / "one"))
    assert_nearly_same_run(tmp_path / "one", run.workdir)
    with open(run.workdir / "results.json") as file:
        assert json.load(file)["top_1"] == results["top_1"]
