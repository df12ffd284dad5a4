"""Our networks against outputs of the original PyTorch code, for the same weights."""

import json
import pathlib
import zlib

import keras
import numpy as np
import pytest

from spl_tf.models import feature_model
from spl_tf.models.public_weights import PUBLIC_NETWORKS

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens"
FACTS = {
    name: {"outputs": path.with_suffix(".npz"), **facts}
    for path in sorted(GOLDENS.glob("*.json"))
    for name, facts in json.loads(path.read_text()).items()
}
NETWORKS = {
    "torchvision/r3d_18": ("torchvision", "r3d_18"),
    "torchvision/r2plus1d_18": ("torchvision", "r2plus1d_18"),
    "torchvision/s3d": ("torchvision", "s3d"),
    "torchvision/resnet50": ("torchvision", "resnet50"),
    "torchvision/resnet18": ("torchvision", "resnet18"),
    "ig65m-pytorch/r2plus1d_34": ("ig65m", "r2plus1d_34_8"),
    "pytorchvideo/slow_r50": ("pytorchvideo", "slow_r50"),
    "vmz/r2plus1d_34": ("vmz", "r2plus1d_34"),
    "vmz/r2plus1d_34_shallow": ("vmz", "r2plus1d_34"),
    "vmz/r2plus1d_152": ("vmz", "r2plus1d_152"),
    "vmz/r2plus1d_152_shallow": ("vmz", "r2plus1d_152"),
    "vmz/ir_csn_152": ("vmz", "ir_csn_152"),
    "vmz/ir_csn_152_shallow": ("vmz", "ir_csn_152"),
    "mmaction2/slow_only_50": ("mmaction2", "slow_only_50_4x16"),
    "mmaction2/slow_only_101": ("mmaction2", "slow_only_101_8x8"),
    "mmaction2/tsn_50": ("mmaction2", "tsn_50_3seg"),
}
# Factors on the cells per stage that leave 1, 1, 2 and 1 of them.
DEPTHS = {
    "vmz/r2plus1d_34_shallow": 0.3,
    "vmz/r2plus1d_152_shallow": 0.06,
    "vmz/ir_csn_152_shallow": 0.06,
}
SLOW = {
    "vmz/r2plus1d_34",
    "vmz/r2plus1d_152",
    "vmz/ir_csn_152",
    "mmaction2/slow_only_101",
}


def draw(name, shape):
    """The tensor that the original code was given under that name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if name.endswith(("running_mean", "bias")):
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)
    if len(shape) == 1:
        return rng.uniform(0.6, 1.2, shape).astype(np.float32)
    deviation = np.sqrt(2.0 / np.prod(shape[1:]))
    return (rng.standard_normal(shape) * deviation).astype(np.float32)


def network_input(frames, size):
    rng = np.random.default_rng(7)
    return rng.standard_normal((1, frames, size, size, 3)).astype(np.float32)


def test_every_golden_is_compared():
    assert set(NETWORKS) == set(FACTS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in NETWORKS
    ],
)
def test_features_and_logits_equal_the_original_codes(name):
    facts = FACTS[name]
    tensors = {key: draw(key, tuple(shape)) for key, shape in facts["state"].items()}
    clip = network_input(facts["frames"], facts["size"])
    source, network = NETWORKS[name]
    model, left_out = PUBLIC_NETWORKS[source][network].build(
        tensors, name, clip.shape[1:], depth=DEPTHS.get(name, 1.0)
    )
    assert left_out == []
    trained = sum(np.prod(weight.shape) for weight in model.trainable_variables)
    assert trained == facts["parameters"]
    # At once: running a network of many layers the first time is slow.
    outputs = {"logits": model.output, "features": feature_model(model).output}
    found = keras.Model(model.input, outputs)(clip, training=False)
    with np.load(facts["outputs"]) as goldens:
        for kind, values in found.items():
            expected = goldens[f"{name}/{kind}"]
            scale = np.abs(expected).max()
            np.testing.assert_allclose(values, expected, atol=1e-4 * scale, rtol=0)
