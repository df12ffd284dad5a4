"""Networks by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from spl_tf.models.resnet import ResNetSpec, build_resnet

# Table 7: "t_i = 3 when i is odd, 1 when even", counted from 1 in each stage.
_R3D_50_G = ResNetSpec(
    stem_kernel=(5, 7, 7),
    stem_stride=2,
    stem_filters=64,
    stem_pool=True,
    widths=(64, 128, 256, 512),
    temporal_kernels=((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (3, 1, 3)),
    strides=(1, 2, 2, 2),
)

# For clips of few small frames: tests and the demo.
_R3D_TINY_G = ResNetSpec(
    stem_kernel=(3, 5, 5),
    stem_stride=2,
    stem_filters=16,
    stem_pool=False,
    widths=(8, 16),
    temporal_kernels=((3,), (3,)),
    strides=(1, 2),
)

_SPECS = {
    "r3d_50": dataclasses.replace(_R3D_50_G, gating=False),
    "r3d_50_g": _R3D_50_G,
    "r3d_tiny_g": _R3D_TINY_G,
}

MODEL_NAMES = tuple(sorted(_SPECS))


def build_model(
    name: str,
    num_classes: int,
    input_shape: tuple[int | None, int | None, int | None, int],
    **options: Any,
) -> keras.Model:
    """Builds a network by its name.

    Args:
        name: One of `MODEL_NAMES`.
        num_classes: Classes of the head.
        input_shape: (T, H, W, C); None where it may vary.
        **options: See `build_resnet`.

    Raises:
        ValueError: The name is unknown; the message lists the known ones.
    """
    if name not in _SPECS:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(MODEL_NAMES)}")
    return build_resnet(_SPECS[name], num_classes, input_shape, name=name, **options)
