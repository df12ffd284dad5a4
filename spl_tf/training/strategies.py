"""Distribution strategies by name."""

from __future__ import annotations

import tensorflow as tf


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
    raise ValueError(f"unknown strategy {name!r}; known are auto, one, mirrored")
