"""mmaction2's release of OmniSource: SlowOnly, and TSN on 2D ResNets."""

from __future__ import annotations

from spl_tf.models.public_weights.naming import Naming
from spl_tf.models.public_weights.networks import IMAGENET_PIXELS, PublicNetwork


def _module(part: str, path: str) -> dict[str, str]:
    return {part: f"{path}.conv", f"{part}_bn": f"{path}.bn"}


_NAMING = Naming(
    lambda stage, cell: f"backbone.layer{stage - 1}.{cell}",
    {
        **_module("a", "conv1"),
        **_module("b", "conv2"),
        **_module("c", "conv3"),
        **_module("shortcut", "downsample"),
    },
    {**_module("stem", "backbone.conv1"), "classifier": "cls_head.fc_cls"},
)
_CLIPS = dict(naming=_NAMING, short_side=256, crop=224, **IMAGENET_PIXELS)
_SEGMENTS = dict(stride=1, sampling="segments", **_CLIPS)

NETWORKS = {
    "slow_only_50_4x16": PublicNetwork("slow_only_50", frames=4, stride=16, **_CLIPS),
    "slow_only_50_8x8": PublicNetwork("slow_only_50", frames=8, stride=8, **_CLIPS),
    "slow_only_101_8x8": PublicNetwork("slow_only_101", frames=8, stride=8, **_CLIPS),
    "tsn_50_3seg": PublicNetwork("resnet_50", frames=3, **_SEGMENTS),
    "tsn_50_8seg": PublicNetwork("resnet_50", frames=8, **_SEGMENTS),
}
