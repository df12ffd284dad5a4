"""Against `keras.applications`, another implementation, for the same weights."""

import keras
import numpy as np
import pytest

from spl_tf.models import build_network
from spl_tf.models.efficientnet import EfficientNetSpec
from spl_tf.models.inflation import inflate
from spl_tf.models.public_weights.keras_applications import convert_efficientnet
from spl_tf.models.public_weights.networks import IMAGENET_PIXELS


@pytest.mark.parametrize("side", [64, 75])
def test_b0_gives_keras_outputs_for_its_weights(side):
    theirs = keras.applications.EfficientNetB0(
        weights=None, classes=5, input_shape=(side, side, 3), classifier_activation=None
    )
    normalization = next(
        layer
        for layer in theirs.layers
        if isinstance(layer, keras.layers.Normalization)
    )
    rng = np.random.default_rng(0)
    for layer in theirs.layers:
        if layer is not normalization:
            layer.set_weights([draw(rng, weight.shape) for weight in layer.weights])
    mean, std = (np.float32(IMAGENET_PIXELS[key]) for key in ("mean", "std"))
    normalization.mean, normalization.variance = mean, std**2
    ours = build_network(EfficientNetSpec(1.0, 1.0), 5, (2, side, side, 3), dropout=0.0)
    inflate(convert_efficientnet(theirs), ours, "keras.applications", keep_head=True)
    pixels = rng.uniform(size=(2, side, side, 3))
    pixels = pixels.astype(np.float32)
    expected = np.mean(theirs(255 * pixels), axis=0)
    found = ours((pixels[None] - mean) / std)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def draw(rng, shape):
    """Random weights; statistics too, none of which vanish."""
    if len(shape) == 1:
        return rng.uniform(0.6, 1.2, shape)
    fan_in = np.prod(shape[:-1]) if shape[-1] > 1 else np.prod(shape[:-2])
    return rng.normal(0, np.sqrt(2 / fan_in), shape)
