import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models.layers import (
    BatchNorm,
    ClipConv,
    DepthwiseClipConv,
    FeatureGating,
)


@pytest.fixture
def clip():
    return np.random.default_rng(0).normal(size=(2, 4, 7, 8, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [
        ((1, 1, 1), 1),
        ((1, 1, 1), 2),
        ((1, 3, 3), 1),
        ((1, 3, 3), 2),
        ((3, 1, 1), 1),
        ((3, 3, 3), 1),
        ((3, 5, 5), 2),
        ((5, 7, 7), 2),
        ((13, 3, 3), 2),  # too many shifted channels: a 3D convolution
    ],
)
def test_every_path_of_the_convolution_is_a_padded_3d_convolution(clip, kernel, stride):
    layer = ClipConv(6, kernel, stride)
    result = layer(clip)
    halves = [(k // 2, k // 2) for k in kernel]
    padded = np.pad(clip, [(0, 0), *halves, (0, 0)])
    expected = tf.nn.conv3d(
        padded, layer.kernel.numpy(), [1, 1, stride, stride, 1], "VALID"
    )
    np.testing.assert_allclose(result, expected, atol=2e-5)
    assert layer.compute_output_shape(clip.shape) == tuple(result.shape)


@pytest.mark.parametrize("filters", [2, 6])  # fewer and more than channels
@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (5, 1, 1), (3, 5, 5)])
def test_the_convolution_s_gradients_are_those_of_a_padded_3d_convolution(
    clip, kernel, filters
):
    layer = ClipConv(filters, kernel)
    layer.build(clip.shape)
    weights = layer.kernel.value
    halves = [(k // 2, k // 2) for k in kernel]
    upstream = np.random.default_rng(1).normal(size=(*clip.shape[:-1], filters))

    def plain(x):
        padded = tf.pad(x, [(0, 0), *halves, (0, 0)])
        return tf.nn.conv3d(padded, weights, [1] * 5, "VALID")

    def gradients(convolve):
        x = tf.constant(clip)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = convolve(x)
        return tape.gradient(y, [x, weights], upstream.astype(np.float32))

    expected = gradients(plain)
    for convolve in (layer, tf.function(layer)):
        for found, value in zip(gradients(convolve), expected, strict=True):
            np.testing.assert_allclose(found, value, atol=1e-4)


def test_a_gradient_over_time_in_bfloat16_is_near_that_in_float32(clip):
    layers = [ClipConv(2, (3, 1, 1), dtype=d) for d in ("float32", "mixed_bfloat16")]
    results = []
    for layer in layers:
        layer.build(clip.shape)
        layer.set_weights(layers[0].get_weights())
        x = tf.constant(clip)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.cast(layer(x), tf.float32) ** 2)
        results.append(tape.gradient(loss, [x, layer.kernel.value]))
    for found, value in zip(results[1], results[0], strict=True):
        assert found.dtype == tf.float32
        scale = np.abs(value).max()
        np.testing.assert_allclose(found, value, atol=0.03 * scale)


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 1, 1), (3, 3, 3)])
@pytest.mark.parametrize("frames", [4, 5])
def test_a_stride_in_time_keeps_every_second_frame_of_the_result(kernel, frames):
    clip = np.random.default_rng(0).normal(size=(2, frames, 6, 7, 3))
    strided = ClipConv(6, kernel, spatial_stride=2, temporal_stride=2)
    plain = ClipConv(6, kernel)
    strided.build(clip.shape)
    plain.build(clip.shape)
    plain.set_weights(strided.get_weights())
    result = strided(clip)
    np.testing.assert_allclose(result, plain(clip)[:, ::2, ::2, ::2], atol=1e-5)
    assert strided.compute_output_shape(clip.shape) == tuple(result.shape)


def test_the_convolution_is_restored_from_its_config():
    layer = ClipConv(6, (3, 1, 1), 2, 2, keras.regularizers.L2(0.1))
    again = ClipConv.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_the_convolution_takes_sizes_that_are_known_only_at_run_time(clip):
    layer = ClipConv(6, (5, 3, 3), 2)
    inputs = keras.Input((None, None, None, 3))
    model = keras.Model(inputs, layer(inputs))
    assert model(clip).shape == (2, 4, 4, 4, 6)
    assert model(clip[:, :3, :5]).shape == (2, 3, 3, 4, 6)


@pytest.mark.parametrize("strides", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 3, 3), (3, 1, 5)])
def test_a_depthwise_convolution_is_one_convolution_per_channel(clip, kernel, strides):
    time, space = strides
    layer = DepthwiseClipConv(kernel, spatial_stride=space, temporal_stride=time)
    result = layer(clip)
    assert layer.kernel.shape == (*kernel, 3, 1)
    padded = np.pad(clip, [(0, 0), *((k // 2, k // 2) for k in kernel), (0, 0)])
    for channel in range(3):
        expected = tf.nn.conv3d(
            padded[..., channel : channel + 1],
            layer.kernel.numpy()[..., channel : channel + 1, :],
            [1, time, space, space, 1],
            "VALID",
        )
        np.testing.assert_allclose(result[..., channel], expected[..., 0], atol=2e-5)
    assert layer.compute_output_shape(clip.shape) == tuple(result.shape)


@pytest.mark.parametrize("size", [7, 8])
def test_padding_may_be_tensorflows(size):
    clip = np.random.default_rng(0).normal(size=(2, 3, size, size, 3))
    clip = clip.astype(np.float32)
    layer = ClipConv(4, (1, 5, 5), 2, symmetric=False)
    result = layer(clip)
    kernel = layer.kernel.numpy()
    expected = tf.nn.conv3d(clip, kernel, [1, 1, 2, 2, 1], "SAME")
    np.testing.assert_allclose(result, expected, atol=2e-5)
    with pytest.raises(ValueError, match="needs symmetric padding"):
        ClipConv(4, (3, 3, 3), symmetric=False)


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="even length"):
        ClipConv(6, (2, 3, 3))


def test_fused_batch_norm_equals_numpy_and_keras(clip):
    ours, plain = (
        BatchNorm(),
        keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9),
    )
    ours.build(clip.shape)
    plain.build(clip.shape)
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.5, 1.5, 3).astype(np.float32) for _ in range(4)]
    ours.set_weights(weights)
    plain.set_weights(weights)
    gamma, beta, moving_mean, moving_variance = weights

    scale = gamma / np.sqrt(moving_variance + 1e-5)
    expected = (clip - moving_mean) * scale + beta
    np.testing.assert_allclose(ours(clip, training=False), expected, atol=1e-4)

    mean, variance = clip.mean(axis=(0, 1, 2, 3)), clip.var(axis=(0, 1, 2, 3))
    expected = (clip - mean) * gamma / np.sqrt(variance + 1e-5) + beta
    np.testing.assert_allclose(ours(clip, training=True), expected, atol=1e-4)
    np.testing.assert_allclose(plain(clip, training=True), expected, atol=1e-4)
    expected = [moving_mean * 0.9 + mean * 0.1, moving_variance * 0.9 + variance * 0.1]
    for layer in (ours, plain):
        for found, value in zip(layer.get_weights()[2:], expected, strict=True):
            np.testing.assert_allclose(found, value, atol=1e-5)


def test_batch_norm_has_the_paper_s_constants():
    layer = BatchNorm()
    assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


def test_fused_batch_norm_in_bfloat16_keeps_its_statistics_in_float32(clip):
    layer = BatchNorm(dtype="mixed_bfloat16")
    result = layer(clip, training=True)
    assert result.dtype == tf.bfloat16
    mean, variance = clip.mean(axis=(0, 1, 2, 3)), clip.var(axis=(0, 1, 2, 3))
    expected = (clip - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(tf.cast(result, tf.float32), expected, atol=0.03)
    assert layer.moving_mean.dtype == "float32"
    expected = 0.9 + 0.1 * variance
    np.testing.assert_allclose(layer.moving_variance.numpy(), expected, rtol=1e-3)


def test_gating_scales_channels_by_a_sigmoid_of_their_mean(clip):
    layer = FeatureGating()
    layer.build(clip.shape)
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(3, 3)).astype(np.float32)
    bias = rng.normal(size=3).astype(np.float32)
    layer.set_weights([kernel, bias])
    gate = 1 / (1 + np.exp(-(clip.mean(axis=(1, 2, 3)) @ kernel + bias)))
    expected = clip * gate[:, None, None, None, :]
    np.testing.assert_allclose(layer(clip), expected, atol=1e-5)
