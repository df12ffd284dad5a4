"""VMZ's PyTorch port: R(2+1)D and interaction-reduced CSN, of 32 frames.

The port's `r2plus1d_152` has a max pool after its stem by default. The network that was
trained has none: VMZ's tool that made the port's files builds it without, and the
329.1 G multiply-adds that its model zoo gives are those without it, at 32 x 128 x 128.
Frames, strides and sizes are those of VMZ's Caffe2 code; the port's files of
`r2plus1d_34` are ig65m-pytorch's.
"""

from __future__ import annotations

from spl_tf.models.public_weights import torchvision
from spl_tf.models.public_weights.networks import KINETICS_PIXELS, PublicNetwork

_SMALL = dict(frames=32, stride=1, short_side=128, crop=112, **KINETICS_PIXELS)
_LARGE = dict(frames=32, stride=2, short_side=256, crop=224, **KINETICS_PIXELS)

NETWORKS = {
    "r2plus1d_34": PublicNetwork("r2plus1d_34", torchvision.R2PLUS1D, **_SMALL),
    "r2plus1d_152": PublicNetwork(
        "r2plus1d_152", torchvision.R2PLUS1D_BOTTLENECK, **_SMALL
    ),
    "ir_csn_152": PublicNetwork("ir_csn_152", torchvision.CSN, **_LARGE),
}
