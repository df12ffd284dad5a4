"""Distribution strategies by name, and how a run is spread over processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import tensorflow as tf

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")

# (this process, processes, replicas of this process) -> batches of this process.
MakeBatches = Callable[[int, int, int], tf.data.Dataset]


def make_strategy(name: str, tpu: str = "") -> tf.distribute.Strategy:
    """Makes a strategy over the devices of this process, or of several.

    Args:
        name: "one" (the first GPU, else the CPU), "mirrored" (all GPUs, else all CPU
            devices), "auto" (mirrored with more than one GPU, else one),
            "multi_worker" (the processes that `TF_CONFIG` or Slurm names, each with
            all its GPUs; before TensorFlow has run anything), or "tpu".
        tpu: The TPU's name, for "tpu"; "local" on a TPU machine itself.

    Raises:
        ValueError: The name is unknown, or nothing names the processes.
    """
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy(_cluster())
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


def _cluster() -> tf.distribute.cluster_resolver.ClusterResolver:
    resolvers = tf.distribute.cluster_resolver
    if os.environ.get("TF_CONFIG"):
        return resolvers.TFConfigClusterResolver()
    if os.environ.get("SLURM_PROCID"):
        return resolvers.SlurmClusterResolver()
    raise ValueError(
        "strategy 'multi_worker' needs to know its processes: start it with srun, or "
        "set TF_CONFIG in each, for example "
        '\'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
        '"task": {"type": "worker", "index": 0}}\''
    )


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes what all share."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return True
    return resolver.task_type == "chief" or (
        resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    )


def spread_batches(
    strategy: tf.distribute.Strategy, make_batches: MakeBatches
) -> Iterable:
    """Hands each replica its batches, which are spread over all processes.

    Args:
        strategy: Where they go.
        make_batches: Makes the dataset of a process, which holds one batch per replica
            and step, in turn.

    Returns:
        An iterable of what `strategy.run` takes per step.
    """
    if strategy.num_replicas_in_sync == 1:
        # tf.distribute would add a dataset with autotuning of its own, which may wait
        # up to a minute when it is closed (see `spl_tf.data.pipeline`).
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
        strategy: Where they go.
        make_batches: Makes the dataset, which holds one batch per replica and step, in
            turn.

    Returns:
        An iterable of what `strategy.run` takes per step.
    """
    return spread_batches(strategy, lambda *_: make_batches())
