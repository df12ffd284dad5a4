import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models import HEAD_LAYERS, build_model, feature_model, load_inflated
from tests import warm_python

SHAPE = (4, 16, 16, 3)


@pytest.fixture
def clip():
    return tf.random.stateless_normal((3, *SHAPE), [0, 1])


def test_the_projection_is_linear_and_comes_before_the_classifier(
    randomize, outputs, clip
):
    model = randomize(build_model("r3d_tiny_g", 5, SHAPE, projection_dim=7))
    found = outputs(model, clip, "features", "projection", "classifier")
    for name, source in (("projection", "features"), ("classifier", "projection")):
        kernel, bias = model.get_layer(name).get_weights()
        expected = found[source] @ kernel + bias
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-5)
    assert found["projection"].shape == (3, 7)
    assert (found["projection"] < 0).any()


def test_dropout_falls_on_the_pooled_features(clip):
    model = build_model("r3d_tiny_g", 5, SHAPE, dropout=0.5, projection_dim=7)
    features = model.get_layer("dropout")(tf.ones((40, 48)), training=True).numpy()
    assert set(np.unique(features)) == {0.0, 2.0}
    assert 0.4 < np.mean(features == 0) < 0.6
    assert model.get_layer("dropout").output.shape == (None, 48)
    np.testing.assert_array_equal(model(clip), model(clip))


def test_the_kernels_of_the_head_are_penalised():
    shape = (4, 16, 16, 3)
    without = build_model("r3d_tiny_g", 5, shape, weight_decay=0.1)
    model = build_model("r3d_tiny_g", 5, shape, weight_decay=0.1, projection_dim=7)
    assert len(model.losses) == len(without.losses) + 1
    kernel = model.get_layer("projection").kernel.numpy()
    penalty = 0.05 * np.sum(kernel**2)
    assert any(float(loss) == pytest.approx(penalty) for loss in model.losses)


def test_features_are_the_mean_of_the_last_stage_and_share_its_weights(
    randomize, outputs, clip
):
    model = build_model("r3d_tiny_g", 5, SHAPE)
    features = feature_model(model)
    randomize(model)
    found = features(clip)
    expected = outputs(model, clip, "res3_gating")["res3_gating"].mean(axis=(1, 2, 3))
    assert found.shape == (3, 48)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pooled_features_are_float32_in_mixed_precision(clip):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        features = feature_model(build_model("r3d_tiny_g", 5, SHAPE))
    finally:
        keras.config.set_dtype_policy("float32")
    assert features(clip).dtype == tf.float32


def test_the_head_of_pre_training_is_left_behind(
    randomize, save_by_layer, tmp_path, clip
):
    pretrained = randomize(build_model("r3d_tiny_g", 9, SHAPE, projection_dim=7))
    path = save_by_layer(tmp_path / "weights.npz", pretrained)
    for projection_dim in (0, 7):
        model = build_model("r3d_tiny_g", 5, SHAPE, projection_dim=projection_dim)
        head = [layer for layer in model.layers if layer.name in HEAD_LAYERS]
        assert len(head) == (2 if projection_dim else 1)
        before = [array for layer in head for array in layer.get_weights()]
        load_inflated(path, model)
        after = [array for layer in head for array in layer.get_weights()]
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old, new)
        expected = feature_model(pretrained)(clip)
        np.testing.assert_array_equal(feature_model(model)(clip), expected)


_MASKS_OF_TWO_REPLICAS = """
import keras
import tensorflow as tf
from spl_tf.models.layers import ReplicaDropout

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
keras.utils.set_random_seed(1)
with strategy.scope():
    layer = ReplicaDropout(0.5)
drop = tf.function(lambda: layer(tf.ones(200), training=True))
steps = [strategy.experimental_local_results(strategy.run(drop)) for _ in range(2)]
masks = {mask.numpy().tobytes() for step in steps for mask in step}
assert len(masks) == 4, len(masks)
keras.utils.set_random_seed(1)
first = ReplicaDropout(0.5)(tf.ones(200), training=True).numpy()
assert (first == steps[0][0].numpy()).all()
"""


def test_every_replica_and_step_has_dropout_masks_of_its_own():
    done = warm_python.run("-c", _MASKS_OF_TWO_REPLICAS)
    assert done.returncode == 0, done.stderr
