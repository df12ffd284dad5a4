"""Several processes that train one model, and what they do when one is lost."""

import json
import signal
import socket
import time

import pytest

from spl_tf import training
from spl_tf.distribution.peer_watch import WORKER_LOST_EXIT_CODE
from spl_tf.training.config import default_source
from tests.training.run_files import (
    assert_nearly_same_run,
    checkpoints,
    clusters,
    free_ports,
    start_command,
    wait_for,
)
from tests.warm_python import WarmProcess

# Connects to the others, says so, and does nothing.
IDLE = """
import time
from spl_tf.training import make_strategy
make_strategy("multi_worker")
print("connected", flush=True)
time.sleep(600)
"""


@pytest.fixture
def spread(config):
    """Settings under which the number of processes makes no difference but rounding.

    That stays at 1e-7 of losses and norms, as between orders of a batch, until a value
    comes so close to 0 that it is on another side of a ReLU: the norm of that step's
    gradient then jumps by 1e-3, that of ten steps by 1e-4. At a learning rate of 0.05
    such a jump grows to percents within 25 steps, at 0.01 it does not.
    """
    config.optimizer.learning_rate = 0.01
    config.model.synchronized_batch_norm = True
    config.data.update(batch_size=0, global_batch_size=4)
    return config


def start_with_tf_config(config, workdir):
    return [
        start_command(config, workdir, "--strategy=multi_worker", TF_CONFIG=cluster)
        for cluster in clusters(2)
    ]


def start_with_slurm(config, workdir):
    """Two processes in the environment that `srun --ntasks=2` makes."""
    (free,) = free_ports(1)
    return [
        start_command(
            config,
            workdir,
            "--strategy=multi_worker",
            SLURM_JOB_ID=str(free),
            SLURM_PROCID=str(index),
            SLURM_STEP_NUM_TASKS="2",
            SLURM_STEP_NODELIST="localhost",
            SLURM_STEP_TASKS_PER_NODE="2",
        )
        for index in range(2)
    ]


def end(process, within):
    """What a process prints, which must end by itself."""
    try:
        return process.communicate(timeout=within)[0]
    finally:
        process.kill()


def test_two_processes_train_as_one_and_go_on_after_one_was_killed(spread, tmp_path):
    results = training.train(spread, str(tmp_path / "one"))

    killed = tmp_path / "two"
    processes = start_with_tf_config(spread, killed)
    deadline = time.monotonic() + 240
    while not checkpoints(killed) and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[1].kill()
    began = time.monotonic()
    printed = end(processes[0], 120)
    assert time.monotonic() - began < 60
    processes[1].communicate()
    assert processes[0].returncode == WORKER_LOST_EXIT_CODE, printed[-2000:]
    assert "start all of them again, the run" in printed.lower()
    assert not (killed / "results.json").exists()

    for process in start_with_slurm(spread, killed):
        printed = end(process, 240)
        assert process.returncode == 0, printed[-3000:]
    assert_nearly_same_run(tmp_path / "one", killed)
    with open(killed / "results.json") as file:
        assert json.load(file)["top_1"] == results["top_1"]
    assert (killed / "confusion.png").exists()


@pytest.mark.parametrize("mixup", [0.0, 0.2])
def test_two_processes_share_several_sources_and_clips_of_an_item(
    spread, tmp_path, mixup
):
    # Few steps: at the sixth, a value falls on the other side of a ReLU.
    spread.schedule.warmup.steps = spread.schedule.length.steps = 2
    spread.data.update(global_batch_size=8, clips_per_item=2, mixup=mixup)
    for name in ("a", "b"):
        with spread.data.unlocked():
            spread.data.sources[name] = default_source()
        spread.data.sources[name].dataset = spread.data.train
    spread.data.train = ""
    for process in start_with_tf_config(spread, tmp_path / "two"):
        printed = end(process, 240)
        assert process.returncode == 0, printed[-3000:]
    # Which items are mixed depends on the batch of a process.
    if not mixup:
        training.train(spread, str(tmp_path / "one"))
        assert_nearly_same_run(tmp_path / "one", tmp_path / "two")


def test_a_process_ends_when_another_dies_before_the_first_step_or_never_starts(
    spread, tmp_path
):
    # Two runs at once: both mostly wait.
    lonely_cluster, _ = clusters(2)
    spread.runtime.startup_timeout = 5.0
    began = time.monotonic()
    lonely = start_command(
        spread, tmp_path / "lonely", "--strategy=multi_worker", TF_CONFIG=lonely_cluster
    )
    spread.runtime.startup_timeout = 100.0
    own, other = clusters(2)
    idle = WarmProcess("-c", IDLE, environment={"TF_CONFIG": other})
    bereft = start_command(
        spread, tmp_path / "bereft", "--strategy=multi_worker", TF_CONFIG=own
    )
    try:
        wait_for(lambda: idle.printed() == "connected\n", idle)
        time.sleep(3)  # by now the other waits for this one's first step
    finally:
        idle.kill()
        idle.communicate()
    killed = time.monotonic()
    printed = end(lonely, 60)
    assert time.monotonic() - began < 60
    assert lonely.returncode in (WORKER_LOST_EXIT_CODE, -signal.SIGKILL)
    assert "worker 1 (127.0.0.1:" in printed
    assert "did not come up within 5 seconds" in printed
    printed = end(bereft, 60)
    assert time.monotonic() - killed < 60
    assert bereft.returncode == WORKER_LOST_EXIT_CODE, printed[-2000:]
    assert "start all of them again, the run" in printed.lower()


def test_a_port_that_is_taken_is_named_and_ends_the_others_at_once(spread, tmp_path):
    own, other = clusters(2)
    spread.runtime.startup_timeout = 100.0
    address = json.loads(own)["cluster"]["worker"][1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(address.rpartition(":")[2])))
        taken.listen(100)
        began = time.monotonic()
        processes = [
            start_command(
                spread, tmp_path / "run", "--strategy=multi_worker", TF_CONFIG=cluster
            )
            for cluster in (own, other)
        ]
        printed = [end(process, 60) for process in processes]
    assert time.monotonic() - began < 60
    assert processes[1].returncode == 1
    taken = f"worker 1 ({address}) cannot take its port: {socket.gethostname()} has"
    assert f"error: {taken}" in printed[1]
    assert "Traceback" not in printed[1]
    # By SIGKILL where TensorFlow holds the interpreter's lock while it connects.
    assert processes[0].returncode in (WORKER_LOST_EXIT_CODE, -signal.SIGKILL)
    assert f"error: worker 1 ({address}) ended with an error, so" in printed[0]
    assert f"Its error: {taken}" in printed[0]


def test_processes_that_see_other_workdirs_end_and_say_who_has_what(spread, tmp_path):
    training.train(spread, str(tmp_path / "first"))
    (tmp_path / "first" / "results.json").unlink()
    started = [
        start_command(
            spread, tmp_path / name, "--strategy=multi_worker", TF_CONFIG=cluster
        )
        for name, cluster in zip(("first", "second"), clusters(2), strict=True)
    ]
    printed = [end(process, 100) for process in started]
    host = socket.gethostname()
    for process, text in zip(started, printed, strict=True):
        assert process.returncode == 1, text[-2000:]
        assert (
            "error: the processes of this run do not have the same: step is "
            f"40 on {host} (worker 0), 0 on {host} (worker 1). Look whether"
        ) in text


def test_without_a_cluster_the_error_says_how_to_name_one(spread, tmp_path):
    spread.runtime.strategy = "multi_worker"
    with pytest.raises(ValueError, match=r"srun, or set TF_CONFIG in each"):
        training.train(spread, str(tmp_path / "run"))
