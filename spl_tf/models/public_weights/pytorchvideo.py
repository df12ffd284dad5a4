"""pytorchvideo's SlowOnly network, `slow_r50`."""

from __future__ import annotations

from spl_tf.models.public_weights.naming import Naming
from spl_tf.models.public_weights.networks import PublicNetwork

_PARTS = {
    **{part: f"branch2.conv_{part}" for part in "abc"},
    **{f"{part}_bn": f"branch2.norm_{part}" for part in "abc"},
    "shortcut": "branch1_conv",
    "shortcut_bn": "branch1_norm",
}
_SLOW = Naming(
    lambda stage, cell: f"blocks.{stage - 1}.res_blocks.{cell}",
    _PARTS,
    {
        "stem": "blocks.0.conv",
        "stem_bn": "blocks.0.norm",
        "classifier": "blocks.5.proj",
    },
)

NETWORKS = {
    "slow_r50": PublicNetwork(
        "slow_only_50",
        _SLOW,
        frames=8,
        stride=8,
        short_side=256,
        crop=256,
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
    )
}
