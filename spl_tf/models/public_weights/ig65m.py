"""ig65m-pytorch: R(2+1)D-34 of IG-65M and, fine-tuned, of Kinetics (400 classes).

Its files of IG-65M have 487 classes with 8 frames and 359 with 32.
"""

from __future__ import annotations

from spl_tf.models.public_weights import torchvision
from spl_tf.models.public_weights.networks import KINETICS_PIXELS, PublicNetwork

_CLIPS = dict(stride=1, short_side=128, crop=112, **KINETICS_PIXELS)

NETWORKS = {
    "r2plus1d_34_8": PublicNetwork(
        "r2plus1d_34", torchvision.R2PLUS1D, frames=8, **_CLIPS
    ),
    "r2plus1d_34_32": PublicNetwork(
        "r2plus1d_34", torchvision.R2PLUS1D, frames=32, **_CLIPS
    ),
}
