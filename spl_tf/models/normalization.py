"""Normalisation of pixels, as a layer of the network that wants it."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

# Names for what `PixelNormalization` takes off pixels, and divides by.
NORMALIZATIONS = {"symmetric": ((0.5,), (0.5,))}  # to [-1, 1]
DEFAULT_NORMALIZATION = "symmetric"
NORMALIZATION = "stem_normalization"  # its layer in a network


def pixel_statistics(
    normalization: str | Sequence[Sequence[float]], channels: int | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What a normalisation takes off pixels in [0, 1], and what it divides by.

    Args:
        normalization: "symmetric" for [-1, 1], or mean and standard deviation, a number
            per channel each.
        channels: How many there are; None if that does not matter yet.

    Returns:
        Mean and standard deviation, a number per channel each, or one for all.

    Raises:
        ValueError: It is neither, or of another number of channels.
    """
    expected = (
        f"expected one of {sorted(NORMALIZATIONS)}, or (mean, std) of pixels in [0, 1]"
    )
    if isinstance(normalization, str):
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"is {normalization!r}, {expected}")
        return NORMALIZATIONS[normalization]
    try:
        mean, std = (tuple(map(float, each)) for each in normalization)
    except (TypeError, ValueError):
        raise ValueError(f"is {normalization!r}, {expected}") from None
    if len(mean) != len(std) or len(mean) != (channels or len(mean)):
        raise ValueError(
            f"has {len(mean)} means and {len(std)} deviations, expected one of each "
            f"per channel{f', of which there are {channels}' if channels else ''}"
        )
    if not (np.isfinite([mean, std]).all() and min(std, default=0) > 0):
        raise ValueError(f"is {normalization!r}, expected numbers, and std above 0")
    return mean, std


class PixelNormalization(keras.layers.Layer):
    """What a network makes of pixels in [0, 1]: `(p - mean) / std`, per channel.

    Constants of the layer, not weights; in float32 whatever the network's precision.
    """

    def __init__(self, normalization=DEFAULT_NORMALIZATION, **kwargs):
        """Describes the layer.

        Args:
            normalization: Name, or mean and deviation per channel, see
                `pixel_statistics`.
            **kwargs: Further arguments of `keras.layers.Layer`, e.g. `name`.
        """
        super().__init__(**{"dtype": "float32", **kwargs})
        self.mean, self.std = pixel_statistics(normalization)

    def build(self, input_shape):
        """Checks the number of channels."""
        if len(self.mean) > 1:
            pixel_statistics((self.mean, self.std), input_shape[-1])

    def call(self, x):
        """Normalises `[B, T, H, W, C]`."""
        return (ops.cast(x, "float32") - np.float32(self.mean)) / np.float32(self.std)

    def compute_output_shape(self, input_shape):
        """The input's shape, which normalising keeps."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {"normalization": (self.mean, self.std)}
