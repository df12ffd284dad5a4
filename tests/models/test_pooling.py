import numpy as np
import pytest
import tensorflow as tf

from spl_tf.models.pooling import EndsHalved, MaxPool, SqueezeExcite


def test_pooling_takes_the_maximum_of_a_3x3_window_padded_by_one():
    clip = np.random.default_rng(0).uniform(size=(2, 3, 6, 7, 4)).astype(np.float32)
    result = MaxPool((1, 3, 3), (1, 2, 2))(clip).numpy()
    assert result.shape == (2, 3, 3, 4, 4)
    padded = np.pad(clip, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)])
    for row in range(3):
        for column in range(4):
            window = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            np.testing.assert_array_equal(
                result[:, :, row, column], window.max(axis=(2, 3))
            )


@pytest.mark.parametrize("frames", [4, 5])
@pytest.mark.parametrize(
    ("size", "stride"), [((3, 3, 3), 1), ((3, 3, 3), 2), ((2, 2, 2), 2)]
)
def test_pooling_over_time_is_pytorchs(size, stride, frames):
    clip = np.random.default_rng(0).uniform(size=(2, frames, 6, 7, 4))
    clip = clip.astype(np.float32)
    layer = MaxPool(size, (stride,) * 3)
    result = layer(clip)
    pads = [(length // 2 if length % 2 else 0,) * 2 for length in size]
    padded = np.pad(clip, [(0, 0), *pads, (0, 0)])
    expected = tf.nn.max_pool3d(padded, size, stride, "VALID")
    np.testing.assert_array_equal(result, expected)
    assert layer.compute_output_shape(clip.shape) == tuple(result.shape)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_mean_after_halved_ends_is_the_mean_over_pairs(frames):
    clip = np.random.default_rng(0).normal(size=(2, frames, 3, 3, 4))
    clip = clip.astype(np.float32)
    pairs = clip if frames == 1 else (clip[:, 1:] + clip[:, :-1]) / 2
    found = np.mean(EndsHalved()(clip), axis=1)
    np.testing.assert_allclose(found, pairs.mean(axis=1), atol=1e-6)


def test_excitation_gates_each_frame_by_its_own_mean():
    clip = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
    layer = SqueezeExcite(2)
    layer.build(clip.shape)
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=weight.shape) for weight in layer.weights]
    layer.set_weights(weights)
    w, b, v, c = weights
    reduced = clip.mean(axis=(2, 3)) @ w + b
    gate = 1 / (1 + np.exp(-(reduced / (1 + np.exp(-reduced)) @ v + c)))
    expected = clip * gate[:, :, None, None]
    np.testing.assert_allclose(layer(clip), expected, atol=1e-5)
