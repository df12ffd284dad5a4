"""Templates for clusters that no test can start; Slurm's run in tests/cluster."""

import pathlib
import re
import socket

import pytest

from spl_tf.distribution import cluster

ROOT = pathlib.Path(__file__).parents[2]
TEMPLATES = ROOT / "experiments" / "cluster"
yaml = pytest.importorskip("yaml", reason="kubernetes-validate is not installed")


def load(name):
    return list(yaml.safe_load_all((TEMPLATES / name).read_text()))


def assert_trains_together(command):
    """It must be a command of the repository's."""
    assert "experiments.train" in command
    assert "--strategy=multi_worker" in command
    assert (ROOT / re.search(r"--config=(\S+)", command)[1]).exists()


def test_the_kubernetes_files_are_what_the_api_takes():
    validate = pytest.importorskip("kubernetes_validate")
    for each in load("kubernetes.yaml"):
        validate.validate(each, validate.latest_version(), strict=True)
        each["spec"]["no_such_key"] = 1
        with pytest.raises(validate.ValidationError):
            validate.validate(each, validate.latest_version(), strict=True)


def test_pods_of_the_indexed_job_find_each_other_by_the_service(monkeypatch):
    service, job = load("kubernetes.yaml")
    spec, name = job["spec"], job["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    assert spec["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    (container,) = spec["template"]["spec"]["containers"]
    assert_trains_together(" ".join((*container["command"], *container["args"])))

    for variable in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "SKYPILOT_NODE_IPS"):
        monkeypatch.delenv(variable, raising=False)
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")  # as Kubernetes does
    monkeypatch.setattr(socket, "gethostname", lambda: f"{name}-1")
    assert cluster.process_place() == (1, spec["completions"])
    assert spec["parallelism"] == spec["completions"]
    port = service["spec"]["ports"][0]["port"]
    assert cluster.find_cluster().cluster_spec().as_dict() == {
        "worker": [f"{name}-{n}.train:{port}" for n in range(spec["completions"])]
    }


def test_the_nodes_of_skypilot_train_together():
    (task,) = load("skypilot.yaml")
    assert task["num_nodes"] > 1
    assert_trains_together(task["run"])
