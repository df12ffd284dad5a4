"""Photometric augmentation of a batch, on the device.

One factor per clip, shared by its frames. uint8 travels to the device; the random
numbers come with the batch, so that they do not depend on the number of replicas. What
leaves are pixels in [0, 1]: their normalisation is the model's.
"""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from spl_tf.clips.frame_shape import RGB_CHANNELS

NUM_DRAWS = 4  # brightness, contrast, saturation, hue

# Luma weights of ITU-R BT.601, and the YIQ axes in which a rotation shifts the hue.
_LUMA = (0.299, 0.587, 0.114)
_TO_YIQ = (
    (0.299, 0.587, 0.114),
    (0.595716, -0.274453, -0.321263),
    (0.211456, -0.522591, 0.311135),
)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 switches a kind off. The paper names the kinds, not the strengths.

    Attributes:
        brightness: Up to this is added or taken away, as a share of the value range.
        contrast: Distance to the mean luma is scaled by 1 ± this.
        saturation: Distance to each pixel's luma is scaled by 1 ± this.
        hue: Rotated by up to ± this share of the full circle.
    """

    brightness: float = 32 / 255
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.2

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ValueError(f"{field.name} is {value}, expected 0 to 1")


def unit_pixels(clip) -> keras.KerasTensor:
    """Maps uint8 pixels to float32 in [0, 1], which the model of a run takes."""
    return ops.cast(clip, "float32") / 255.0


def augment(clip, draws, strengths: Augmentation) -> keras.KerasTensor:
    """Changes brightness, contrast, saturation and hue of each clip.

    Args:
        clip: uint8 [B, T, H, W, C]. What is not RGB has no colours, and stays.
        draws: float32 [B, 4], uniform in [0, 1).
        strengths: How far each kind of change goes.

    Returns:
        float32 [B, T, H, W, C] in [0, 1].
    """
    x = unit_pixels(clip)
    if x.shape[-1] != RGB_CHANNELS:
        return x
    # The four changes in turn are one map, colour @ matrix + grey, as all of them leave
    # greys grey. So each pixel is read once.
    brightness, contrast, saturation, hue = (
        ops.reshape(2.0 * draws[:, i] - 1.0, (-1, 1, 1)) for i in range(NUM_DRAWS)
    )
    matrix = ops.eye(RGB_CHANNELS) * (1.0 + strengths.contrast * contrast)
    if strengths.saturation:
        kept = 1.0 + strengths.saturation * saturation
        to_luma = np.tile(np.float32(_LUMA)[:, None], RGB_CHANNELS)
        matrix = ops.matmul(
            matrix, kept * ops.eye(RGB_CHANNELS) + (1.0 - kept) * to_luma
        )
    if strengths.hue:
        matrix = ops.matmul(matrix, _hue_rotation(2.0 * math.pi * strengths.hue * hue))
    grey = strengths.brightness * brightness
    if strengths.contrast:
        mean = ops.mean(x, axis=(1, 2, 3))[:, None] @ np.float32(_LUMA)[:, None]
        grey = grey - strengths.contrast * contrast * mean
    pixels = ops.reshape(x, (ops.shape(x)[0], -1, RGB_CHANNELS))
    changed = ops.reshape(ops.matmul(pixels, matrix) + grey, ops.shape(x))
    return ops.clip(changed, 0.0, 1.0)


def _hue_rotation(angle):
    """The matrix that turns the chroma of RGB values; angle is float32 [B, 1, 1]."""
    to_yiq = np.float32(_TO_YIQ).T
    cos, sin = ops.cos(angle), ops.sin(angle)
    zero = ops.zeros_like(angle)
    turn = ops.concatenate(
        [
            ops.concatenate([zero + 1.0, zero, zero], axis=-1),
            ops.concatenate([zero, cos, sin], axis=-1),
            ops.concatenate([zero, -sin, cos], axis=-1),
        ],
        axis=1,
    )
    return ops.matmul(to_yiq, ops.matmul(turn, np.linalg.inv(to_yiq)))
