import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models import (
    build_model,
    feature_model,
    imagenet_feature_model,
    load_inflated,
    pixel_statistics,
)
from spl_tf.models.inflation import convert_keras_resnet, fold_normalization, inflate

NARROW = {"width": 1 / 16}


def weights_by_layer(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def assert_same_weights(model, before):
    for name, arrays in before.items():
        after = model.get_layer(name).get_weights()
        for old, new in zip(arrays, after, strict=True):
            np.testing.assert_array_equal(old, new, err_msg=name)


@pytest.fixture
def image_run(tmp_path, randomize, save_by_layer):
    """A narrow 2D ResNet-50 and the file of its weights."""
    model = randomize(build_model("resnet_50", 5, (None, 40, 33, 3), **NARROW))
    return model, save_by_layer(tmp_path / "weights.npz", model)


def test_kernels_become_averages_of_copies_along_time(image_run):
    image_model, path = image_run
    model = build_model("r3d_50_g", 7, (4, 32, 32, 3), **NARROW)
    before = weights_by_layer(model)
    load_inflated(path, model)
    source = weights_by_layer(image_model)
    for name, arrays in weights_by_layer(model).items():
        if name == "classifier" or name.endswith("gating"):
            expected = before[name]  # another number of classes; no gates in 2D
        elif arrays[0].ndim == 5:
            length = model.get_layer(name).kernel_size[0]
            expected = [np.concatenate([source[name][0] / length] * length)]
        else:
            expected = source[name]
        for value, array in zip(expected, arrays, strict=True):
            np.testing.assert_allclose(array, value, rtol=1e-6, err_msg=name)
    assert model.get_layer("stem").kernel_size[0] == 5


def test_identical_frames_give_the_2d_features_away_from_the_temporal_border(
    image_run, outputs
):
    image_model, path = image_run
    model = build_model("r3d_50", 5, (27, 40, 33, 3), **NARROW)
    load_inflated(path, model)
    image = np.random.default_rng(1).normal(size=(2, 1, 40, 33, 3)).astype(np.float32)
    last = "res5_2_relu"
    expected = outputs(image_model, image, last)[last]
    found = outputs(model, np.repeat(image, 27, axis=1), last)[last]
    scale = np.abs(expected).max()
    # 2 frames each side by the stem, 1 by each of 3 + 2 + 3 + 2 kernels.
    np.testing.assert_allclose(
        found[:, 12:15], np.repeat(expected, 3, 1), atol=1e-5 * scale
    )
    assert np.abs(found[:, 0] - expected[:, 0]).max() > 0.01 * scale


def test_a_stem_for_flow_gets_the_mean_over_rgb_in_each_channel(image_run, outputs):
    image_model, path = image_run
    model = build_model("r3d_50", 5, (4, 32, 32, 2), **NARROW)
    load_inflated(path, model)
    (kernel,) = weights_by_layer(image_model)["stem"]
    found = model.get_layer("stem").kernel.numpy()
    assert found.shape == (5, 7, 7, 2, 4)
    expected = np.mean([kernel[0, :, :, c] for c in range(3)], axis=0) / 5
    for length in range(5):
        for channel in range(2):
            np.testing.assert_allclose(
                found[length, :, :, channel], expected, rtol=1e-5, atol=1e-7
            )


def test_basic_cells_are_inflated_too(tmp_path, randomize, save_by_layer, outputs):
    image_model = randomize(build_model("resnet_18", 5, (1, 32, 32, 3), **NARROW))
    path = save_by_layer(tmp_path / "weights.npz", image_model)
    model = build_model("r3d_18", 5, (16, 32, 32, 3), **NARROW)
    load_inflated(path, model, keep_head=True)
    image = np.random.default_rng(1).normal(size=(1, 1, 32, 32, 3)).astype(np.float32)
    # Before the pool, which only the 2D network has.
    expected = outputs(image_model, image, "stem_relu")["stem_relu"]
    found = outputs(model, np.repeat(image, 16, axis=1), "stem_relu")["stem_relu"]
    np.testing.assert_allclose(found[:, 8:9], expected, atol=1e-5)
    source = image_model.get_layer("res5_1_b").kernel.numpy()
    kernel = model.get_layer("res5_1_b").kernel.numpy()
    np.testing.assert_allclose(kernel, np.repeat(source / 3, 3, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(
        model.get_layer("classifier").kernel, image_model.get_layer("classifier").kernel
    )


def test_every_mismatch_is_named_and_nothing_is_loaded(image_run):
    _, path = image_run
    model = build_model("r3d_50_g", 5, (4, 32, 32, 3), width=1 / 8, depth=0.7)
    before = weights_by_layer(model)
    with pytest.raises(ValueError, match="does not fit r3d_50_g") as caught:
        load_inflated(path, model)
    message = str(caught.value)
    assert path in message
    assert "stem/0 is (1, 7, 7, 3, 4), expected (5, 7, 7, 3, 8)" in message
    assert "stem_bn/3 is (4,), expected (8,)" in message
    assert "res5_1_c/0 is (1, 1, 1, 32, 128), expected (1, 1, 1, 64, 256)" in message
    assert "res5_2_a has no counterpart" in message
    assert "classifier" not in message
    assert "gating" not in message
    assert_same_weights(model, before)


def test_absent_weights_are_named(image_run):
    _, path = image_run
    model = build_model("r3d_50", 5, (4, 32, 32, 3), width=1 / 16, depth=1.34)
    with pytest.raises(ValueError, match=r"res2_3_a/0 is absent, expected \(3, 1, 1"):
        load_inflated(path, model)


def test_a_head_that_does_not_fit_is_named_where_it_is_wanted(image_run):
    _, path = image_run
    model = build_model("r3d_50", 7, (4, 32, 32, 3), **NARROW)
    with pytest.raises(ValueError, match=r"classifier/1 is \(5,\), expected \(7,\)"):
        load_inflated(path, model, keep_head=True)


def test_other_sources_are_refused(tmp_path):
    model = build_model("resnet_18", 5, (1, 32, 32, 3), **NARROW)
    with pytest.raises(FileNotFoundError, match=r"nothing.npz does not"):
        load_inflated(str(tmp_path / "nothing.npz"), model)
    other = tmp_path / "weights.ckpt"
    other.write_bytes(b"?")
    with pytest.raises(ValueError, match=r"cannot inflate .*weights.ckpt, expected"):
        load_inflated(str(other), model)
    broken = tmp_path / "broken.weights.h5"
    broken.write_bytes(b"?")
    with pytest.raises(ValueError, match=r"broken.weights.h5 does not hold"):
        load_inflated(str(broken), model)


@pytest.fixture(scope="module")
def keras_resnet(randomize):
    """`keras.applications.ResNet50` with random weights, biases and statistics."""
    network = keras.applications.ResNet50(
        include_top=False, weights=None, pooling="avg"
    )
    return randomize(network, seed=3)


def with_stride_on_3x3(network):
    """The same network with the stride of a stage where `resnet_50` has it."""

    def change(layer):
        config = layer.get_config()
        for stage in (3, 4, 5):
            if layer.name == f"conv{stage}_block1_1_conv":
                config["strides"] = (1, 1)
            elif layer.name == f"conv{stage}_block1_2_conv":
                config["strides"] = (2, 2)
        return type(layer).from_config(config)

    changed = keras.models.clone_model(network, clone_function=change)
    changed.set_weights(network.get_weights())
    return changed


def test_a_converted_keras_resnet_is_that_network_with_its_stride_moved(keras_resnet):
    reference = with_stride_on_3x3(keras_resnet)
    model = build_model("resnet_50", 5, (3, 33, 33, 3))
    inflate(convert_keras_resnet(keras_resnet), model, "keras")
    # At 33 pixels every strided layer sees an odd size, where SAME is symmetric.
    clip = np.random.default_rng(1).normal(size=(2, 3, 33, 33, 3)).astype(np.float32)
    frames = reference(clip[..., ::-1].reshape(6, 33, 33, 3)).numpy()
    expected = frames.reshape(2, 3, -1).mean(axis=1)
    found = feature_model(model)(clip)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_converted_keras_resnet_is_that_network_up_to_its_first_stride(
    keras_resnet, outputs
):
    model = build_model("resnet_50", 5, (1, 64, 48, 3))
    inflate(convert_keras_resnet(keras_resnet), model, "keras")
    image = np.random.default_rng(1).normal(size=(2, 64, 48, 3)).astype(np.float32)
    last = "conv2_block3_out"
    expected = outputs(keras_resnet, image[..., ::-1], last)[last]
    found = outputs(model, image[:, None], "res2_2_relu")["res2_2_relu"][:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_the_stem_takes_pixels_as_this_project_has_them(keras_resnet, outputs):
    model = build_model("resnet_50", 5, (1, 64, 48, 3))
    inflate(
        fold_normalization(
            convert_keras_resnet(keras_resnet), *pixel_statistics("symmetric")
        ),
        model,
        "keras",
    )
    image = np.random.default_rng(1).uniform(0, 255, (2, 64, 48, 3))
    pixels = keras.applications.resnet.preprocess_input(image.copy())
    expected = outputs(keras_resnet, pixels, "conv1_bn")["conv1_bn"]
    clip = (image / 127.5 - 1).astype(np.float32)[:, None]
    found = outputs(model, clip, "stem_bn")["stem_bn"][:, 0]
    scale = np.abs(expected).max()
    inner = np.s_[:, 2:-2, 2:-2]  # not reached by the padding
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5 * scale)
    assert np.abs(found - expected).max() < 0.2 * scale


@pytest.mark.parametrize("channels", [3, 2])
def test_the_stem_takes_pixels_as_the_model_normalises_them(
    keras_resnet, outputs, channels
):
    statistics = ((0.4, 0.5, 0.3)[:channels], (0.2, 0.25, 0.3)[:channels])
    shape = (1, 64, 48, channels)
    model = build_model("resnet_50", 5, shape, normalization=statistics)
    arrays = convert_keras_resnet(keras_resnet)
    inflate(fold_normalization(arrays, *statistics, channels), model, "keras")
    image = np.random.default_rng(1).uniform(0, 255, (2, 64, 48, channels))
    # Of other channels, as if each third of the mean were an image of its own.
    rgb = image if channels == 3 else image.sum(axis=-1, keepdims=True) / 3 + [0] * 3
    pixels = keras.applications.resnet.preprocess_input(rgb.copy())
    if channels == 2:
        pixels += np.array([103.939, 116.779, 123.68]) - 2 * 114.79933 / 3
    expected = outputs(keras_resnet, pixels, "conv1_bn")["conv1_bn"]
    clip = (image / 255).astype(np.float32)[:, None]
    found = outputs(model, clip, "stem_bn")["stem_bn"][:, 0]
    inner = np.s_[:, 2:-2, 2:-2]  # not reached by the padding
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5 * scale)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' writer
@pytest.mark.parametrize("include_top", [True, False])
def test_a_weights_file_of_the_keras_network_is_loaded(
    keras_resnet, include_top, tmp_path
):
    source = keras_resnet
    if include_top:
        source = keras.applications.ResNet50(weights=None, classes=7)
        source.set_weights(
            [*keras_resnet.get_weights(), np.ones((2048, 7)), np.ones(7)]
        )
    path = str(tmp_path / "resnet.weights.h5")
    source.save_weights(path)
    model = build_model("resnet_50", 7, (1, 32, 32, 3))
    load_inflated(path, model)
    expected = fold_normalization(
        convert_keras_resnet(keras_resnet), *pixel_statistics("symmetric")
    )
    found = {
        f"{name}/{position}": array
        for name, arrays in weights_by_layer(model).items()
        for position, array in enumerate(arrays)
        if name != "classifier"
    }
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' writer
def test_features_of_a_frame_are_those_of_the_keras_network(keras_resnet, tmp_path):
    path = str(tmp_path / "resnet.weights.h5")
    keras_resnet.save_weights(path)
    image = np.random.default_rng(2).uniform(0, 255, (2, 64, 48, 3))
    pixels = keras.applications.resnet.preprocess_input(image.copy())
    expected = keras_resnet(pixels.astype(np.float32)).numpy()
    clip = (image / 255).astype(np.float32)[:, None]
    found = imagenet_feature_model(path)(clip)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(FileNotFoundError, match=r"none\.weights\.h5 does not exist"):
        imagenet_feature_model(str(tmp_path / "none.weights.h5"))


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' writer
def test_a_weights_file_of_another_network_is_refused(tmp_path):
    path = str(tmp_path / "other.weights.h5")
    inputs = keras.Input((8, 8, 3))
    network = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    network.save_weights(path)
    model = build_model("r3d_50_g", 5, (4, 32, 32, 3), **NARROW)
    before = weights_by_layer(model)
    with pytest.raises(ValueError, match=r"other.weights.h5 does not hold"):
        load_inflated(path, model)
    assert_same_weights(model, before)


def test_inflated_weights_train_in_a_strategy_scope(image_run):
    _, path = image_run
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = build_model("r3d_50_g", 5, (4, 32, 32, 3), **NARROW)
        load_inflated(path, model)
    assert np.isfinite(model(tf.zeros((1, 4, 32, 32, 3)))).all()
