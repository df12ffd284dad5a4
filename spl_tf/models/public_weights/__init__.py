"""Checkpoints of other projects as weights of our networks.

`PUBLIC_NETWORKS[source][name]` is a network of a project, e.g.
`PUBLIC_NETWORKS["torchvision"]["r2plus1d_18"]`.
"""

from spl_tf.models.public_weights import (
    ig65m,
    mmaction2,
    pytorchvideo,
    torchvision,
    vmz,
)
from spl_tf.models.public_weights.naming import load_tensors
from spl_tf.models.public_weights.networks import PublicNetwork

PUBLIC_NETWORKS = {
    "ig65m": ig65m.NETWORKS,
    "mmaction2": mmaction2.NETWORKS,
    "pytorchvideo": pytorchvideo.NETWORKS,
    "torchvision": torchvision.NETWORKS,
    "vmz": vmz.NETWORKS,
}

__all__ = ["PUBLIC_NETWORKS", "PublicNetwork", "load_tensors"]
