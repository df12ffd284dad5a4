"""Saving a run and continuing it, and handing its weights on to another run.

A run's own checkpoints hold model and optimizer. What other runs start from is
`weights.npz`, written when training is done: arrays by layer name, so that it is plain
which layer gets what.
"""

from __future__ import annotations

import collections
import contextlib
import io
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from tensorflow.core.protobuf import trackable_object_graph_pb2

from spl_tf.clips import write_atomically
from spl_tf.distribution.strategies import PEER_ERRORS
from spl_tf.files import move_into_place
from spl_tf.models import HEAD_LAYERS
from spl_tf.models.normalization import PixelNormalization

WEIGHTS = "weights.npz"
_CHECKPOINTS = "checkpoints"
_PREFIX = "state"
# Variables that follow from the weights, or have a running number in their names, by
# the start of their keys.
_FOLLOWING = (
    "average/averages/",
    "dropout/",
    "optimizer/_iterations/",
    "optimizer/_learning_rate/",
    "optimizer/_variables/",
)
_KEY_ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"


class _Variable(NamedTuple):
    """A variable in a checkpoint, or one that would be saved in it."""

    name: str
    shape: tuple[int, ...]


def model_state(model: keras.Model) -> tf.Module:
    """What a checkpoint holds of a model: its layers, by position.

    The normalisation of pixels, which has no weights, takes no position: there were
    checkpoints before it.
    """
    state = tf.Module()
    state._operations = [
        each for each in model.operations if not isinstance(each, PixelNormalization)
    ]
    return state


class RunCheckpoints:
    """The checkpoints of one workdir, a folder per step; the newest are kept.

    A checkpoint is written under another name and renamed when it is whole. One that
    does not read, cut short or damaged, is set aside, and the one before it is used.
    One of other variables is refused.
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
            workdir: The run's folder, which gets a folder of checkpoints.
            step: The run's step; one of the objects holds it too.
            keep: Number of checkpoints that stay, the newest.
            writes: Whether this process writes them. The others take part in saving,
                because some values are spread over all, and write nothing that stays.
            **objects: Trackable objects to save, by the names that they have in the
                file.
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
            ValueError: It holds other variables, as of another network: all that differ
                are named, and nothing is changed.
        """
        for path in reversed(self._found()):
            try:
                with _literal(path) as folder:
                    prefix = os.path.join(folder, _PREFIX)
                    saved = _saved_variables(prefix)
                    _check_same(path, saved, _own_variables(self._checkpoint))
                    status = self._checkpoint.read(prefix)
                    status.assert_existing_objects_matched()
            except (_OtherVariablesError, *PEER_ERRORS):
                raise  # the checkpoint is whole
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
        except PEER_ERRORS:
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
        return [os.path.join(self._directory, name) for name in _names(self._directory)]


def newest_step(workdir: str) -> int:
    """The step of a run's newest checkpoint; 0 without one."""
    return int((_names(os.path.join(workdir, _CHECKPOINTS)) or ["0"])[-1])


def _names(directory: str) -> list[str]:
    """Names of whole checkpoints, oldest first."""
    if not os.path.isdir(directory):
        return []
    return sorted(name for name in os.listdir(directory) if name.isdigit())


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


class _OtherVariablesError(ValueError):
    """A checkpoint holds other variables than the run has."""


def _saved_variables(prefix: str) -> dict[str, _Variable]:
    """The variables of a checkpoint, by key."""
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    )
    return {
        each.checkpoint_key: _Variable(
            each.full_name, tuple(shapes[each.checkpoint_key])
        )
        for node in graph.nodes
        for each in node.attributes
    }


def _own_variables(checkpoint: tf.train.Checkpoint) -> dict[str, _Variable]:
    """The variables that a checkpoint of these objects would hold, by key.

    As TensorFlow makes the keys: the shortest path to a variable, breadth first.
    """
    children = tf.train.TrackableView(checkpoint).children
    found, paths, waiting = {}, {id(checkpoint): ""}, collections.deque([checkpoint])
    while waiting:
        parent = waiting.popleft()
        for name, child in children(parent).items():
            if id(child) in paths:
                continue
            path = paths[id(child)] = f"{paths[id(parent)]}{name}/"
            waiting.append(child)
            if isinstance(child, (tf.Variable, keras.Variable)):
                key = path.removesuffix("/") + _KEY_ENDING
                found[key] = _Variable(child._shared_name, tuple(child.shape))
    return found


def _check_same(
    path: str, saved: Mapping[str, _Variable], own: Mapping[str, _Variable]
) -> None:
    """Raises `_OtherVariablesError` where keys or shapes differ; names say which."""
    shapes = [
        {key.removesuffix(_KEY_ENDING): v.shape for key, v in each.items()}
        for each in (saved, own)
    ]
    if shapes[0] == shapes[1]:
        return
    # Keys are positions: without a layer, all that come after it are others.
    named = [
        {v.name: v.shape for key, v in each.items() if not key.startswith(_FOLLOWING)}
        for each in (saved, own)
    ]
    theirs, ours = named if named[0] != named[1] else shapes
    parts = (
        ("in the file only", sorted(theirs.keys() - ours)),
        ("in the model only", sorted(ours.keys() - theirs)),
        (
            "of other shapes",
            [
                f"{name} is {theirs[name]}, expected {ours[name]}"
                for name in sorted(theirs.keys() & ours)
                if theirs[name] != ours[name]
            ],
        ),
    )
    raise _OtherVariablesError(
        f"checkpoint {path} does not fit this run's network and optimizer: "
        + "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)
        + ". It stays as it is: train in another workdir, or with the config and the "
        "version of spl_tf that wrote it"
    )


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
        workdir: The folder of a run that is finished.
        model: Its layers get the weights of those of the same name.
        keep_head: Whether classifier and projection are copied too, or stay as they
            are.

    Raises:
        FileNotFoundError: The run has not finished.
        ValueError: The file is damaged, or a layer is missing or of another shape: all
            are named, and nothing is loaded.
    """
    path = os.path.join(workdir, WEIGHTS)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{path} does not exist: no training run has finished in {workdir}"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
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
