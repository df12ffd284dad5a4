"""Distribution strategies by name, and how a run is spread over processes."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterable

import tensorflow as tf

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")

ClusterResolver = tf.distribute.cluster_resolver.ClusterResolver
# (this process, processes, replicas of this process) -> batches of this process.
MakeBatches = Callable[[int, int, int], tf.data.Dataset]

# What TensorFlow raises when another process cannot be reached any more: it has ended,
# or, with the deadline, the network between them has.
PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
)

# Of the processes that train, in the order in which they are numbered.
_JOBS = ("chief", "worker")
_EXAMPLE = (
    '\'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}\''
)


def make_strategy(
    name: str, tpu: str = "", cluster: ClusterResolver | None = None
) -> tf.distribute.Strategy:
    """Makes a strategy over the devices of this process, or of several.

    Args:
        name: "one" (the first GPU, else the CPU), "mirrored" (all GPUs, else all CPU
            devices), "auto" (mirrored with more than one GPU, else one),
            "multi_worker" (the processes that `TF_CONFIG` or Slurm names, each with
            all its GPUs; before TensorFlow has run anything), or "tpu".
        tpu: The TPU's name, for "tpu"; "local" on a TPU machine itself.
        cluster: What `find_cluster` gave, for "multi_worker", if it was called before.

    Raises:
        OSError: The port of this process is taken.
        ValueError: The name is unknown, or nothing names the processes.
    """
    if name == "multi_worker":
        return _multi_worker(cluster or find_cluster())
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    if name not in STRATEGIES:
        raise ValueError(
            f"unknown strategy {name!r}; known are {', '.join(STRATEGIES)}"
        )
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one"
    if name == "one":
        return tf.distribute.OneDeviceStrategy(gpus[0].name if gpus else "/cpu:0")
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker(cluster: ClusterResolver) -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster)
    except tf.errors.UnknownError as error:
        if "Could not start gRPC server" not in error.message:
            raise
        raise OSError(
            f"{own_name(cluster)} cannot take its port: {socket.gethostname()} has "
            "another program on it, perhaps one that a former run left behind; `ss "
            "--listening --tcp --processes` there says which. End it, or give other "
            "ports in TF_CONFIG (Slurm: submit again, another job has other ports); "
            "then start all processes again"
        ) from error


def process_place() -> tuple[int, int]:
    """This process's number, from 0, and how many there are, from the environment.

    `TF_CONFIG` says it, or a step that `srun` started (`SLURM_PROCID` and
    `SLURM_STEP_NUM_TASKS`; a batch script by itself is one process). Without them,
    this process is the only one.

    Raises:
        ValueError: `TF_CONFIG` does not say which process this is.
    """
    if os.environ.get("TF_CONFIG"):
        cluster, own = _tf_config()
        names = _task_names(cluster)
        return names.index(own), len(names)
    if os.environ.get("SLURM_STEP_NUM_TASKS"):
        place = (os.environ["SLURM_PROCID"], os.environ["SLURM_STEP_NUM_TASKS"])
        return int(place[0]), int(place[1])
    return 0, 1


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
    raise ValueError(
        "strategy 'multi_worker' needs to know its processes: start it with srun, or "
        f"set TF_CONFIG in each, for example {_EXAMPLE}"
    )


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
    spec = slurm.cluster_spec()
    return resolvers.SimpleClusterResolver(
        spec,
        task_type=slurm.task_type,
        task_id=slurm.task_id,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes what all share."""
    if not is_multi_worker(strategy):
        return True
    resolver = strategy.cluster_resolver
    return resolver.task_type == "chief" or (
        resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    )


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether several processes train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns once every process of the run has called it."""
    if not is_multi_worker(strategy):
        return

    @tf.function
    def meet():
        def count():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.ones([]))

        return strategy.run(count)

    strategy.experimental_local_results(meet())[0].numpy()


def spread_batches(
    strategy: tf.distribute.Strategy, make_batches: MakeBatches
) -> Iterable:
    """Hands each replica its batches, which are spread over all processes.

    Args:
        strategy: Whose replicas get them.
        make_batches: Makes the dataset of a process, which holds one batch per replica
            and step, in turn.

    Returns:
        An iterable of what `strategy.run` takes per step.
    """
    if strategy.num_replicas_in_sync == 1:
        # tf.distribute would add a dataset with autotuning of its own, which may wait
        # up to a minute when it is closed (see `data.numbered_batches`).
        return make_batches(0, 1, 1)

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        processes = context.num_input_pipelines
        replicas = context.num_replicas_in_sync // processes
        return make_batches(context.input_pipeline_id, processes, replicas)

    return strategy.distribute_datasets_from_function(make)


def distribute_batches(
    strategy: tf.distribute.Strategy, make_batches: Callable[[], tf.data.Dataset]
) -> Iterable:
    """Hands each replica of a process its batches; all processes have the same ones.

    For evaluation: several processes each see the whole dataset.

    Args:
        strategy: Whose replicas get them.
        make_batches: Makes the dataset, which holds one batch per replica and step, in
            turn.

    Returns:
        An iterable of what `strategy.run` takes per step.
    """
    return spread_batches(strategy, lambda *_: make_batches())
