"""Networks in mixed_bfloat16."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models import MODEL_NAMES, build_model
from spl_tf.models.layers import ClipConv


@pytest.fixture
def bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_model_trains_in_bfloat16_with_logits_in_float32(name, bfloat16):
    shape = (8, 32, 32, 3)
    model = build_model(
        name, 5, shape, width=1 / 8, depth=0.5, projection_dim=6, weight_decay=0.01
    )
    clip = tf.random.stateless_normal((2, *shape), [0, 0])
    with tf.GradientTape() as tape:
        logits = model(clip, training=True)
        loss = tf.reduce_sum(logits**2) + tf.add_n(model.losses)
    convolutions = [layer for layer in model.layers if isinstance(layer, ClipConv)]
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
    assert logits.dtype == tf.float32
    assert {loss.dtype for loss in model.losses} == {tf.float32}
    gradients = tape.gradient(loss, model.trainable_variables)
    for gradient, variable in zip(gradients, model.trainable_variables, strict=True):
        assert gradient.dtype == tf.float32, variable.path
        assert np.isfinite(gradient).all(), variable.path


def test_bfloat16_gives_about_the_logits_of_float32(randomize, bfloat16):
    shape = (4, 24, 24, 3)
    mixed = randomize(build_model("r3d_tiny_g", 5, shape))
    keras.config.set_dtype_policy("float32")
    full = build_model("r3d_tiny_g", 5, shape)
    full.set_weights(mixed.get_weights())
    clip = tf.random.stateless_normal((3, *shape), [0, 0])
    expected = full(clip)
    error = np.abs(mixed(clip) - expected).max()
    assert 0 < error < 0.02 * np.abs(expected).max()


def test_a_penalty_in_bfloat16_is_the_float32_sum(bfloat16):
    model = build_model("r3d_tiny_g", 5, (4, 16, 16, 3), weight_decay=0.01)
    kernels = [
        layer.kernel.numpy()
        for layer in model.layers
        if isinstance(layer, (ClipConv, keras.layers.Dense))
    ]
    expected = 0.005 * sum(np.sum(np.square(kernel)) for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)
