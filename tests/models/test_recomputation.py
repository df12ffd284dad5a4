"""Training steps that compute activations twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models import build_model

SHAPE = (8, 32, 32, 3)
NARROW = {"width": 1 / 8, "depth": 0.3, "weight_decay": 0.01}


def train_step(model, clip, jit_compile):
    """Logits, loss and gradients of a step, which also moves the statistics."""

    @tf.function(jit_compile=jit_compile)
    def step():
        keras.utils.set_random_seed(1)
        with tf.GradientTape() as tape:
            logits = model(clip, training=True)
            loss = tf.reduce_sum(logits**2) + tf.add_n(model.losses)
        return logits, loss, tape.gradient(loss, model.trainable_variables)

    return step()


@pytest.mark.parametrize("name", ["r2plus1d_18", "s3d_g", "efficientnet_b4"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_recomputed_step_is_the_plain_one(name, jit_compile, randomize):
    clip = tf.random.stateless_normal((3, *SHAPE), [0, 0])
    models = []
    for recompute in (False, True):
        keras.utils.set_random_seed(1)
        model = build_model(name, 5, SHAPE, recompute=recompute, **NARROW)
        models.append(model)
    plain, recomputing = models
    assert [layer.name for layer in recomputing.layers] == [
        layer.name for layer in plain.layers
    ]
    recomputing.set_weights(plain.get_weights())
    np.testing.assert_allclose(recomputing(clip), plain(clip), atol=1e-6)
    expected, found = (train_step(model, clip, jit_compile) for model in models)
    for value, other in zip(*map(tf.nest.flatten, (expected, found)), strict=True):
        scale = max(1e-3, np.abs(value).max())
        np.testing.assert_allclose(other, value, atol=1e-3 * scale)
    for ours, theirs in zip(recomputing.weights, plain.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=ours.path)


def test_a_recomputed_step_needs_less_memory():
    """By XLA's own account of temporary memory."""
    peaks = []
    for recompute in (False, True):
        model = build_model("r2plus1d_34", 5, SHAPE, width=1 / 8, recompute=recompute)
        clip = tf.zeros((4, *SHAPE))

        @tf.function(jit_compile=True)
        def step(clip, model=model):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(model(clip, training=True) ** 2)
            return tape.gradient(loss, model.trainable_variables)

        text = step.experimental_get_compiler_ir(clip)(stage="optimized_hlo")
        peaks.append(len(text))
    assert peaks[1] < 0.7 * peaks[0]
