"""Photometric augmentation and normalisation of a batch, on the device.

One factor per clip, shared by its frames. uint8 travels to the device; the random
numbers come with the batch, so that they do not depend on the number of replicas.
"""

from __future__ import annotations

import dataclasses
import math

import keras
from keras import ops

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


def normalize(clip) -> keras.KerasTensor:
    """Maps uint8 pixels to float32 in [-1, 1]."""
    return ops.cast(clip, "float32") / 127.5 - 1.0


def augment_and_normalize(clip, draws, strengths: Augmentation) -> keras.KerasTensor:
    """Changes brightness, contrast, saturation and hue of each clip, then normalises.

    Args:
        clip: uint8 [B, T, H, W, 3], RGB.
        draws: float32 [B, 4], uniform in [0, 1).
        strengths: How far.

    Returns:
        float32 [B, T, H, W, 3] in [-1, 1].
    """
    x = ops.cast(clip, "float32") / 255.0
    signed = ops.reshape(2.0 * draws - 1.0, (-1, NUM_DRAWS, 1, 1, 1, 1))
    brightness, contrast, saturation, hue = (signed[:, i] for i in range(NUM_DRAWS))
    luma_weights = ops.convert_to_tensor(_LUMA, "float32")
    if strengths.brightness:
        x = x + strengths.brightness * brightness
    if strengths.contrast:
        luma = ops.sum(x * luma_weights, axis=-1, keepdims=True)
        mean = ops.mean(luma, axis=(1, 2, 3, 4), keepdims=True)
        x = mean + (x - mean) * (1.0 + strengths.contrast * contrast)
    if strengths.saturation:
        luma = ops.sum(x * luma_weights, axis=-1, keepdims=True)
        x = luma + (x - luma) * (1.0 + strengths.saturation * saturation)
    if strengths.hue:
        x = _rotate_hue(x, 2.0 * math.pi * strengths.hue * hue)
    return ops.clip(x, 0.0, 1.0) * 2.0 - 1.0


def _rotate_hue(x, angle):
    """Turns the chroma of RGB values; angle is float32 [B, 1, 1, 1, 1]."""
    to_yiq = ops.convert_to_tensor(_TO_YIQ, "float32")
    yiq = ops.matmul(x, ops.transpose(to_yiq))
    cos, sin = ops.cos(angle), ops.sin(angle)
    y, i, q = yiq[..., 0:1], yiq[..., 1:2], yiq[..., 2:3]
    turned = ops.concatenate([y, cos * i - sin * q, sin * i + cos * q], axis=-1)
    return ops.matmul(turned, ops.transpose(ops.inv(to_yiq)))
