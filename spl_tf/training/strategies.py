"""Distribution strategies by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import tensorflow as tf

STRATEGIES = ("auto", "one", "mirrored")


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Makes a strategy over this process's devices.

    Args:
        name: "one" (the first GPU, else the CPU), "mirrored" (all GPUs, else all CPU
            devices), or "auto" (mirrored with more than one GPU, else one).

    Raises:
        ValueError: The name is unknown.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one"
    if name == "one":
        return tf.distribute.OneDeviceStrategy(gpus[0].name if gpus else "/cpu:0")
    if name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    raise ValueError(f"unknown strategy {name!r}; known are {', '.join(STRATEGIES)}")


def distribute_batches(
    strategy: tf.distribute.Strategy, make_batches: Callable[[], tf.data.Dataset]
) -> Iterable:
    """Hands each replica its batches.

    Args:
        strategy: Where they go.
        make_batches: Makes the dataset of this process, which holds one batch per
            replica and step, in turn.

    Returns:
        An iterable of what `strategy.run` takes per step.
    """
    if strategy.num_replicas_in_sync == 1:
        # tf.distribute would add a dataset with autotuning of its own, which may wait
        # up to a minute when it is closed (see `spl_tf.data.pipeline`).
        return make_batches()
    return strategy.distribute_datasets_from_function(lambda _: make_batches())
