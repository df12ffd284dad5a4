"""Camera motion that is known, measured; and the law of it, fitted."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from spl_tf.motion import CameraMotion, MotionLaw, fit_camera_motion, measure_homography
from tests.conftest import counting_images, jpeg, make_clip, write_dataset

SIZE = (120, 160)
MOTIONS = {
    "pan": [1, 0, 0.05, 0, 1, -0.08, 0, 0],
    "zoom": [1.06, 0, 0, 0, 1.06, 0, 0, 0],
    "roll": [0.9986, -0.0393, 0, 0.0699, 0.9986, 0, 0, 0],
    "tilt": [1.01, 0.01, 0.02, 0, 0.98, 0.01, 0.02, -0.03],
}


def texture(seed):
    noise = np.random.default_rng(seed).normal(size=(*SIZE, 3))
    fine, coarse = (ndimage.gaussian_filter(noise, (s, s, 0)) for s in (1.5, 8))
    mixed = fine / fine.std() + coarse / coarse.std()
    return (128 + 35 * mixed).clip(0, 255)


def moved(image, parameters, times=1):
    """The frame after some steps: what was at p is at H(p), in [-1, 1]."""
    homography = np.append(parameters, 1.0).reshape(3, 3)
    inverse = np.linalg.matrix_power(np.linalg.inv(homography), times)
    rows, columns = np.indices(SIZE) + 0.5
    places = np.stack([2 * columns / SIZE[1] - 1, 2 * rows / SIZE[0] - 1])
    places = np.concatenate([places, np.ones((1, *SIZE))])
    there = np.einsum("ij,jhw->ihw", inverse, places)
    x, y = (there[:2] / there[2] + 1) / 2 * np.array(SIZE[::-1])[:, None, None] - 0.5
    channels = [
        ndimage.map_coordinates(image[..., c], [y, x], order=3, mode="nearest")
        for c in range(3)
    ]
    return np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)


def grey(image):
    return image.astype(float).mean(axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("name", MOTIONS)
def test_a_known_motion_is_measured(name):
    image = texture(0)
    found = measure_homography(
        grey(image.astype(np.uint8)), grey(moved(image, MOTIONS[name]))
    )
    np.testing.assert_allclose(found, MOTIONS[name], atol=0.006)


def test_what_moves_before_the_background_does_not_count():
    first, second = texture(0).astype(np.uint8), moved(texture(0), MOTIONS["pan"])
    sprite = texture(1).astype(np.uint8)[:50, :50]
    first[20:70, 20:70] = sprite
    second[28:78, 30:80] = sprite
    found = measure_homography(grey(first), grey(second))
    np.testing.assert_allclose(found, MOTIONS["pan"], atol=0.01)


def test_frames_with_nothing_in_common_or_nothing_at_all_give_no_motion():
    flat = np.full(SIZE, 90, np.uint8)
    assert measure_homography(flat, flat) is None
    frames = [grey(texture(seed).astype(np.uint8)) for seed in (0, 1)]
    assert measure_homography(*frames) is None
    # A textured corner says nothing of the rest.
    corner = flat.copy()
    corner[:55, :55] = frames[0][:55, :55]
    assert measure_homography(corner, corner) is None


def video(number, label, motions, skip=2):
    """A clip that moves by a homography each `skip` frames."""
    image, path, frames = texture(number), np.eye(3), []
    for motion in [[1, 0, 0, 0, 1, 0, 0, 0], *motions]:
        path = np.append(motion, 1.0).reshape(3, 3) @ path
        frames += [jpeg(moved(image, (path / path[2, 2]).ravel()[:8]))] * skip
    clip = make_clip(number, label, frames=len(frames), names="ab")
    return dataclasses.replace(clip, frames=frames, height=SIZE[0], width=SIZE[1])


def test_the_law_of_a_dataset_is_that_of_its_homographies(tmp_path):
    rng = np.random.default_rng(0)
    spread = np.array([5, 5, 20, 5, 5, 20, 3, 3]) * 1e-3
    identity = np.array([1, 0, 0, 0, 1, 0, 0, 0.0])
    right = identity + [0, 0, 0.06, 0, 0, 0, 0, 0]
    drawn = identity[None] + spread * rng.normal(size=(2, 5, 6, 8))
    drawn[1] += right - identity
    dataset = write_dataset(
        tmp_path / "videos",
        [
            video(5 * label + n, label, drawn[label, n])
            for label in range(2)
            for n in range(5)
        ],
        "abc",
    )
    motion = fit_camera_motion(dataset, num_frames=7, stride=2)
    assert motion.pairs.tolist() == [30, 30, 0]
    assert (motion.stride, motion.frame_rate, motion.size) == (2, 8.0, SIZE)
    for label in range(2):
        law = motion.by_class[label]
        sample = drawn[label].reshape(-1, 8)
        np.testing.assert_allclose(law.mean, sample.mean(axis=0), atol=0.004)
        expected = np.cov(sample.T, bias=True)  # divided by n
        error = (law.covariance - expected) / np.outer(spread, spread)
        assert np.abs(error).max() < 0.5
    assert motion.overall.mean[2] == pytest.approx(drawn[..., 2].mean(), abs=0.004)
    assert motion.by_class[2] is motion.overall  # of a class without clips
    motion.save(tmp_path / "motion.npz")
    loaded = CameraMotion.load(tmp_path / "motion.npz")
    np.testing.assert_array_equal(loaded.overall.covariance, motion.overall.covariance)
    np.testing.assert_array_equal(loaded.by_class[1].mean, motion.by_class[1].mean)
    assert (loaded.stride, loaded.size) == (2, SIZE)


def test_too_few_pairs_are_refused(tmp_path):
    flat = write_dataset(tmp_path / "flat", [make_clip(n, 0) for n in range(4)], "a")
    with pytest.raises(ValueError, match=r"of 12 pairs .* 2 only 0 .*expected 9"):
        fit_camera_motion(flat, 4, 2)
    with pytest.raises(ValueError, match="up to 8 frames, expected more than the str"):
        fit_camera_motion(flat, 4, 8)
    with pytest.raises(ValueError, match="num_frames is 1, expected 2 or more"):
        fit_camera_motion(flat, 1, 1)


def test_a_damaged_frame_is_named_by_its_row(tmp_path):
    clip = make_clip(0, 0)
    bad = dataclasses.replace(clip, frames=[*clip.frames[:4], b"\xff\xd8 no", b"x"] * 2)
    bad = dataclasses.replace(bad, timestamps=range(12))
    dataset = write_dataset(tmp_path / "bad", [bad], "a", num_shards=1)
    with pytest.raises(ValueError, match=r"bad, row 0: is a JPEG of .*inspect_records"):
        fit_camera_motion(dataset, 8, 1)


def test_videos_that_never_move_give_a_law_that_never_moves(tmp_path, caplog):
    clip = make_clip(0, 0, frames=12)
    clip = dataclasses.replace(clip, frames=[jpeg(texture(0).astype(np.uint8))] * 12)
    dataset = write_dataset(tmp_path / "still", [clip], "a", num_shards=1)
    motion = fit_camera_motion(dataset, 12, 1)
    np.testing.assert_allclose(motion.overall.mean, [1, 0, 0, 0, 1, 0, 0, 0], atol=1e-6)
    drawn = motion.overall.homographies(np.random.default_rng(0).normal(size=(5, 8)))
    np.testing.assert_allclose(drawn, np.tile(np.eye(3), (5, 1, 1)), atol=1e-4)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (-np.eye(8), "eigenvalue -1"),
        (np.full((8, 8), np.nan), "not finite"),
        (np.eye(3), r"shapes \(8,\) and \(3, 3\)"),
    ],
)
def test_what_is_no_law_is_refused(covariance, message):
    with pytest.raises(ValueError, match=message):
        MotionLaw(np.zeros(8), covariance)


def test_frames_that_differ_little_are_no_reason_to_fail():
    frames = counting_images(2, *SIZE)
    assert measure_homography(*map(grey, frames)) is None
