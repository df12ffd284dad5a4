"""torchvision's video networks and 2D ResNets, and projects that build on them."""

from __future__ import annotations

from spl_tf.models.public_weights.naming import Naming
from spl_tf.models.public_weights.networks import (
    IMAGENET_PIXELS,
    KINETICS_PIXELS,
    PublicNetwork,
)


def _layer(stage: int, cell: int) -> str:
    return f"layer{stage - 1}.{cell}"


_SHORTCUT = {"shortcut": "downsample.0", "shortcut_bn": "downsample.1"}
_STEM = {"stem": "stem.0", "stem_bn": "stem.1"}
_FACTORISED_STEM = {
    "stem_space": "stem.0",
    "stem_space_bn": "stem.1",
    "stem": "stem.3",
    "stem_bn": "stem.4",
}
_HEAD = {"classifier": "fc"}


def _plain(part: str, module: str) -> dict[str, str]:
    """A convolution and its normalisation in a sequence of their own."""
    return {part: f"{module}.0", f"{part}_bn": f"{module}.1"}


def _factorised(part: str, module: str) -> dict[str, str]:
    """A factorised convolution and its normalisation in a sequence of their own."""
    return {
        f"{part}_space": f"{module}.0.0",
        f"{part}_space_bn": f"{module}.0.1",
        part: f"{module}.0.3",
        f"{part}_bn": f"{module}.1",
    }


def _bottleneck(middle: dict[str, str]) -> dict[str, str]:
    return {**_plain("a", "conv1"), **middle, **_plain("c", "conv3"), **_SHORTCUT}


R3D = Naming(
    _layer,
    {**_plain("a", "conv1"), **_plain("b", "conv2"), **_SHORTCUT},
    {**_STEM, **_HEAD},
)
R2PLUS1D = Naming(
    _layer,
    {**_factorised("a", "conv1"), **_factorised("b", "conv2"), **_SHORTCUT},
    {**_FACTORISED_STEM, **_HEAD},
)
R2PLUS1D_BOTTLENECK = Naming(
    _layer, _bottleneck(_factorised("b", "conv2")), {**_FACTORISED_STEM, **_HEAD}
)
CSN = Naming(_layer, _bottleneck(_plain("b", "conv2")), {**_STEM, **_HEAD})
RESNET = Naming(
    _layer,
    {
        **{part: f"conv{i}" for i, part in enumerate("abc", start=1)},
        **{f"{part}_bn": f"bn{i}" for i, part in enumerate("abc", start=1)},
        **_SHORTCUT,
    },
    {"stem": "conv1", "stem_bn": "bn1", **_HEAD},
)


def _inception() -> Naming:
    """S3D's: one sequence of everything, pooling layers included."""
    first_cell = {3: 5, 4: 8, 5: 14}
    parts = {}
    for branch in ("branch1", "branch2"):
        parts |= _plain(f"{branch}_reduce", f"{branch}.0")
        parts |= _separable(branch, f"{branch}.1")
    return Naming(
        lambda stage, cell: f"features.{first_cell[stage] + cell}",
        {**_plain("branch0", "branch0"), **parts, **_plain("branch3", "branch3.1")},
        {
            **_separable("stem", "features.0"),
            **_plain("stem_2b", "features.2"),
            **_separable("stem_2c", "features.3"),
            "classifier": "classifier.1",
        },
    )


def _separable(part: str, module: str) -> dict[str, str]:
    return {
        **_plain(f"{part}_space", f"{module}.0"),
        **_plain(part, f"{module}.1"),
    }


S3D = _inception()

# torchvision's clips have 15 frames a second: a stride of 2 where videos have 30. They
# lose their aspect ratio, scaled to 128 x 171 (S3D: 256 x 256) before the crop; ours
# keep it.
_SMALL_CLIPS = dict(frames=16, stride=2, short_side=128, crop=112, **KINETICS_PIXELS)
_LARGE_CLIPS = dict(frames=128, stride=2, short_side=256, crop=224, **KINETICS_PIXELS)
_IMAGES = dict(frames=1, stride=1, short_side=256, crop=224, **IMAGENET_PIXELS)

NETWORKS = {
    "r3d_18": PublicNetwork("r3d_18", R3D, **_SMALL_CLIPS),
    "r2plus1d_18": PublicNetwork(
        "r2plus1d_18",
        R2PLUS1D,
        **_SMALL_CLIPS,
        options={"shared_middle": True, "batch_norm_epsilon": 1e-5},
    ),
    "s3d": PublicNetwork("s3d", S3D, **_LARGE_CLIPS),
    **{
        f"resnet{depth}": PublicNetwork(f"resnet_{depth}", RESNET, **_IMAGES)
        for depth in (18, 50, 101, 152)
    },
}
