"""The networks under another Keras backend."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models import build_model

_ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling is most of the work
}
# Weights and clip of each model come in one file, its results go into another.
_ON_JAX = """
import sys
import jax
import keras
import numpy as np
from spl_tf.models import build_model

assert keras.backend.backend() == "jax"
for name in sys.argv[1:-1]:
    data = np.load(f"{sys.argv[-1]}/{name}.npz")
    clip = data["clip"]
    model = build_model(
        name, 5, clip.shape[1:], dropout=0.0, width=0.25, depth=0.5, projection_dim=6
    )
    model.set_weights([data[f"weight{i}"] for i in range(len(model.weights))])
    trained = [variable.value for variable in model.trainable_variables]
    fixed = [variable.value for variable in model.non_trainable_variables]

    def loss(trained):
        logits, fixed_after = model.stateless_call(trained, fixed, clip, training=True)
        return (logits[:, 0] ** 2).sum(), (logits, fixed_after)

    gradients, (logits, statistics) = jax.jit(jax.grad(loss, has_aux=True))(trained)
    arrays = {f"gradient{i}": value for i, value in enumerate(gradients)}
    arrays |= {f"statistic{i}": value for i, value in enumerate(statistics)}
    inference, _ = jax.jit(model.stateless_call)(trained, fixed, clip)
    target = f"{sys.argv[-1]}/{name}_on_jax.npz"
    np.savez(target, logits=logits, inference=inference, **arrays)
"""


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs jax")
def test_forward_and_gradient_on_jax_are_those_on_tensorflow(tmp_path, randomize):
    clip = np.random.default_rng(1).normal(size=(3, 4, 32, 32, 3)).astype(np.float32)
    models = {
        name: randomize(
            build_model(
                name,
                5,
                clip.shape[1:],
                dropout=0.0,
                width=0.25,
                depth=0.5,
                projection_dim=6,
            )
        )
        for name in ("r3d_tiny_g", "resnet_18")
    }
    for name, model in models.items():
        weights = {f"weight{i}": array for i, array in enumerate(model.get_weights())}
        np.savez(tmp_path / f"{name}.npz", clip=clip, **weights)
    done = run_on_jax(_ON_JAX, *models, tmp_path)
    assert done.returncode == 0, done.stderr
    for name, model in models.items():
        expected = results_on_tensorflow(model, clip)
        with np.load(tmp_path / f"{name}_on_jax.npz") as found:
            assert set(found.files) == set(expected)
            for key, value in expected.items():
                scale = max(1e-6, np.abs(value).max())
                np.testing.assert_allclose(
                    found[key], value, atol=1e-3 * scale, err_msg=f"{name} {key}"
                )


# Layers that only some families have; the code runs on both backends.
_LAYERS = """
import keras
import numpy as np
from spl_tf.models.layers import ClipConv, DepthwiseClipConv
from spl_tf.models.pooling import EndsHalved, MaxPool, SqueezeExcite

def outputs():
    rng = np.random.default_rng(1)
    clip = rng.normal(size=(2, 5, 6, 7, 3)).astype(np.float32)
    layers = {
        "depthwise": DepthwiseClipConv((3, 3, 3), 2, 2),
        "over_time": ClipConv(4, (3, 1, 1), temporal_stride=2),
        "asymmetric": ClipConv(4, (1, 5, 5), 2, symmetric=False),
        "pool": MaxPool((3, 3, 3), (2, 2, 2)),
        "even_pool": MaxPool((2, 2, 2), (2, 2, 2)),
        "ends": EndsHalved(),
        "excite": SqueezeExcite(2),
    }
    results = {}
    for name, layer in layers.items():
        layer.build(clip.shape)
        layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
        results[name] = np.asarray(layer(clip))
    return results
"""
_SAVED = """
import sys
assert keras.backend.backend() == "jax"
np.savez(sys.argv[1], **outputs())
"""


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs jax")
def test_layers_of_single_families_give_the_same_on_jax(tmp_path):
    done = run_on_jax(_LAYERS + _SAVED, tmp_path / "on_jax.npz")
    assert done.returncode == 0, done.stderr
    here = {}
    exec(_LAYERS, here)
    with np.load(tmp_path / "on_jax.npz") as found:
        for name, expected in here["outputs"]().items():
            np.testing.assert_allclose(found[name], expected, atol=1e-4, err_msg=name)


def run_on_jax(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | _ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
    )


def results_on_tensorflow(model, clip):
    results = {"inference": model(clip, training=False)}
    with tf.GradientTape() as tape:
        logits = model(clip, training=True)
        loss = tf.reduce_sum(logits[:, 0] ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    statistics = [variable.numpy() for variable in model.non_trainable_variables]
    results["logits"] = logits
    results |= {f"gradient{i}": value for i, value in enumerate(gradients)}
    results |= {f"statistic{i}": value for i, value in enumerate(statistics)}
    return results
