"""Training steps that compute activations twice."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models import build_model

SHAPE = (8, 32, 32, 3)


def train_step(model, clip):
    """Logits, loss and gradients of a step, which also moves the statistics."""
    with tf.GradientTape() as tape:
        logits = model(clip, training=True)
        loss = tf.reduce_sum(logits**2) + tf.add_n(model.losses)
    return logits, loss, tape.gradient(loss, model.trainable_variables)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("r3d_tiny_g", {"jit_compile": True}),
        ("r3d_tiny_g", {"jit_compile": False}),
        ("r2plus1d_18", None),
        ("efficientnet_b4", None),  # drops cells
    ],
)
def test_a_recomputed_step_is_the_plain_one(name, mode):
    clip = tf.random.stateless_normal((3, *SHAPE), [0, 0])
    models = []
    for recompute in (False, True):
        keras.utils.set_random_seed(1)
        options = {"width": 1 / 8, "depth": 0.3, "weight_decay": 0.01}
        models.append(build_model(name, 5, SHAPE, recompute=recompute, **options))
    plain, recomputing = models
    assert [layer.name for layer in recomputing.layers] == [
        layer.name for layer in plain.layers
    ]
    np.testing.assert_allclose(recomputing(clip), plain(clip), atol=1e-6)
    step = train_step if mode is None else tf.function(train_step, **mode)
    expected, found = (tf.nest.flatten(step(model, clip)) for model in models)
    for value, other in zip(expected, found, strict=True):
        scale = max(1e-3, np.abs(value).max())
        np.testing.assert_allclose(other, value, atol=1e-3 * scale)
    for ours, theirs in zip(recomputing.weights, plain.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_recomputing_model_works_in_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        options = {"weight_decay": 0.01, "recompute": True}
        model = build_model("r3d_tiny_g", 5, SHAPE, **options)
    finally:
        keras.config.set_dtype_policy("float32")
    logits, _, gradients = train_step(model, tf.ones((2, *SHAPE)))
    assert logits.dtype == tf.float32
    assert model.get_layer("res2_0_a").compute_dtype == "bfloat16"
    assert {gradient.dtype for gradient in gradients} == {tf.float32}
    variance = model.get_layer("stem_bn").moving_variance.numpy()
    # Not rounded to the seven bits of bfloat16.
    assert (
        (variance != tf.cast(tf.cast(variance, tf.bfloat16), tf.float32)).numpy().any()
    )


_PEAK = """
import resource
import sys
import tensorflow as tf
from spl_tf.models import build_model

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

shape = (16, 112, 112, 3)
model = build_model("r2plus1d_18", 5, shape, width=0.5, recompute=sys.argv[1] == "1")
before = peak()
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(model(tf.zeros((2, *shape)), training=True) ** 2)
tape.gradient(loss, model.trainable_variables)
print((peak() - before) / 1024)
"""


@pytest.mark.slow
def test_a_recomputed_step_needs_less_memory():
    peaks = []
    for recompute in "01":
        command = [sys.executable, "-c", _PEAK, recompute]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout))
    assert peaks[1] < 0.65 * peaks[0], peaks
