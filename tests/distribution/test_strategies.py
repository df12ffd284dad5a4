"""Devices by name, and the processes that the environment names."""

import json

import pytest
import tensorflow as tf

from spl_tf import training
from spl_tf.distribution import strategies

CLUSTER = {"chief": ["a:1"], "worker": ["b:2", "c:3"], "evaluator": ["d:4"]}


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch, tmp_path):
    for name in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "SLURM_GPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi


def tf_config(kind, index):
    return json.dumps({"cluster": CLUSTER, "task": {"type": kind, "index": index}})


def test_strategies_have_names():
    assert isinstance(training.make_strategy("one"), tf.distribute.OneDeviceStrategy)
    with pytest.raises(ValueError, match="unknown strategy 'two'"):
        training.make_strategy("two")


def test_tf_config_gives_a_process_its_place(monkeypatch):
    assert strategies.process_place() == (0, 1)
    for place, (kind, index) in enumerate((("chief", 0), ("worker", 0), ("worker", 1))):
        monkeypatch.setenv("TF_CONFIG", tf_config(kind, index))
        assert strategies.process_place() == (place, 3)
    others = strategies.peer_addresses(strategies.find_cluster())
    assert others == {"chief 0": "a:1", "worker 0": "b:2"}


def test_a_step_of_slurm_gives_a_process_its_place(monkeypatch):
    # A batch script has these too, and is one process.
    monkeypatch.setenv("SLURM_PROCID", "2")
    monkeypatch.setenv("SLURM_NTASKS", "3")
    assert strategies.process_place() == (0, 1)
    monkeypatch.setenv("SLURM_JOB_ID", "1001")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[7-8]")
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "2,1")
    assert strategies.process_place() == (2, 3)
    cluster = strategies.find_cluster()
    port = 12000 + 16 * 1001 % 16000
    assert cluster.cluster_spec().as_dict() == {
        "worker": [f"node7:{port}", f"node7:{port + 1}", f"node8:{port}"]
    }
    assert (cluster.task_type, cluster.task_id) == ("worker", 2)
    assert list(strategies.peer_addresses(cluster)) == ["worker 0", "worker 1"]
    assert cluster.num_accelerators() == {"GPU": 0}


@pytest.mark.parametrize("text", ["{", "[]", '{"task": {}}', tf_config("worker", 2)])
def test_a_tf_config_that_names_no_process_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    for look in (strategies.process_place, strategies.find_cluster):
        with pytest.raises(ValueError, match=r"TF_CONFIG is .* names no process"):
            look()
