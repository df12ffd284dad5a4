"""Networks by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from spl_tf.models.efficientnet import EfficientNetSpec
from spl_tf.models.network import build_network
from spl_tf.models.resnet import ResNetSpec
from spl_tf.models.s3d import S3DSpec

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
_RESNET_101 = dataclasses.replace(_RESNET_50, cells=(3, 4, 23, 3))
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
# OmniSource's: time is looked at in the last two stages, and never shortened.
_SLOW_ONLY_50 = dataclasses.replace(
    _RESNET_50, temporal_kernels=((1,), (1,), (3,), (3,))
)
# IG-65M's, after VMZ.
_R2PLUS1D_18 = dataclasses.replace(
    _R3D_18,
    stem_middle=45,
    cell="factorised",
    batch_norm_epsilon=1e-3,
    zero_init_residual=False,
)
_R2PLUS1D_101 = dataclasses.replace(
    _R2PLUS1D_18, cells=(3, 4, 23, 3), cell="factorised_bottleneck"
)
# Interaction-reduced channel-separated network (Tran et al. 2019), after VMZ.
_IR_CSN_152 = dataclasses.replace(
    _R2PLUS1D_101,
    stem_middle=0,
    stem_pool=True,
    cells=(3, 8, 36, 3),
    cell="channel_separated",
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
    "efficientnet_b4": EfficientNetSpec(width=1.4, depth=1.8),
    "ir_csn_152": _IR_CSN_152,
    "r2plus1d_18": _R2PLUS1D_18,
    "r2plus1d_34": dataclasses.replace(_R2PLUS1D_18, cells=(3, 4, 6, 3)),
    "r2plus1d_101": _R2PLUS1D_101,
    "r2plus1d_152": dataclasses.replace(_R2PLUS1D_101, cells=(3, 8, 36, 3)),
    "r3d_18": _R3D_18,
    "r3d_50": _R3D_50,
    "r3d_50_g": dataclasses.replace(_R3D_50, gating="stage"),
    "r3d_tiny_g": _R3D_TINY_G,
    "resnet_18": _RESNET_18,
    "resnet_50": _RESNET_50,
    "resnet_101": _RESNET_101,
    "resnet_152": dataclasses.replace(_RESNET_50, cells=(3, 8, 36, 3)),
    "s3d": S3DSpec(),
    "s3d_g": S3DSpec(gating="temporal"),
    "slow_only_50": _SLOW_ONLY_50,
    "slow_only_101": dataclasses.replace(_SLOW_ONLY_50, cells=_RESNET_101.cells),
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
    shared_middle: bool = False,
    batch_norm_epsilon: float | None = None,
    **options: Any,
) -> keras.Model:
    """Builds a network by its name.

    Args:
        name: One of `MODEL_NAMES`. `resnet_*` and `efficientnet_*` are 2D networks:
            they look at frames alone and average their features, which gives the mean
            of the frames' logits (TSN's consensus of segments).
        num_classes: Number of classes, the logits' last axis; 1 or more.
        input_shape: (T, H, W, C); None where it may vary.
        width: Factor on the network's channels.
        depth: Factor on the cells of each stage.
        gating: Where gates stand, one of `GATINGS` or, in `s3d`, of `S3D_GATINGS`; None
            for where the name puts them.
        gating_bias: Whether gates have a bias.
        last_stage_kernels: Lengths in time that the cells of the last stage take in
            turn; (1, 3, 1) is NL's res5. None for the network's own.
        shared_middle: Whether the two convolutions of a `r2plus1d_18` or `_34` cell
            share their number of middle channels, as torchvision's.
        batch_norm_epsilon: What batch normalisation adds to variances; None for the
            network's own.
        **options: Further arguments of `build_network`, e.g. `dropout`.

    Raises:
        ValueError: The name is unknown (the message lists the known ones), or another
            setting is impossible.
    """
    if name not in _SPECS:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(MODEL_NAMES)}")
    spec = _SPECS[name].scaled(width, depth)
    settings = {
        "gating": gating or None,
        "gating_bias": None if gating_bias else False,
        "shared_middle": shared_middle or None,
        "batch_norm_epsilon": batch_norm_epsilon or None,
    }
    if last_stage_kernels:
        kernels = getattr(spec, "temporal_kernels", ())
        settings["temporal_kernels"] = (*kernels[:-1], tuple(last_stage_kernels))
    spec = _with_settings(spec, name, settings)
    return build_network(spec, num_classes, input_shape, name=name, **options)


def _with_settings(spec, name: str, settings: dict[str, Any]):
    """The spec with the settings that are not None; an error if it has one not."""
    settings = {key: value for key, value in settings.items() if value is not None}
    known = {field.name for field in dataclasses.fields(spec)}
    if settings.keys() - known:
        missing = ", ".join(sorted(settings.keys() - known))
        raise ValueError(f"{name} has no {missing} to set")
    return dataclasses.replace(spec, **settings)
