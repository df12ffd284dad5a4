"""Against `keras.applications`, another implementation, for the same weights."""

import keras
import numpy as np
import pytest

from spl_tf.models import build_model, build_network
from spl_tf.models.efficientnet import EfficientNetSpec
from spl_tf.models.inflation import inflate, load_inflated
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


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' writer
def test_a_weights_file_of_b4_is_a_start_whatever_the_models_pixels(tmp_path):
    theirs = keras.applications.EfficientNetB4(weights=None, include_top=False)
    rng = np.random.default_rng(0)
    for layer in theirs.layers:
        if not isinstance(layer, keras.layers.Normalization):
            layer.set_weights([draw(rng, weight.shape) for weight in layer.weights])
    path = str(tmp_path / "b4.weights.h5")
    theirs.save_weights(path)
    model = build_model("efficientnet_b4", 5, (1, 64, 64, 3), normalization="symmetric")
    load_inflated(path, model)
    first = keras.Model(theirs.input, theirs.get_layer("stem_bn").output)
    normalised = keras.Model(theirs.get_layer("stem_conv_pad").input, first.output)
    pixels = rng.uniform(size=(2, 64, 64, 3)).astype(np.float32)
    mean, std = (np.float32(IMAGENET_PIXELS[key]) for key in ("mean", "std"))
    expected = normalised((pixels - mean) / std).numpy()
    ours = keras.Model(model.input, model.get_layer("stem_bn").output)
    found = ours(pixels[:, None]).numpy()[:, 0]
    scale = np.abs(expected).max()
    inner = np.s_[:, 1:-1, 1:-1]  # not reached by the padding
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5 * scale)
