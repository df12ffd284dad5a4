"""What every network can do, on one narrow network of each family."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf.analysis.grad_cam import grad_cam
from spl_tf.models import build_model, load_inflated

FAMILIES = (
    *("efficientnet_b4", "ir_csn_152", "r2plus1d_18", "r2plus1d_152"),
    *("s3d", "s3d_g", "slow_only_50"),
)
FLOW = (8, 32, 32, 2)


def narrow(name, shape=FLOW, **options):
    return build_model(name, 5, shape, width=1 / 16, depth=0.1, **options)


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(1)
    return rng.normal(size=(2, *FLOW)).astype(np.float32)


@pytest.mark.parametrize("name", FAMILIES)
def test_flow_is_explained_and_saved_weights_come_back(
    name, clip, randomize, save_by_layer, tmp_path
):
    model = randomize(narrow(name))
    maps = grad_cam(model, clip)
    assert maps.shape == clip.shape[:-1]
    assert np.isfinite(maps).all()
    again = narrow(name)
    path = save_by_layer(tmp_path / "weights.npz", model)
    load_inflated(path, again, keep_head=True)
    np.testing.assert_allclose(again(clip), model(clip), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["efficientnet_b4", "ir_csn_152", "r2plus1d_18", "s3d_g"]
)
def test_the_compiled_network_gives_the_same(name, clip, randomize):
    model = randomize(narrow(name))
    expected = model(clip)
    found = tf.function(model, jit_compile=True)(clip)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=1e-4 * scale)


def test_the_mean_of_features_gives_the_mean_of_the_frames_logits(clip, randomize):
    model = randomize(narrow("resnet_50", (None, *FLOW[1:])))
    frames = clip.reshape(-1, 1, *FLOW[1:])
    expected = model(frames).numpy().reshape(len(clip), FLOW[0], -1).mean(axis=1)
    np.testing.assert_allclose(model(clip), expected, rtol=1e-4, atol=1e-4)


def test_slow_only_starts_from_a_2d_network(randomize, save_by_layer, tmp_path):
    image_model = randomize(narrow("resnet_50"))
    model = narrow("slow_only_50")
    load_inflated(save_by_layer(tmp_path / "weights.npz", image_model), model)
    source = image_model.get_layer("res4_0_a").kernel.numpy()
    kernel = model.get_layer("res4_0_a").kernel.numpy()
    assert kernel.shape[0] == 3
    np.testing.assert_allclose(kernel, np.repeat(source / 3, 3, axis=0), rtol=1e-6)


def test_gates_of_s3d_g_follow_every_convolution_over_time():
    model = narrow("s3d_g")
    gates = {layer.name for layer in model.layers if layer.name.endswith("_gating")}
    temporal = {
        f"{layer.name}_gating"
        for layer in model.layers
        if getattr(layer, "kernel_size", (1,))[0] > 1
    }
    assert gates == temporal
    assert not any(layer.name.endswith("_gating") for layer in narrow("s3d").layers)


def test_middle_channels_keep_the_size_of_the_3d_kernel_or_are_shared():
    shape = (8, 32, 32, 3)
    for shared, expected in ((False, (230, 288)), (True, (230, 230))):
        model = build_model("r2plus1d_18", 5, shape, depth=0.5, shared_middle=shared)
        names = ("res3_0_a_space", "res3_0_b_space")
        assert tuple(model.get_layer(name).filters for name in names) == expected


def test_s3d_averages_neighbouring_frames_before_it_averages_over_time(outputs):
    model = build_model("s3d", 5, (32, 32, 32, 3), width=1 / 16)
    clip = np.random.default_rng(0).normal(size=(1, 32, 32, 32, 3)).astype(np.float32)
    found = outputs(model, clip, "mixed5_1_concat", "features")
    frames = found["mixed5_1_concat"]
    assert frames.shape[1] == 4
    expected = ((frames[:, 1:] + frames[:, :-1]) / 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found["features"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("s3d", {"gating": "stage"}, "gating 'stage'; known are none, temporal"),
        ("s3d", {"last_stage_kernels": (1, 3)}, "s3d has no temporal_kernels to set"),
        ("efficientnet_b4", {"gating": "stage"}, "efficientnet_b4 has no gating"),
        ("r2plus1d_101", {"shared_middle": True}, "not for factorised_bottleneck"),
        ("s3d_g", {"width": 0}, "width is 0"),
        ("efficientnet_b4", {"depth": -1}, "depth is -1"),
    ],
)
def test_settings_that_a_family_has_not_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, 5, FLOW, **options)


def test_epsilon_is_the_original_codes_unless_it_is_set():
    def epsilons(name, **options):
        return {
            layer.epsilon
            for layer in narrow(name, **options).layers
            if isinstance(layer, keras.layers.BatchNormalization)
        }

    assert epsilons("r2plus1d_18") == epsilons("s3d") == {1e-3}
    assert epsilons("r2plus1d_18", batch_norm_epsilon=1e-5) == {1e-5}
    assert epsilons("slow_only_50") == {1e-5}
