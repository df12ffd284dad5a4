"""The losses under another Keras backend."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from spl_tf.losses import (
    DataParameters,
    anchor_loss,
    forward_correction,
    softmax_cross_entropy,
)

_ON_JAX = """
import sys
import jax
import keras
import numpy as np
from spl_tf.losses import DataParameters, anchor_loss, softmax_cross_entropy
from spl_tf.losses import forward_correction

assert keras.backend.backend() == "jax"
data = np.load(sys.argv[1])
labels, logits, instances = data["labels"], data["logits"], data["instances"]
parameters = DataParameters("joint", 4, 9)
for _ in range(2):
    parameters.update(labels, logits, instances)


@jax.jit
def third_update(values):
    mapping = list(zip(parameters.variables, values))
    with keras.StatelessScope(state_mapping=mapping) as scope:
        parameters.update(labels, logits, instances)
    return [scope.get_current_value(variable) for variable in parameters.variables]


values = third_update([variable.value for variable in parameters.variables])
parameters.set_weights(values)
anchored = lambda z: anchor_loss(labels, z, epoch=5)
np.savez(
    sys.argv[2],
    soft=softmax_cross_entropy(data["rows"], logits, 0.1),
    anchored=jax.jit(anchored)(logits),
    gradient=jax.jit(jax.grad(lambda z: anchored(z).sum()))(logits),
    softmax_form=jax.jit(
        lambda z: anchor_loss(labels, z, form="softmax", warm_up_epochs=0)
    )(logits),
    out_of_range=jax.jit(softmax_cross_entropy)(labels + 1, logits),
    corrected=jax.jit(forward_correction)(labels, logits, data["transition"]),
    scaled=jax.jit(parameters)(labels, logits, instances),
    logarithm=parameters.instances.logarithm.numpy(),
)
try:
    softmax_cross_entropy(labels + 1, logits)
except ValueError as error:
    assert "label 4 at position 1" in str(error)
else:
    raise AssertionError("a label out of range passed")
"""


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs jax")
def test_losses_on_jax_are_those_on_tensorflow(tmp_path):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    labels = np.array([0, 3, 2, 1, 0], np.int32)
    logits = rng.normal(scale=3, size=(5, 4)).astype(np.float32)
    rows = rng.dirichlet(np.ones(4), 5).astype(np.float32)
    instances = np.array([8, 0, 3, 4, 1], np.int32)
    transition = rng.dirichlet(np.ones(4), 4).astype(np.float32)
    np.savez(
        tmp_path / "in.npz",
        labels=labels,
        logits=logits,
        rows=rows,
        instances=instances,
        transition=transition,
    )
    done = subprocess.run(
        [sys.executable, "-c", _ON_JAX, tmp_path / "in.npz", tmp_path / "out.npz"],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    parameters = DataParameters("joint", 4, 9)
    for _ in range(3):
        parameters.update(labels, logits, instances)
    z = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        anchored = anchor_loss(labels, z, epoch=5)
    expected = {
        "soft": softmax_cross_entropy(rows, logits, 0.1),
        "anchored": anchored,
        "gradient": tape.gradient(anchored, z),
        "softmax_form": anchor_loss(labels, z, form="softmax", warm_up_epochs=0),
        "corrected": forward_correction(labels, logits, transition),
        "scaled": parameters(labels, logits, instances),
        "logarithm": parameters.instances.logarithm,
    }
    with np.load(tmp_path / "out.npz") as found:
        for name, value in expected.items():
            np.testing.assert_allclose(
                found[name], value, rtol=1e-4, atol=1e-5, err_msg=name
            )
        out_of_range = np.isnan(found["out_of_range"]).tolist()
    assert out_of_range == [False, True, False, False, False]
