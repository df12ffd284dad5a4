"""Known motions, found again after they were encoded."""

import cv2
import numpy as np
import pytest

from spl_tf.motion import flow_encoding, optical_flow

SIZE = (128, 171)
CENTRE = (SIZE[1] / 2, SIZE[0] / 2)
BORDER = 8
# TV-L1 is in opencv-contrib alone.
HERE = [m for m in optical_flow.METHODS if m != "tvl1" or hasattr(cv2, "optflow")]
MOTIONS = {
    "shift": np.array([[1, 0, 1.3], [0, 1, -0.7]]),
    "large shift": np.array([[1, 0, 6.2], [0, 1, 3.6]]),
    "rotation": cv2.getRotationMatrix2D(CENTRE, 2.0, 1.0),
    "zoom": cv2.getRotationMatrix2D(CENTRE, 0.0, 1.03),
}


def texture(seed=0):
    """Grey noise, fine and coarse, with a margin of 50 around a frame."""
    noise = np.random.default_rng(seed).normal(size=(SIZE[0] + 100, SIZE[1] + 100))
    fine, coarse = (cv2.GaussianBlur(noise, (0, 0), sigma) for sigma in (1.5, 8))
    mixed = 128 + 35 * (fine / fine.std() + coarse / coarse.std())
    return mixed.clip(0, 255).astype(np.float32)


def moved(motion, seed=0):
    """A frame of what has moved, uint8 [H, W, 3], and by how much, [H, W, 2]."""
    rows, columns = np.indices(SIZE).astype(np.float64)
    places = np.stack([columns, rows, np.ones(SIZE)])
    there = np.einsum("ij,jhw->ihw", motion, places)
    back = np.einsum("ij,jhw->ihw", cv2.invertAffineTransform(motion), places)
    x, y = np.float32(back + 50)
    frame = cv2.remap(texture(seed), x, y, cv2.INTER_CUBIC).clip(0, 255)
    grey = frame.round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1), (there - places[:2]).transpose(
        1, 2, 0
    )


def frames_of(motion):
    still, _ = moved(np.eye(2, 3))
    return [still, moved(motion)[0]]


@pytest.mark.parametrize("image_format", flow_encoding.FORMATS)
@pytest.mark.parametrize("name", MOTIONS)
def test_a_known_motion_comes_back_after_its_encoding(name, image_format):
    _, expected = moved(MOTIONS[name])
    find = optical_flow.flow_finder("dis_medium")
    (flow,) = optical_flow.clip_flow(frames_of(MOTIONS[name]), find)
    data = flow_encoding.to_image_file(
        flow_encoding.encode_flow(flow), image_format, 95
    )
    read = flow_encoding.decode_flow(flow_encoding.from_image_file(data))
    error = np.abs(read - expected)
    inner = (slice(BORDER, -BORDER),) * 2
    assert error[inner].mean() < 0.1
    border = np.ones(SIZE, bool)
    border[inner] = False
    assert np.percentile(error[border], 95) < 0.5
    assert error.max() < 1


@pytest.mark.parametrize("method", HERE)
def test_every_method_has_the_directions_right(method):
    find = optical_flow.flow_finder(method)
    (flow,) = optical_flow.clip_flow(frames_of(MOTIONS["shift"]), find)
    assert flow.dtype == np.float32
    inner = flow[BORDER:-BORDER, BORDER:-BORDER]
    np.testing.assert_allclose(inner.mean(axis=(0, 1)), [1.3, -0.7], atol=0.2)


@pytest.mark.parametrize("method", HERE)
def test_a_still_video_has_no_flow_but_half_a_step(method):
    find = optical_flow.flow_finder(method)
    for frame in (moved(np.eye(2, 3))[0], np.full((32, 40, 3), 90, np.uint8)):
        for flow in optical_flow.clip_flow([frame] * 3, find):
            read = flow_encoding.decode_flow(flow_encoding.encode_flow(flow))
            assert np.abs(read).max() <= 20 / 255 + 1e-5


@pytest.mark.parametrize("method", HERE)
def test_the_same_frames_give_the_same_flow_whatever_came_before(method):
    pairs = [frames_of(MOTIONS[name]) for name in ("zoom", "rotation")]
    find = optical_flow.flow_finder(method)
    with optical_flow.one_thread():
        assert cv2.getNumThreads() == 1
        first, second, again = (
            next(optical_flow.clip_flow(pair, find)) for pair in (*pairs, pairs[0])
        )
        anew = next(optical_flow.clip_flow(pairs[1], optical_flow.flow_finder(method)))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(second, anew)


def test_one_frame_has_no_flow_and_bad_frames_are_named():
    find = optical_flow.flow_finder("dis_medium")
    frame = np.zeros((32, 40, 3), np.uint8)
    (flow,) = optical_flow.clip_flow([frame], find)
    np.testing.assert_array_equal(flow, np.zeros((32, 40, 2)))
    assert list(optical_flow.clip_flow([], find)) == []
    with pytest.raises(ValueError, match=r"frame 2 is 30 x 40 .*before 32 x 40"):
        list(optical_flow.clip_flow([frame, frame, frame[2:]], find))
    with pytest.raises(ValueError, match=r"are 8 x 8 .*must have either .*>= 12"):
        list(optical_flow.clip_flow([frame[:8, :8]] * 2, find))
    with pytest.raises(ValueError, match=r"method is 'raft', expected one of"):
        optical_flow.flow_finder("raft")


def test_what_tvl1_needs_is_said():
    if hasattr(cv2, "optflow"):
        pytest.skip("this OpenCV has it")
    with pytest.raises(ImportError, match=r"pip uninstall opencv-python-headless"):
        optical_flow.flow_finder("tvl1")
