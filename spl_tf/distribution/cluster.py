"""Which process of which cluster this one is, by what starts it.

In this order: `TF_CONFIG`, which Vertex AI and Kubeflow's TFJob set; a step that
Slurm's `srun` started; SkyPilot's task on several nodes; a Kubernetes Indexed Job.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

ClusterResolver = tf.distribute.cluster_resolver.ClusterResolver

# Of the processes that train, in the order in which they are numbered.
_JOBS = ("chief", "worker")
_EXAMPLE = (
    '\'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}\''
)
_PORT = 2222  # where each process has a host of its own


class _Hosts(NamedTuple):
    """Processes that have a host each.

    Attributes:
        number: Of this process, from 0.
        hosts: All, in their order.
    """

    number: int
    hosts: list[str]


def process_place() -> tuple[int, int]:
    """This process's number, from 0, and how many there are, from the environment.

    For Slurm these are `SLURM_PROCID` and `SLURM_STEP_NUM_TASKS`: a batch script by
    itself is one process. Where nothing names the processes, this one is the only one.

    Raises:
        ValueError: What names the processes does not say which this is.
    """
    if os.environ.get("TF_CONFIG"):
        cluster, own = _tf_config()
        names = _task_names(cluster)
        return names.index(own), len(names)
    if os.environ.get("SLURM_STEP_NUM_TASKS"):
        place = (os.environ["SLURM_PROCID"], os.environ["SLURM_STEP_NUM_TASKS"])
        return int(place[0]), int(place[1])
    found = _skypilot() or _indexed_job()
    return (found.number, len(found.hosts)) if found else (0, 1)


def find_cluster() -> ClusterResolver:
    """The processes of a "multi_worker" run, which the environment names.

    To be called once: for Slurm it also gives this process its share of the GPUs.

    Raises:
        ValueError: Nothing names the processes.
    """
    resolvers = tf.distribute.cluster_resolver
    if os.environ.get("TF_CONFIG"):
        _tf_config()
        return resolvers.TFConfigClusterResolver()
    if os.environ.get("SLURM_STEP_NUM_TASKS"):
        return _slurm_cluster()
    found = _skypilot() or _indexed_job()
    if found:
        addresses = [f"{host}:{_PORT}" for host in found.hosts]
        return _resolver({"worker": addresses}, found.number)
    raise ValueError(
        "strategy 'multi_worker' needs to know its processes: start it with srun, or "
        f"set TF_CONFIG in each, for example {_EXAMPLE}, or give --cluster and --task; "
        "a Kubernetes Indexed Job also needs JOB_COMPLETIONS and JOB_SERVICE, see "
        "experiments/cluster"
    )


def tf_config_of(addresses: Sequence[str], task: int | None) -> str:
    """What `TF_CONFIG` is to be in a process whose cluster is given by hand.

    Args:
        addresses: `host:port` of every process, in the same order everywhere.
        task: Number of this process, from 0.

    Raises:
        ValueError: An address is none or comes twice, or the number is of none.
    """
    for address in addresses:
        if not re.fullmatch(r"(\[[\da-fA-F:.]+\]|[^\s:/]+):\d+", address):
            raise ValueError(f"--cluster has {address!r}, expected host:port")
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"--cluster names one process twice: {','.join(addresses)}")
    if task is None or not 0 <= task < len(addresses):
        raise ValueError(
            f"--task is {task}, expected the number of this process in --cluster, 0 to "
            f"{len(addresses) - 1}"
        )
    worker = {"type": "worker", "index": task}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": worker})


def own_name(cluster: ClusterResolver | None) -> str:
    """This process of a "multi_worker" run, for others: name, host and port."""
    if cluster is None:
        return ""
    name, named = _addresses(cluster)
    return f"{name} ({named[name]})"


def peer_addresses(cluster: ClusterResolver | None) -> dict[str, str]:
    """Addresses of the other processes of a "multi_worker" run, by name."""
    if cluster is None:
        return {}
    name, named = _addresses(cluster)
    del named[name]
    return named


def _addresses(cluster: ClusterResolver) -> tuple[str, dict[str, str]]:
    """The name of this process, and the addresses of all by their names."""
    jobs = cluster.cluster_spec().as_dict()
    addresses = [address for job in _JOBS for address in jobs.get(job, ())]
    named = dict(zip(_task_names(jobs), addresses, strict=True))
    # Known from here on, because Slurm's tasks are told apart by `cluster_spec`.
    return f"{cluster.task_type} {cluster.task_id}", named


def _task_names(cluster) -> list[str]:
    return [
        f"{job} {index}" for job in _JOBS for index in range(len(cluster.get(job, ())))
    ]


def _tf_config() -> tuple[dict[str, list[str]], str]:
    """The cluster, and the name of this process in it."""
    text = os.environ["TF_CONFIG"]
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        own = f"{task['type']} {int(task['index'])}"
        if own not in _task_names(cluster):
            raise ValueError(f"there is no {own} in its cluster")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"TF_CONFIG is {text!r}, which names no process: {error!r}. Expected for "
            f"example {_EXAMPLE}"
        ) from error
    return cluster, own


def _slurm_cluster() -> ClusterResolver:
    resolvers = tf.distribute.cluster_resolver
    # Jobs that share a machine must not share ports; each has 16, for as many tasks.
    port = 12000 + int(os.environ.get("SLURM_JOB_ID", 0)) * 16 % 16000
    if shutil.which("nvidia-smi") and not os.environ.get("SLURM_GPUS_PER_TASK"):
        return resolvers.SlurmClusterResolver(port_base=port)
    # Nothing is to be shared out: there are no GPUs, or each task sees its own. The
    # resolver cannot count that, so it is told of some that nobody uses.
    count = int(os.environ["SLURM_STEP_NUM_TASKS"])
    slurm = resolvers.SlurmClusterResolver(
        port_base=port, gpus_per_node=count, gpus_per_task=1, auto_set_gpu=False
    )
    jobs = slurm.cluster_spec().as_dict()  # which also tells tasks apart
    return _resolver(jobs, slurm.task_id)


def _resolver(jobs: Mapping[str, Sequence[str]], task: int) -> ClusterResolver:
    """A cluster of workers, of which this one has all GPUs that it sees."""
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(jobs),
        task_type="worker",
        task_id=task,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )


def _skypilot() -> _Hosts | None:
    """SkyPilot's nodes, each of which runs the task once; None outside of it."""
    hosts = os.environ.get("SKYPILOT_NODE_IPS", "").split()
    if len(hosts) < 2:
        return None
    rank, count = (
        _number(name) for name in ("SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES")
    )
    if count != len(hosts) or not 0 <= rank < count:
        raise ValueError(
            f"SKYPILOT_NODE_RANK is {rank} and SKYPILOT_NUM_NODES {count}, with "
            f"{len(hosts)} addresses in SKYPILOT_NODE_IPS ({', '.join(hosts)}); "
            "expected as many as nodes, and the rank of one of them"
        )
    return _Hosts(rank, hosts)


def _indexed_job() -> _Hosts | None:
    """The pods of a Kubernetes Indexed Job; None outside of one.

    Kubernetes tells a pod its index alone: how many there are is what the Job itself
    has to set. Without it, pods are taken to have nothing to do with each other.
    """
    if not all(map(os.environ.get, ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"))):
        return None
    index, count = (
        _number(name) for name in ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS")
    )
    # As Kubernetes names it, also where the pod's own name is longer.
    own, service = socket.gethostname(), os.environ.get("JOB_SERVICE", "")
    job = own.removesuffix(f"-{index}")
    if not 0 <= index < count or job == own or not service:
        raise ValueError(
            f"JOB_COMPLETION_INDEX is {index}, JOB_COMPLETIONS {count}, JOB_SERVICE "
            f"{service!r} and the host {own!r}; expected the Job's `completions`, the "
            "headless service that is the pods' `subdomain`, and a host named after "
            "the Job and the index"
        )
    return _Hosts(index, [f"{job}-{number}.{service}" for number in range(count)])


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    if not text.isdecimal():
        raise ValueError(f"{name} is {text!r}, expected a number")
    return int(text)
