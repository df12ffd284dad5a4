"""Networks by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from spl_tf.models.resnet import ResNetSpec, build_resnet

_SPATIAL = ((1, 1), (1, 2), (1, 2), (1, 2))
_WIDTHS = (64, 128, 256, 512)

_RESNET_50 = ResNetSpec(
    stem_kernel=(1, 7, 7),
    stem_stride=2,
    stem_filters=64,
    stem_pool=True,
    widths=_WIDTHS,
    cells=(3, 4, 6, 3),
    temporal_kernels=((1,),) * 4,
    strides=_SPATIAL,
)
_RESNET_18 = dataclasses.replace(_RESNET_50, cells=(2, 2, 2, 2), cell="basic")

# Table 7: "t_i = 3 when i is odd, 1 when even", counted from 1 in each stage.
_R3D_50 = dataclasses.replace(
    _RESNET_50,
    stem_kernel=(5, 7, 7),
    temporal_kernels=((3,), (3, 1), (3, 1), (3, 1)),
)
# As VMZ's: every kernel 3 x 3 x 3, no pool, time halved with space.
_R3D_18 = dataclasses.replace(
    _RESNET_18,
    stem_kernel=(3, 7, 7),
    stem_pool=False,
    temporal_kernels=((3,),) * 4,
    strides=((1, 1), (2, 2), (2, 2), (2, 2)),
)
# For clips of few small frames: tests and the demo. It starts from scratch and has few
# steps, in which branches that start at zero learn less.
_R3D_TINY_G = ResNetSpec(
    stem_kernel=(3, 5, 5),
    stem_stride=2,
    stem_filters=16,
    stem_pool=False,
    widths=(24, 48),
    cells=(1, 1),
    temporal_kernels=((3,), (3,)),
    strides=((1, 2), (1, 2)),
    cell="separable",
    zero_init_residual=False,
    gating="stage",
)

_SPECS = {
    "r3d_18": _R3D_18,
    "r3d_50": _R3D_50,
    "r3d_50_g": dataclasses.replace(_R3D_50, gating="stage"),
    "r3d_tiny_g": _R3D_TINY_G,
    "resnet_18": _RESNET_18,
    "resnet_50": _RESNET_50,
}

MODEL_NAMES = tuple(sorted(_SPECS))


def build_model(
    name: str,
    num_classes: int,
    input_shape: tuple[int | None, int | None, int | None, int],
    *,
    width: float = 1.0,
    depth: float = 1.0,
    gating: str | None = None,
    gating_bias: bool = True,
    last_stage_kernels: tuple[int, ...] | None = None,
    **options: Any,
) -> keras.Model:
    """Builds a network by its name.

    Args:
        name: One of `MODEL_NAMES`. `resnet_*` are 2D networks: they look at frames
            alone and average their features.
        num_classes: Classes of the head.
        input_shape: (T, H, W, C); None where it may vary.
        width: Factor on the network's channels.
        depth: Factor on the cells of each stage.
        gating: Where gates stand, one of `GATINGS`; None for where the name puts them.
        gating_bias: Whether gates have a bias.
        last_stage_kernels: Lengths in time that the cells of the last stage take in
            turn; (1, 3, 1) is NL's res5. None for the network's own.
        **options: See `build_resnet`.

    Raises:
        ValueError: The name is unknown (the message lists the known ones), or another
            setting is impossible.
    """
    if name not in _SPECS:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(MODEL_NAMES)}")
    spec = _SPECS[name].scaled(width, depth)
    kernels = spec.temporal_kernels
    if last_stage_kernels:
        kernels = (*kernels[:-1], tuple(last_stage_kernels))
    spec = dataclasses.replace(
        spec,
        gating=gating or spec.gating,
        gating_bias=gating_bias,
        temporal_kernels=kernels,
    )
    return build_resnet(spec, num_classes, input_shape, name=name, **options)
