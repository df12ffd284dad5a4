"""EfficientNets of `keras.applications`, for pixels normalised as ImageNet's are."""

from __future__ import annotations

import re

import keras
import numpy as np

# Of Keras' layers: ours, and the position of their first weight in it.
_PARTS = {
    "expand_conv": ("expand", 0),
    "expand_bn": ("expand_bn", 0),
    "dwconv": ("depthwise", 0),
    "bn": ("depthwise_bn", 0),
    "se_reduce": ("excite", 0),
    "se_expand": ("excite", 2),
    "project_conv": ("project", 0),
    "project_bn": ("project_bn", 0),
}
_OTHERS = {
    "stem_conv": "stem",
    "stem_bn": "stem_bn",
    "top_conv": "top",
    "top_bn": "top_bn",
    "predictions": "classifier",
}


def convert_efficientnet(source: keras.Model) -> dict[str, np.ndarray]:
    """The weights of an EfficientNet under the names of ours, for `inflate`.

    Its layers that rescale and normalise pixels are left out: ours takes pixels in
    [0, 1] less `IMAGENET_PIXELS["mean"]`, divided by `IMAGENET_PIXELS["std"]`.

    Args:
        source: A model of `keras.applications.efficientnet`, with its top or without.
    """
    arrays = {}
    for layer in source.layers:
        name, first = _own_place(layer.name)
        if name is None:
            continue
        for position, array in enumerate(layer.get_weights(), start=first):
            if array.ndim == 4:  # [h, w, C, filters]
                array = array[0, 0] if name.endswith("excite") else array[None]
            arrays[f"{name}/{position}"] = array
    return arrays


def _own_place(name: str) -> tuple[str | None, int]:
    """Our layer of that name in Keras, and the position of its first weight there."""
    match = re.fullmatch(r"block(\d)([a-z])_(.+)", name)
    if match is None:
        return _OTHERS.get(name), 0
    stage, cell, part = match.groups()
    if part not in _PARTS:
        return None, 0
    part, first = _PARTS[part]
    return f"block{stage}_{ord(cell) - ord('a')}_{part}", first
