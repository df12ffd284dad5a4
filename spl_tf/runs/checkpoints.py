"""Saving a run and continuing it, and handing its weights on to another run.

A run's own checkpoints hold model and optimizer. What other runs start from is
`weights.npz`, written when training is done: arrays by layer name, so that it is plain
which layer gets what.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from spl_tf.clips import write_atomically
from spl_tf.files import move_into_place
from spl_tf.models import HEAD_LAYERS

WEIGHTS = "weights.npz"
_CHECKPOINTS = "checkpoints"
_PREFIX = "state"


class RunCheckpoints:
    """The checkpoints of one workdir, a folder per step; the newest are kept.

    A checkpoint is written under another name and renamed when it is whole. One that
    does not read, cut short or damaged, is set aside, and the one before it is used.
    """

    def __init__(
        self,
        workdir: str,
        step: tf.Variable,
        keep: int = 2,
        writes: bool = True,
        **objects,
    ):
        """Looks at nothing yet.

        Args:
            workdir: Of the run.
            step: The run's step; one of the objects holds it too.
            keep: How many checkpoints stay.
            writes: Whether this process writes them. The others take part in saving,
                because some values are spread over all, and write nothing that stays.
            **objects: What is saved.
        """
        self._writes = writes
        self._directory = os.path.join(workdir, _CHECKPOINTS)
        self._checkpoint = tf.train.Checkpoint(**objects)
        self._names = sorted(objects)
        self._step = step
        self._keep = keep

    def restore(self) -> bool:
        """Restores the newest checkpoint that reads, if there is one.

        Raises:
            AssertionError: It reads, but is of another model.
        """
        for path in reversed(self._found()):
            try:
                with _literal(path) as folder:
                    status = self._checkpoint.read(os.path.join(folder, _PREFIX))
                    status.assert_existing_objects_matched()
            # A file that ends too early is an IndexError.
            except (tf.errors.OpError, ValueError, IndexError) as error:
                aside = f"{path}.damaged"
                if self._writes:
                    os.replace(path, aside)
                logging.warning(
                    "%s cannot be read and is set aside as %s: %s", path, aside, error
                )
                continue
            logging.info("continuing from %s: %s", path, ", ".join(self._names))
            return True
        return False

    def save(self) -> None:
        """Writes a checkpoint of the current step.

        Raises:
            OSError: The disk is full; earlier checkpoints stay.
        """
        path = os.path.join(self._directory, f"{int(self._step.numpy()):09d}")
        if not self._writes:
            with tempfile.TemporaryDirectory() as directory:
                self._checkpoint.write(os.path.join(directory, _PREFIX))
            return
        incomplete = f"{path}.incomplete"
        try:
            shutil.rmtree(incomplete, ignore_errors=True)
            os.makedirs(incomplete)
            self._checkpoint.write(os.path.join(incomplete, _PREFIX))
            shutil.rmtree(path, ignore_errors=True)
            move_into_place(incomplete, path)
        except (tf.errors.UnavailableError, tf.errors.AbortedError):
            shutil.rmtree(incomplete, ignore_errors=True)
            raise  # not the disk: another process was lost
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(incomplete, ignore_errors=True)
            kept = self._found()
            raise OSError(
                f"checkpoint {path} cannot be written: {error}. "
                + (f"{kept[-1]} is kept; " if kept else "")
                + "free some space and give the same command again"
            ) from error
        for old in self._found()[: -self._keep]:
            shutil.rmtree(old)

    def _found(self) -> list[str]:
        """Folders of whole checkpoints, oldest first."""
        if not os.path.isdir(self._directory):
            return []
        names = sorted(name for name in os.listdir(self._directory) if name.isdigit())
        return [os.path.join(self._directory, name) for name in names]


@contextlib.contextmanager
def _literal(path: str) -> Iterator[str]:
    """A name for a folder that TensorFlow, which takes it for a glob, understands."""
    if not re.search(r"[][*?\\]", path):
        yield path
        return
    with tempfile.TemporaryDirectory() as directory:
        link = os.path.join(directory, "checkpoint")
        os.symlink(os.path.abspath(path), link)
        yield link


def save_weights(workdir: str, model: keras.Model) -> None:
    """Writes `weights.npz`: one array per weight, named `<layer>/<position>`."""
    arrays = {
        f"{layer.name}/{position}": value
        for layer in model.layers
        for position, value in enumerate(layer.get_weights())
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(os.path.join(workdir, WEIGHTS), buffer.getvalue())


def load_weights(workdir: str, model: keras.Model, keep_head: bool) -> None:
    """Copies a finished run's weights into a model of the same network.

    Args:
        workdir: Of the finished run.
        model: Gets the weights.
        keep_head: Whether classifier and projection are copied too, or stay as they
            are.

    Raises:
        FileNotFoundError: The run has not finished.
        ValueError: A layer is missing or of another shape: all are named, and nothing
            is loaded.
    """
    path = os.path.join(workdir, WEIGHTS)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{path} does not exist: no training run has finished in {workdir}"
        )
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    layers = [
        layer
        for layer in model.layers
        if layer.weights and (keep_head or layer.name not in HEAD_LAYERS)
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
