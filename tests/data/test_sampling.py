import numpy as np
import pytest
import tensorflow as tf

from spl_tf.data.sampling import ClipSampling, central_window, random_window


def in_map(function, *values):
    """The same call inside `Dataset.map`."""
    dataset = tf.data.Dataset.from_tensors(values).map(lambda *v: function(*v))
    return next(iter(dataset)).numpy().tolist()


@pytest.mark.parametrize("length", [1, 3, 8, 20, 64])
@pytest.mark.parametrize("draw", [0.0, 0.3, 0.999, np.nextafter(np.float32(1), 0)])
def test_random_frames_start_uniformly_and_wrap(length, draw):
    sampling = ClipSampling(num_frames=4, stride=3)
    start = min(int(np.float32(draw) * max(length - 12 + 1, 1)), max(length - 12, 0))
    expected = [(start + 3 * t) % length for t in range(4)]
    eager = sampling.random_frames(tf.constant(length), tf.constant(draw, tf.float32))
    assert eager.numpy().tolist() == expected
    graph = in_map(sampling.random_frames, np.int32(length), np.float32(draw))
    assert graph == expected


@pytest.mark.parametrize(("length", "start"), [(5, 0), (12, 0), (13, 0), (20, 4)])
def test_central_frames_are_in_the_middle(length, start):
    sampling = ClipSampling(num_frames=4, stride=3)
    expected = [(start + 3 * t) % length for t in range(4)]
    assert sampling.central_frames(tf.constant(length)).numpy().tolist() == expected
    assert in_map(sampling.central_frames, np.int32(length)) == expected


def test_all_starts_and_windows_occur_and_no_other():
    sampling = ClipSampling(num_frames=2, stride=2)
    draws = np.linspace(0, 1, 1000, endpoint=False, dtype=np.float32)
    starts = {int(sampling.random_frames(tf.constant(9), d)[0]) for d in draws}
    assert starts == set(range(9 - 4 + 1))
    height, width = tf.constant(6), tf.constant(9)
    windows = np.array([random_window(height, width, 4, [d, d]) for d in draws])
    assert set(windows[:, 0]) == {0, 1, 2}
    assert set(windows[:, 1]) == {0, 1, 2, 3, 4, 5}
    assert (windows[:, 2:] == 4).all()


def test_the_central_window_is_central():
    window = central_window(tf.constant(7), tf.constant(10), 4)
    assert window.numpy().tolist() == [1, 3, 4, 4]


def test_impossible_sampling_is_refused():
    with pytest.raises(ValueError, match="stride is 0"):
        ClipSampling(4, 0)
