"""Distribution strategies by name, and how a run is spread over processes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

import tensorflow as tf

from spl_tf.distribution.cluster import ClusterResolver, find_cluster, own_name

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")

# (this process, processes, replicas of this process) -> batches of this process.
MakeBatches = Callable[[int, int, int], tf.data.Dataset]

# What TensorFlow raises when another process cannot be reached any more: it has ended,
# or, with the deadline, the network between them has.
PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
)


def make_strategy(
    name: str, tpu: str = "", cluster: ClusterResolver | None = None
) -> tf.distribute.Strategy:
    """Makes a strategy over the devices of this process, or of several.

    Args:
        name: "one" (the first GPU, else the CPU), "mirrored" (all GPUs, else all CPU
            devices), "auto" (mirrored with more than one GPU, else one),
            "multi_worker" (the processes that `find_cluster` finds, each with all its
            GPUs; before TensorFlow has run anything), or "tpu".
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
