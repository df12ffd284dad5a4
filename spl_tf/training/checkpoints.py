"""Saving a run and continuing it, and handing its weights on to another run.

A run's own checkpoints hold model and optimizer. What other runs start from is
`weights.npz`, written when training is done: arrays by layer name, so that it is plain
which layer gets what.
"""

from __future__ import annotations

import io
import os

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from spl_tf.clips import write_atomically

HEAD = "classifier"
_CHECKPOINTS = "checkpoints"
_WEIGHTS = "weights.npz"


class RunCheckpoints:
    """The checkpoints of one workdir: model, optimizer, and with it the step."""

    def __init__(
        self, workdir: str, model: keras.Model, optimizer: keras.optimizers.Optimizer
    ):
        """Looks into the workdir, restores nothing yet."""
        checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
        self._optimizer = optimizer
        self._manager = tf.train.CheckpointManager(
            checkpoint, os.path.join(workdir, _CHECKPOINTS), max_to_keep=2
        )

    def restore(self) -> bool:
        """Restores the newest checkpoint, if there is one."""
        newest = self._manager.latest_checkpoint
        if newest is None:
            return False
        status = self._manager.checkpoint.restore(newest)
        status.assert_existing_objects_matched()
        logging.info("continuing from %s", newest)
        return True

    def save(self) -> None:
        """Writes a checkpoint of the current step; the two newest are kept."""
        step = int(self._optimizer.iterations.numpy())
        self._manager.save(checkpoint_number=step)


def save_weights(workdir: str, model: keras.Model) -> None:
    """Writes `weights.npz`: one array per weight, named `<layer>/<position>`."""
    arrays = {
        f"{layer.name}/{position}": value
        for layer in model.layers
        for position, value in enumerate(layer.get_weights())
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(os.path.join(workdir, _WEIGHTS), buffer.getvalue())


def load_weights(workdir: str, model: keras.Model, keep_head: bool) -> None:
    """Copies a finished run's weights into a model of the same network.

    Args:
        workdir: Of the finished run.
        model: Gets the weights.
        keep_head: Whether the classifier is copied too, or stays as it is.

    Raises:
        FileNotFoundError: The run has not finished.
        ValueError: A layer is missing or of another shape: all are named, and nothing
            is loaded.
    """
    path = os.path.join(workdir, _WEIGHTS)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{path} does not exist: no training run has finished in {workdir}"
        )
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    layers = [
        layer
        for layer in model.layers
        if layer.weights and (keep_head or layer.name != HEAD)
    ]
    values, faults = {}, []
    for layer in layers:
        for position, weight in enumerate(layer.weights):
            name = f"{layer.name}/{position}"
            found = arrays[name].shape if name in arrays else "absent"
            if found != tuple(weight.shape):
                faults.append(f"{name} is {found}, expected {tuple(weight.shape)}")
            else:
                values.setdefault(layer.name, []).append(arrays[name])
    if faults:
        raise ValueError(f"{path} does not fit {model.name}: {'; '.join(faults)}")
    for layer in layers:
        layer.set_weights(values[layer.name])
    left_out = sorted({name.split("/")[0] for name in arrays} - set(values))
    logging.info(
        "loaded %d layers from %s; left out: %s",
        len(layers),
        path,
        ", ".join(left_out) or "none",
    )
