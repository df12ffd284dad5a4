"""Keras 3 networks on clips, written in `keras.ops`."""

from spl_tf.models.registry import MODEL_NAMES, build_model
from spl_tf.models.resnet import ResNetSpec, build_resnet

__all__ = ["MODEL_NAMES", "ResNetSpec", "build_model", "build_resnet"]
