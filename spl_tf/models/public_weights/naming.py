"""Tensors of another project's checkpoint, by its names, as weights of our layers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

import keras
import numpy as np

from spl_tf.models.layers import BatchNorm, ClipConv, DepthwiseClipConv

# PyTorch's names, in the order of the layers' weights.
_NORM = ("weight", "bias", "running_mean", "running_var")
_DENSE = ("weight", "bias")
_CONV = ("weight",)
_CELL_LAYER = re.compile(r"[a-z]+(\d)_(\d+)_(.+)")


@dataclasses.dataclass(frozen=True)
class Naming:
    """What a project calls the modules that are our layers.

    Attributes:
        cell: From our (stage, cell) to the name of that cell's module.
        parts: From the rest of our layer's name, e.g. `a_bn`, to the path of the
            module in the cell.
        others: From our other layers' names, e.g. `stem`, to paths of modules.
        left_out: Matches whole names of tensors that our network has no use for.
    """

    cell: Callable[[int, int], str]
    parts: Mapping[str, str]
    others: Mapping[str, str]
    left_out: str = r".*\.num_batches_tracked"

    def path(self, layer: str) -> str:
        """The path of the module that is our layer of that name.

        Raises:
            KeyError: The project has no such module.
        """
        if layer in self.others:
            return self.others[layer]
        match = _CELL_LAYER.fullmatch(layer)
        if match is None:
            raise KeyError(layer)
        stage, cell, part = match.groups()
        return f"{self.cell(int(stage), int(cell))}.{self.parts[part]}"


def load_tensors(
    model: keras.Model, tensors: Mapping[str, np.ndarray], naming: Naming, source: str
) -> list[str]:
    """Sets every weight of a model from the tensors of a checkpoint.

    Axes are transposed; kernels of 2D convolutions get a length of 1 in time, and
    classifiers that are 1x1x1 convolutions become dense layers.

    Args:
        model: Gets the weights: of the head, too.
        tensors: float arrays by PyTorch's names.
        naming: What the project that made the file calls our layers.
        source: The file, for messages.

    Returns:
        Names of the tensors that are left out, sorted.

    Raises:
        ValueError: A tensor is absent, of another shape, or neither used nor known to
            be left out (each is named, and nothing is loaded); or the file holds NaN.
    """
    values, faults, used = {}, [], set()
    for layer in model.layers:
        if not layer.weights:
            continue
        path = naming.path(layer.name)
        values[layer.name] = []
        for weight, ending in zip(layer.weights, _endings(layer), strict=True):
            name, expected = f"{path}.{ending}", tuple(weight.shape)
            used.add(name)
            array = _as_ours(layer, tensors.get(name), len(expected))
            values[layer.name].append(array)
            if array is None or array.shape != expected:
                found = "absent" if array is None else tensors[name].shape
                faults.append(
                    f"{name} is {found}, {weight.path} {expected} is made of it"
                )
    left_out = sorted(set(tensors) - used)
    unknown = [name for name in left_out if not re.fullmatch(naming.left_out, name)]
    faults += [f"{name} has no counterpart" for name in unknown]
    if faults:
        raise ValueError(f"{source} does not fit {model.name}: {'; '.join(faults)}")
    for weight in model.weights:
        weight.assign(np.full(weight.shape, np.nan, np.float32))
    for name, arrays in values.items():
        model.get_layer(name).set_weights(arrays)
    unset = [weight.path for weight in model.weights if np.isnan(weight.numpy()).any()]
    if unset:
        raise ValueError(f"{source} gives NaN to {', '.join(unset)}")
    return left_out


def _endings(layer: keras.layers.Layer) -> tuple[str, ...]:
    if isinstance(layer, BatchNorm):
        return _NORM
    return _CONV if isinstance(layer, ClipConv) else _DENSE


def _as_ours(layer, array: np.ndarray | None, rank: int) -> np.ndarray | None:
    """A tensor with its axes in our order; vectors stay as they are."""
    if array is None or array.ndim == 1:
        return array
    if rank == 2:
        return array.reshape(array.shape[:2]).T if array[0, 0].size == 1 else array
    if array.ndim == rank - 1:
        array = array[:, :, None]
    if array.ndim != rank:
        return array
    depthwise = isinstance(layer, DepthwiseClipConv)
    return array.transpose(2, 3, 4, *((0, 1) if depthwise else (1, 0)))
