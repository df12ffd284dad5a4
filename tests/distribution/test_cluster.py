"""The processes that the environment names."""

import json
import socket

import pytest

from spl_tf.distribution import cluster

CLUSTER = {"chief": ["a:1"], "worker": ["b:2", "c:3"], "evaluator": ["d:4"]}


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch, tmp_path):
    for name in (
        "TF_CONFIG",
        "SLURM_STEP_NUM_TASKS",
        "SLURM_GPUS_PER_TASK",
        "SKYPILOT_NODE_IPS",
        "JOB_COMPLETION_INDEX",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi


def tf_config(kind, index):
    return json.dumps({"cluster": CLUSTER, "task": {"type": kind, "index": index}})


def test_tf_config_gives_a_process_its_place(monkeypatch):
    assert cluster.process_place() == (0, 1)
    for place, (kind, index) in enumerate((("chief", 0), ("worker", 0), ("worker", 1))):
        monkeypatch.setenv("TF_CONFIG", tf_config(kind, index))
        assert cluster.process_place() == (place, 3)
    others = cluster.peer_addresses(cluster.find_cluster())
    assert others == {"chief 0": "a:1", "worker 0": "b:2"}


def test_a_step_of_slurm_gives_a_process_its_place(monkeypatch):
    # A batch script has these too, and is one process.
    monkeypatch.setenv("SLURM_PROCID", "2")
    monkeypatch.setenv("SLURM_NTASKS", "3")
    assert cluster.process_place() == (0, 1)
    monkeypatch.setenv("SLURM_JOB_ID", "1001")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[7-8]")
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "2,1")
    assert cluster.process_place() == (2, 3)
    found = cluster.find_cluster()
    port = 12000 + 16 * 1001 % 16000
    assert found.cluster_spec().as_dict() == {
        "worker": [f"node7:{port}", f"node7:{port + 1}", f"node8:{port}"]
    }
    assert (found.task_type, found.task_id) == ("worker", 2)
    assert list(cluster.peer_addresses(found)) == ["worker 0", "worker 1"]
    assert found.num_accelerators() == {"GPU": 0}


@pytest.mark.parametrize("text", ["{", "[]", '{"task": {}}', tf_config("worker", 2)])
def test_a_tf_config_that_names_no_process_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    for look in (cluster.process_place, cluster.find_cluster):
        with pytest.raises(ValueError, match=r"TF_CONFIG is .* names no process"):
            look()


def hosts(found):
    return found.cluster_spec().as_dict(), found.task_type, found.task_id


def test_skypilot_gives_a_node_its_place(monkeypatch):
    monkeypatch.setenv("SKYPILOT_NODE_IPS", "10.0.0.7")
    monkeypatch.setenv("SKYPILOT_NODE_RANK", "0")
    monkeypatch.setenv("SKYPILOT_NUM_NODES", "1")
    assert cluster.process_place() == (0, 1)
    monkeypatch.setenv("SKYPILOT_NODE_IPS", "10.0.0.7\n10.0.0.9")
    monkeypatch.setenv("SKYPILOT_NODE_RANK", "1")
    with pytest.raises(ValueError, match="SKYPILOT_NUM_NODES 1, with 2 addresses"):
        cluster.process_place()
    monkeypatch.setenv("SKYPILOT_NUM_NODES", "2")
    assert cluster.process_place() == (1, 2)
    expected = {"worker": ["10.0.0.7:2222", "10.0.0.9:2222"]}
    assert hosts(cluster.find_cluster()) == (expected, "worker", 1)


def test_an_indexed_job_gives_a_pod_its_place(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "train-r3d-2")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "2")
    assert cluster.process_place() == (0, 1)
    monkeypatch.setenv("JOB_COMPLETIONS", "3")
    with pytest.raises(ValueError, match="JOB_SERVICE ''"):
        cluster.process_place()
    monkeypatch.setenv("JOB_SERVICE", "train-r3d")
    assert cluster.process_place() == (2, 3)
    pods = [f"train-r3d-{number}.train-r3d:2222" for number in range(3)]
    assert hosts(cluster.find_cluster()) == ({"worker": pods}, "worker", 2)
    monkeypatch.setenv("JOB_COMPLETIONS", "three")
    with pytest.raises(ValueError, match="JOB_COMPLETIONS is 'three', expected a num"):
        cluster.find_cluster()


def test_a_cluster_given_by_hand_is_what_tf_config_says(monkeypatch):
    addresses = ["a:1", "[fd00::2]:2"]
    monkeypatch.setenv("TF_CONFIG", cluster.tf_config_of(addresses, 1))
    assert cluster.process_place() == (1, 2)
    assert hosts(cluster.find_cluster()) == ({"worker": addresses}, "worker", 1)


@pytest.mark.parametrize(
    ("addresses", "task", "message"),
    [
        (["a:1", "b"], 0, "--cluster has 'b', expected host:port"),
        (["a:1", "a:1"], 0, "names one process twice: a:1,a:1"),
        (["a:1", "b:1"], 2, "--task is 2, expected .* 0 to 1"),
        (["a:1", "b:1"], None, "--task is None"),
    ],
)
def test_a_cluster_by_hand_that_names_no_process_is_refused(addresses, task, message):
    with pytest.raises(ValueError, match=message):
        cluster.tf_config_of(addresses, task)
