"""What a network's logits mean: one label of all, or each on its own."""

from __future__ import annotations

import keras
from ml_collections import config_dict


def is_multi_label(config: config_dict.ConfigDict) -> bool:
    """Whether a run's network tells of each label on its own if a clip has it."""
    return config.loss.name == "sigmoid_cross_entropy"


def probabilities_of(logits, multi_label: bool = False) -> keras.KerasTensor:
    """Probabilities from logits, float [..., C], of the same shape and dtype.

    Args:
        logits: float [..., C], of C labels.
        multi_label: Whether labels are on their own; else probabilities add up to 1.
    """
    squash = keras.ops.sigmoid if multi_label else keras.ops.softmax
    return squash(logits)
