"""Weights of 2D networks in 3D networks: t copies along time, each divided by t.

On a clip of identical frames the inflated network then gives the 2D network's features,
away from the temporal border (NL's `checkpoints.py`, after I3D). A stem for other
channels, as those of flow, gets the mean over the source's, copied (TSN, Wang et al.,
ECCV 2016, section 3.2, "cross modality pre-training").
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from absl import logging

from spl_tf.models.heads import HEAD_LAYERS
from spl_tf.models.layers import FeatureGating
from spl_tf.models.normalization import (
    DEFAULT_NORMALIZATION,
    PixelNormalization,
    pixel_statistics,
)
from spl_tf.models.public_weights.keras_applications import convert_efficientnet
from spl_tf.models.public_weights.networks import IMAGENET_PIXELS

IMAGENET = "imagenet"
# What `keras.applications.resnet.preprocess_input` takes off 0..255, as R, G, B.
_KERAS_MEAN = (123.68, 116.779, 103.939)
# What networks of Keras make of RGB pixels in [0, 1]: p * scale - offset.
_RESNET_PIXELS = (255.0, _KERAS_MEAN)
_EFFICIENTNET_PIXELS = tuple(
    np.float32(each) / np.float32(IMAGENET_PIXELS["std"])
    for each in (1.0, IMAGENET_PIXELS["mean"])
)
_KERAS_PARTS = {"0": "shortcut", "1": "a", "2": "b", "3": "c"}


def load_inflated(source: str, model: keras.Model, keep_head: bool = False) -> None:
    """Loads a 2D network's weights into a model of the same widths and cells.

    `keras.applications.ResNet50` differs from `resnet_50`: its stride is on the first
    1x1 convolution of a stage, ours on the 3x3. Its weights fit, and are a start for
    training, but give other features.

    Args:
        source: `imagenet` for those of `keras.applications.ResNet50`, or EfficientNetB4
            for ours (downloaded), a `.weights.h5` file of that network, or the
            `weights.npz` of a run.
        model: Gets the weights. Gates that the source has not stay as they are.
        keep_head: Whether the head of a `weights.npz` is loaded too.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The source is of another kind, or its weights do not fit: every
            mismatch is named, and nothing is loaded.
    """
    if source != IMAGENET and not os.path.exists(source):
        raise FileNotFoundError(f"{source} does not exist: no weights to inflate")
    if source.endswith(".npz"):
        try:
            with np.load(source, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{source} is no weights.npz: {error}") from error
    elif source == IMAGENET or source.endswith(".weights.h5"):
        arrays = _keras_arrays(source, model)
    else:
        raise ValueError(
            f"cannot inflate {source}, expected {IMAGENET!r}, a .weights.h5 of "
            "keras.applications, or the weights.npz of a run"
        )
    inflate(arrays, model, source, keep_head)


def inflate(
    arrays: Mapping[str, np.ndarray],
    model: keras.Model,
    source: str,
    keep_head: bool = False,
) -> None:
    """Sets a model's weights from those of a 2D network.

    Args:
        arrays: By `<layer>/<position>`, as in `weights.npz`; convolution kernels are
            `[1, h, w, C, filters]`.
        model: Its layers get the weights of those of the same name.
        source: Where they are from, for messages.
        keep_head: Whether the head is loaded too.

    Raises:
        ValueError: Weights do not fit: every mismatch is named, and nothing is loaded.
    """
    head = () if keep_head else HEAD_LAYERS
    first = f"{next(layer.name for layer in model.layers if layer.weights)}/0"
    if first in arrays:
        kernel = _across_channels(arrays[first], model.input_shape[-1])
        arrays = {**arrays, first: kernel}
    names = {name.split("/")[0] for name in arrays}
    values, faults = {}, []
    for layer in model.layers:
        if not layer.weights or layer.name in head:
            continue
        if isinstance(layer, FeatureGating) and layer.name not in names:
            continue
        values[layer.name] = []
        for position, weight in enumerate(layer.weights):
            name, expected = f"{layer.name}/{position}", tuple(weight.shape)
            array = _along_time(arrays.get(name), expected)
            values[layer.name].append(array)
            found = "absent" if array is None else array.shape
            if found != expected:
                faults.append(f"{name} is {found}, expected {expected}")
    for name in sorted(names - set(values) - set(HEAD_LAYERS)):
        faults.append(f"{name} has no counterpart")
    if faults:
        raise ValueError(f"{source} does not fit {model.name}: {'; '.join(faults)}")
    for layer, arrays_of_layer in values.items():
        model.get_layer(layer).set_weights(arrays_of_layer)
    logging.info("inflated %d layers from %s", len(values), source)


def _across_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Copies the mean over a kernel's input channels to others, if it has others."""
    if kernel.shape[-2] == channels:
        return kernel
    return np.repeat(kernel.mean(axis=-2, keepdims=True), channels, axis=-2)


def _along_time(array: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Copies a kernel of length 1 in time to the length of `shape`, as an average."""
    if array is None or array.shape == shape or array.shape != (1, *shape[1:]):
        return array
    return np.repeat(array, shape[0], axis=0) / shape[0]


def convert_keras_resnet(source: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a `keras.applications.ResNet50` under the names of `resnet_50`.

    Its convolutions have biases: what they add, batch normalisation subtracts with a
    mean that is lower by the bias. The classifier is left out.
    """
    arrays, biases = {}, {}
    for layer in source.layers:
        name = _own_name(layer.name)
        if name is None or not layer.weights:
            continue
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.Conv2D):
            kernel, biases[f"{name}_bn"] = weights
            if name == "stem":  # blue, green, red
                kernel = kernel[..., ::-1, :]
            weights = [kernel[None]]
        arrays |= {
            f"{name}/{position}": array for position, array in enumerate(weights)
        }
    for name, bias in biases.items():
        arrays[f"{name}/2"] = arrays[f"{name}/2"] - bias
    return arrays


def _own_name(name: str) -> str | None:
    if name in ("conv1_conv", "conv1_bn"):
        return name.replace("conv1_conv", "stem").replace("conv1_bn", "stem_bn")
    match = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", name)
    if match is None:
        return None
    stage, cell, part, kind = match.groups()
    suffix = "_bn" if kind == "bn" else ""
    return f"res{stage}_{int(cell) - 1}_{_KERAS_PARTS[part]}{suffix}"


def _statistics(model: keras.Model) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of pixels in [0, 1] by which the model's input is normalised.

    A model that normalises nothing itself is given [-1, 1].
    """
    for layer in model.layers:
        if isinstance(layer, PixelNormalization):
            return layer.mean, layer.std
    return pixel_statistics(DEFAULT_NORMALIZATION)


def fold_normalization(
    arrays: Mapping[str, np.ndarray],
    mean: Sequence[float],
    std: Sequence[float],
    channels: int = len(_KERAS_MEAN),
    theirs: tuple[float | Sequence[float], Sequence[float]] = _RESNET_PIXELS,
) -> dict[str, np.ndarray]:
    """Makes the stem of a network of Keras take normalised pixels.

    Exact but for the stem's zero padding, which then stands for `mean`, not for the
    mean colour that Keras takes off.

    Args:
        arrays: Weights by `<layer>/<position>`, as `convert_keras_resnet` gives them.
        mean: Taken off pixels in [0, 1], a number per channel or one for all.
        std: What they are then divided by.
        channels: How many there are; where they are not R, G and B, the stem gets the
            mean over these.
        theirs: Scale and offset, by which the stem's own pixels are p * scale - offset.
    """
    kernel = _across_channels(arrays["stem/0"], channels)
    scale, offset = (
        each if np.ndim(each) == 0 or channels == len(each) else np.mean(each)
        for each in map(np.float32, theirs)
    )
    mean, std = (scale * np.float32(each) for each in (mean, std))
    offset = np.einsum("thwcf,c->f", kernel, np.broadcast_to(mean - offset, channels))
    return {
        **arrays,
        "stem/0": kernel * np.broadcast_to(std, channels)[:, None],
        "stem_bn/2": arrays["stem_bn/2"] - offset.astype(np.float32),
    }


def imagenet_feature_model(source: str) -> keras.Model:
    """`keras.applications.ResNet50` as it is, for single frames.

    Args:
        source: `imagenet` for its public weights (downloaded), or a `.weights.h5` file.

    Returns:
        A model from float32 `[B, 1, H, W, 3]`, RGB in [0, 1], to the pooled features,
        float32 `[B, 2048]`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of another network.
    """
    if source != IMAGENET and not os.path.exists(source):
        raise FileNotFoundError(f"{source} does not exist: no weights to load")
    network = _open_keras(keras.applications.ResNet50, source)
    scale, offset = _RESNET_PIXELS
    clip = keras.Input((1, None, None, len(offset)))
    pixels = keras.ops.squeeze(clip, axis=1) * scale - np.float32(offset)
    maps = network(pixels[..., ::-1])  # blue, green, red
    return keras.Model(clip, keras.ops.mean(maps, axis=(1, 2)), name="resnet50_frame")


def _keras_arrays(source: str, model: keras.Model) -> dict[str, np.ndarray]:
    """Weights of the network of Keras that is like the model, for its pixels."""
    if model.name.startswith("efficientnet_b4"):
        network = _open_keras(keras.applications.EfficientNetB4, source)
        arrays, theirs = convert_efficientnet(network), _EFFICIENTNET_PIXELS
    else:
        network = _open_keras(keras.applications.ResNet50, source)
        arrays, theirs = convert_keras_resnet(network), _RESNET_PIXELS
    channels = model.input_shape[-1]
    return fold_normalization(arrays, *_statistics(model), channels, theirs)


def _open_keras(build: Callable[..., keras.Model], source: str) -> keras.Model:
    weights = IMAGENET if source == IMAGENET else None
    try:
        network = build(include_top=False, weights=weights)
    except Exception as error:  # Keras raises nothing more special
        if "URL fetch failure" not in str(error):
            raise
        raise ConnectionError(
            f"the weights of keras.applications.{build.__name__} cannot be downloaded "
            f"({error}); give a .weights.h5 file of that network instead"
        ) from error
    if weights is None:
        try:
            # Keras also warns of each container whose layers its error then names.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                network.load_weights(source)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(
                f"{source} does not hold the weights of keras.applications."
                f"{build.__name__}: {error}"
            ) from error
    return network
