import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models import MODEL_NAMES, build_model
from spl_tf.models.layers import BatchNorm, ClipConv, FeatureGating


def layer_shapes(model):
    return {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}


def test_r3d_50_g_has_the_size_and_shapes_of_the_papers_table_7():
    model = build_model("r3d_50_g", 400, (64, 224, 224, 3))
    assert model.count_params() == 34_719_568
    shapes = layer_shapes(model)
    assert shapes["stem"] == (64, 112, 112, 64)
    assert shapes["stem_pool"] == (64, 56, 56, 64)
    for stage, (side, channels) in enumerate(
        [(56, 256), (28, 512), (14, 1024), (7, 2048)], start=2
    ):
        assert shapes[f"res{stage}_gating"] == (64, side, side, channels)
    assert shapes["features"] == (2048,)
    assert shapes["classifier"] == (400,)


def test_temporal_kernels_are_those_of_the_paper():
    model = build_model("r3d_50_g", 400, (16, 224, 224, 3))
    lengths = {
        stage: [
            layer.kernel_size[0]
            for layer in model.layers
            if layer.name.startswith(f"res{stage}_") and layer.name.endswith("_a")
        ]
        for stage in (2, 3, 4, 5)
    }
    assert lengths == {
        2: [3, 3, 3],
        3: [3, 1, 3, 1],
        4: [3, 1, 3, 1, 3, 1],
        5: [3, 1, 3],
    }
    stem = model.get_layer("stem")
    assert (stem.kernel_size, stem.spatial_stride) == ((5, 7, 7), 2)
    strided = [
        layer.name
        for layer in model.layers
        if isinstance(layer, ClipConv) and layer.spatial_stride == 2
    ]
    assert {n for n in strided if n.endswith("_b")} == {
        "res3_0_b",
        "res4_0_b",
        "res5_0_b",
    }


def test_without_gates_only_the_gates_are_missing():
    gated = build_model("r3d_50_g", 400, (16, 64, 64, 3))
    plain = build_model("r3d_50", 400, (16, 64, 64, 3))
    gates = sum(c * c + c for c in (256, 512, 1024, 2048))
    assert gated.count_params() - plain.count_params() == gates


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


def test_a_fresh_cell_hands_its_shortcut_on():
    model = build_model("r3d_tiny_g", 5, (4, 16, 16, 3))
    last = [
        layer
        for layer in model.layers
        if isinstance(layer, BatchNorm) and layer.name.endswith("_c_bn")
    ]
    assert len(last) == 2
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            zero = layer.name.endswith("_c_bn")
            assert np.all(layer.gamma.numpy() == (0.0 if zero else 1.0))


def test_any_clip_length_and_size_gives_logits():
    model = build_model("r3d_tiny_g", 5, (None, None, None, 3))
    for shape in ((2, 4, 16, 16, 3), (1, 7, 20, 33, 3)):
        assert model(tf.zeros(shape)).shape == (shape[0], 5)


def test_every_weight_gets_a_gradient():
    model = build_model("r3d_tiny_g", 5, (4, 16, 16, 3), dropout=0.0)
    for layer in model.layers:  # zero gammas would stop gradients of their branch
        if isinstance(layer, BatchNorm):
            layer.gamma.assign(tf.ones_like(layer.gamma))
    clip = tf.random.stateless_normal((3, 4, 16, 16, 3), [0, 0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(clip, training=True)[:, 0] ** 2)
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert np.isfinite(gradient).all()


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match=f"known are {', '.join(MODEL_NAMES)}"):
        build_model("r3d_51", 5, (4, 16, 16, 3))
    with pytest.raises(ValueError, match="num_classes is 0"):
        build_model("r3d_tiny_g", 0, (4, 16, 16, 3))
    with pytest.raises(ValueError, match="16 x 31 is too small for r3d_50_g"):
        build_model("r3d_50_g", 5, (4, 16, 31, 3))
