"""Keras 3 networks on clips, written in `keras.ops`."""

from spl_tf.models.heads import HEAD_LAYERS, feature_model, position_model
from spl_tf.models.inflation import (
    IMAGENET,
    imagenet_feature_model,
    load_inflated,
)
from spl_tf.models.network import build_network
from spl_tf.models.normalization import DEFAULT_NORMALIZATION, pixel_statistics
from spl_tf.models.registry import MODEL_NAMES, build_model
from spl_tf.models.resnet import GATINGS, ResNetSpec
from spl_tf.models.s3d import S3D_GATINGS
from spl_tf.models.summary import format_summary, summarize

__all__ = [
    "DEFAULT_NORMALIZATION",
    "GATINGS",
    "HEAD_LAYERS",
    "IMAGENET",
    "MODEL_NAMES",
    "S3D_GATINGS",
    "ResNetSpec",
    "build_model",
    "build_network",
    "feature_model",
    "format_summary",
    "imagenet_feature_model",
    "load_inflated",
    "pixel_statistics",
    "position_model",
    "summarize",
]
