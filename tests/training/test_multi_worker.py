"""Two processes that train one model."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from spl_tf import training
from tests.training.test_loop import TRAIN, checkpoints, lines, weights


@pytest.fixture
def spread(config):
    """Settings under which the number of processes makes no difference."""
    config.model.synchronized_batch_norm = True
    config.data.batch_size = 2
    config.runtime.strategy = "multi_worker"
    return config


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_workers(config, workdir):
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    command = [sys.executable, "-c", TRAIN, json.dumps(config.to_dict()), str(workdir)]
    processes = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        cluster = json.dumps({"cluster": {"worker": hosts}, "task": task})
        processes.append(
            subprocess.Popen(
                command,
                env=dict(os.environ, TF_CONFIG=cluster),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return processes


def finish(processes):
    for process in processes:
        printed, _ = process.communicate(timeout=240)
        assert process.returncode == 0, printed[-3000:]


def assert_nearly_same_run(first, second):
    for former, latter in zip(lines(first), lines(second), strict=True):
        for name in ("loss", "gradient_norm"):
            assert latter[name] == pytest.approx(former[name], rel=1e-2), name
    former, latter = weights(first), weights(second)
    for name in former:
        np.testing.assert_allclose(
            former[name], latter[name], rtol=1e-2, atol=1e-3, err_msg=name
        )


def test_two_processes_train_as_one_and_go_on_after_one_was_killed(spread, tmp_path):
    one = spread.copy_and_resolve_references()
    one.runtime.strategy = "one"
    one.data.batch_size = 4
    results = training.train(one, str(tmp_path / "one"))

    killed = tmp_path / "two"
    processes = start_workers(spread, killed)
    deadline = time.monotonic() + 120
    while not checkpoints(killed) and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[1].kill()
    began = time.monotonic()
    printed, _ = processes[0].communicate(timeout=120)
    processes[1].communicate()
    if processes[0].returncode:  # else it had finished before
        assert time.monotonic() - began < 60
        assert "start all of them again, the run" in printed
    finish(start_workers(spread, killed))

    assert_nearly_same_run(tmp_path / "one", killed)
    with open(killed / "results.json") as file:
        assert json.load(file)["top_1"] == results["top_1"]


def test_without_a_cluster_the_error_says_how_to_name_one(spread, tmp_path):
    with pytest.raises(ValueError, match=r"srun, or set TF_CONFIG in each"):
        training.train(spread, str(tmp_path / "run"))
