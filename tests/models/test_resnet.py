import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models import MODEL_NAMES, build_model
from spl_tf.models.layers import BatchNorm, ClipConv, FeatureGating


def layer_shapes(model):
    return {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}


@pytest.mark.parametrize("frames", [64, 16])
def test_r3d_50_g_has_the_size_and_shapes_of_the_papers_table_7(frames):
    model = build_model("r3d_50_g", 400, (frames, 224, 224, 3))
    assert model.count_params() == 34_719_568
    shapes = layer_shapes(model)
    assert shapes["stem"] == (frames, 112, 112, 64)
    assert shapes["stem_pool"] == (frames, 56, 56, 64)
    for stage, (side, channels) in enumerate(
        [(56, 256), (28, 512), (14, 1024), (7, 2048)], start=2
    ):
        assert shapes[f"res{stage}_gating"] == (frames, side, side, channels)
    assert shapes["features"] == (2048,)
    assert shapes["classifier"] == (400,)


def temporal_kernels(model):
    """Per stage, lengths in time of the cells' first convolutions."""
    return {
        stage: [
            layer.kernel_size[0]
            for layer in model.layers
            if layer.name.startswith(f"res{stage}_") and layer.name.endswith("_a")
        ]
        for stage in (2, 3, 4, 5)
    }


def test_temporal_kernels_are_those_of_the_paper():
    model = build_model("r3d_50_g", 400, (16, 224, 224, 3))
    assert temporal_kernels(model) == {
        2: [3, 3, 3],
        3: [3, 1, 3, 1],
        4: [3, 1, 3, 1, 3, 1],
        5: [3, 1, 3],
    }
    stem = model.get_layer("stem")
    assert (stem.kernel_size, stem.spatial_stride) == ((5, 7, 7), 2)
    strided = {
        layer.name
        for layer in model.layers
        if isinstance(layer, ClipConv) and layer.spatial_stride == 2
    }
    assert strided == {"stem"} | {
        f"res{stage}_0_{part}" for stage in (3, 4, 5) for part in ("b", "shortcut")
    }
    assert all(
        layer.temporal_stride == 1
        for layer in model.layers
        if isinstance(layer, ClipConv)
    )


def test_the_last_stage_may_have_the_kernels_of_nl():
    shape = (16, 64, 64, 3)
    model = build_model(
        "r3d_50_g", 400, shape, width=1 / 16, last_stage_kernels=(1, 3, 1)
    )
    assert temporal_kernels(model)[5] == [1, 3, 1]
    assert temporal_kernels(model)[4] == [3, 1, 3, 1, 3, 1]


CHANNELS = {2: 256, 3: 512, 4: 1024, 5: 2048}
CELLS = {2: 3, 3: 4, 4: 6, 5: 3}


@pytest.mark.parametrize(
    ("gating", "gates"),
    [
        ("none", []),
        ("stage", [(f"res{s}", c) for s, c in CHANNELS.items()]),
        ("branch", [(f"res{s}_{CELLS[s] - 1}_branch", c) for s, c in CHANNELS.items()]),
        (
            "cell",
            [(f"res{s}_{i}", c) for s, c in CHANNELS.items() for i in range(CELLS[s])],
        ),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_gates_stand_where_they_are_asked_for(gating, gates, bias):
    model = build_model(
        "r3d_50_g", 5, (4, 32, 32, 3), width=1 / 8, gating=gating, gating_bias=bias
    )
    found = [layer for layer in model.layers if isinstance(layer, FeatureGating)]
    assert [layer.name for layer in found] == [f"{name}_gating" for name, _ in gates]
    for layer, (_, channels) in zip(found, gates, strict=True):
        shapes = [weight.shape for weight in layer.weights]
        size = channels // 8
        assert shapes == [(size, size), (size,)][: 1 + bias]


@pytest.mark.parametrize(
    ("options", "millions"),
    [({}, 5.57), ({"gating": "branch"}, 5.57), ({"gating": "cell"}, 20.1)],
)
def test_gates_weigh_what_the_paper_s_readings_say(options, millions):
    model = build_model("r3d_50_g", 400, (16, 64, 64, 3), **options)
    gates = model.count_params() - 29_145_168  # of the ungated network
    assert gates / 1e6 == pytest.approx(millions, rel=0.002)


def sigmoid_gate(layer, x):
    kernel, bias = layer.get_weights()
    gate = 1 / (1 + np.exp(-(x.mean(axis=(1, 2, 3)) @ kernel + bias)))
    return x * gate[:, None, None, None, :]


def test_a_gate_on_the_branch_acts_before_the_addition(randomize, outputs):
    model = randomize(build_model("r3d_tiny_g", 5, (4, 16, 16, 3), gating="branch"))
    clip = np.random.default_rng(1).normal(size=(2, 4, 16, 16, 3)).astype(np.float32)
    found = outputs(
        model, clip, "res3_0_b_bn", "res3_0_shortcut_bn", "res3_0_relu", "features"
    )
    branch = sigmoid_gate(model.get_layer("res3_0_branch_gating"), found["res3_0_b_bn"])
    expected = np.maximum(branch + found["res3_0_shortcut_bn"], 0)
    np.testing.assert_allclose(found["res3_0_relu"], expected, atol=1e-5)
    expected = expected.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found["features"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("gating", "gate"), [("stage", "res3_gating"), ("cell", "res3_1_gating")]
)
def test_other_gates_act_on_the_output(gating, gate, randomize, outputs):
    shape = (4, 16, 16, 3)
    model = randomize(build_model("r3d_tiny_g", 5, shape, gating=gating, depth=2))
    clip = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    found = outputs(model, clip, "res3_1_relu", "features")
    expected = sigmoid_gate(model.get_layer(gate), found["res3_1_relu"])
    expected = expected.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found["features"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "frames", "side", "cells", "expansion"),
    [
        ("r3d_18", (16, 8, 4, 2), 112, (2, 2, 2, 2), 1),
        ("resnet_18", (1, 1, 1, 1), 224, (2, 2, 2, 2), 1),
        ("resnet_50", (1, 1, 1, 1), 224, (3, 4, 6, 3), 4),
    ],
)
def test_shapes_of_the_family(name, frames, side, cells, expansion):
    model = build_model(name, 400, (frames[0], side, side, 3))
    shapes = layer_shapes(model)
    for stage in range(4):
        channels = 64 * 2**stage * expansion
        last = f"res{stage + 2}_{cells[stage] - 1}_relu"
        side = 56 // 2**stage
        assert shapes[last] == (frames[stage], side, side, channels)
        assert f"res{stage + 2}_{cells[stage]}_relu" not in shapes


def plain_conv_bn(model, x, name, stride=1):
    """The layers `name` and `name_bn` written out in TensorFlow."""
    kernel = model.get_layer(name).kernel.numpy()
    pads = [(0, 0), *((size // 2, size // 2) for size in kernel.shape[:3]), (0, 0)]
    x = tf.nn.conv3d(tf.pad(x, pads), kernel, (1, 1, stride, stride, 1), "VALID")
    gamma, beta, mean, variance = model.get_layer(f"{name}_bn").get_weights()
    return (x - mean) * (gamma / np.sqrt(variance + 1e-5)) + beta


def test_resnet_18_is_the_2d_network_written_out(randomize, outputs):
    model = randomize(build_model("resnet_18", 5, (2, 50, 41, 3), width=1 / 8))
    clip = np.random.default_rng(1).normal(size=(2, 2, 50, 41, 3)).astype(np.float32)
    x = tf.nn.relu(plain_conv_bn(model, clip, "stem", 2))
    x = tf.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)])
    x = tf.nn.max_pool3d(x, (1, 1, 3, 3, 1), (1, 1, 2, 2, 1), "VALID")
    for stage in (2, 3, 4, 5):
        for cell in (0, 1):
            name, stride = f"res{stage}_{cell}", 2 if stage > 2 and cell == 0 else 1
            branch = tf.nn.relu(plain_conv_bn(model, x, f"{name}_a", stride))
            branch = plain_conv_bn(model, branch, f"{name}_b")
            if stride == 2:
                x = plain_conv_bn(model, x, f"{name}_shortcut", stride)
            x = tf.nn.relu(branch + x)
    expected = tf.reduce_mean(x, axis=(1, 2, 3))
    found = outputs(model, clip, "features")["features"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_only_convolutions_and_the_classifier_are_regularised_by_half_the_decay():
    model = build_model("r3d_tiny_g", 5, (4, 16, 16, 3), weight_decay=0.01)
    kernels = [
        layer.kernel
        for layer in model.layers
        if isinstance(layer, (ClipConv, keras.layers.Dense))
    ]
    expected = 0.005 * sum(float(np.sum(np.square(kernel))) for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)
    assert any(isinstance(layer, FeatureGating) for layer in model.layers)


def test_the_tiny_network_is_the_separable_one_written_out(randomize, outputs):
    model = randomize(build_model("r3d_tiny_g", 5, (4, 24, 17, 3)))
    clip = np.random.default_rng(1).normal(size=(2, 4, 24, 17, 3)).astype(np.float32)
    x = tf.nn.relu(plain_conv_bn(model, clip, "stem", 2))
    for stage in ("res2", "res3"):
        branch = tf.nn.relu(plain_conv_bn(model, x, f"{stage}_0_a", 2))
        branch = plain_conv_bn(model, branch, f"{stage}_0_b")
        x = tf.nn.relu(branch + plain_conv_bn(model, x, f"{stage}_0_shortcut", 2))
        x = sigmoid_gate(model.get_layer(f"{stage}_gating"), x.numpy())
    expected = x.mean(axis=(1, 2, 3))
    found = outputs(model, clip, "features")["features"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert model.get_layer("res3_0_a").kernel_size == (1, 3, 3)
    assert model.get_layer("res3_0_b").kernel_size == (3, 1, 1)


def test_the_tiny_network_s_branches_take_part_from_the_start():
    model = build_model("r3d_tiny_g", 5, (4, 16, 16, 3))
    norms = [layer for layer in model.layers if isinstance(layer, BatchNorm)]
    assert all(np.all(layer.gamma.numpy() == 1.0) for layer in norms)


@pytest.mark.parametrize(
    ("name", "width", "last"), [("r3d_50_g", 1 / 8, "c"), ("resnet_18", 1.0, "b")]
)
def test_a_fresh_cell_hands_its_shortcut_on(name, width, last, outputs):
    model = build_model(name, 5, (4, 32, 32, 3), width=width)
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            zero = layer.name.endswith(f"_{last}_bn")
            assert np.all(layer.gamma.numpy() == (0.0 if zero else 1.0))
    clip = np.random.default_rng(1).normal(size=(1, 4, 32, 32, 3)).astype(np.float32)
    found = outputs(model, clip, "res3_0_shortcut_bn", "res3_0_relu", training=True)
    expected = np.maximum(found["res3_0_shortcut_bn"], 0)
    np.testing.assert_array_equal(found["res3_0_relu"], expected)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_any_clip_length_and_size_gives_logits(name):
    model = build_model(name, 5, (None, None, None, 3), width=1 / 16, depth=0.3)
    for shape in ((2, 8, 32, 32, 3), (1, 9, 33, 50, 3)):
        assert model(tf.zeros(shape)).shape == (shape[0], 5)


def test_every_weight_gets_a_gradient():
    model = build_model("r3d_tiny_g", 5, (4, 16, 16, 3), dropout=0.0)
    clip = tf.random.stateless_normal((3, 4, 16, 16, 3), [0, 0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(clip, training=True)[:, 0] ** 2)
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("num_classes", "input_shape", "options", "message"),
    [
        (0, (4, 16, 16, 3), {}, "num_classes is 0"),
        (5, (4, 16, 3, 3), {}, "4 x 16 x 3 is too small for r3d_tiny_g.* 1 x 8 x 8"),
        (5, (0, 16, 16, 3), {}, "0 x 16 x 16 is too small"),
        (5, (16, 16, 3), {}, r"\(16, 16, 3\), expected \(T, H, W, C\)"),
        (5, (4, 16, 16, None), {}, "with C known"),
        (5, (4, 16, 16, 3), {"gating": "all"}, "known are none, stage, branch, cell"),
        (5, (4, 16, 16, 3), {"projection_dim": -1}, "projection_dim is -1"),
        (5, (4, 16, 16, 3), {"width": 0}, "width is 0, expected a factor above 0"),
        (5, (4, 16, 16, 3), {"depth": -1}, "depth is -1"),
    ],
)
def test_impossible_requests_are_refused(num_classes, input_shape, options, message):
    with pytest.raises(ValueError, match=message):
        build_model("r3d_tiny_g", num_classes, input_shape, **options)


def test_an_input_below_the_stride_of_a_network_is_refused():
    with pytest.raises(ValueError, match="16 x 31 is too small for r3d_50_g"):
        build_model("r3d_50_g", 5, (4, 16, 31, 3))
    with pytest.raises(ValueError, match="7 x 32 x 32 is too small for r3d_18"):
        build_model("r3d_18", 5, (7, 32, 32, 3))
