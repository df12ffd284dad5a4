"""Clips made of one image: where each pixel comes from, and from which draws."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from spl_tf import data
from spl_tf.clips.jpeg import decode_jpeg
from spl_tf.data.decoding import View, decode_view
from spl_tf.data.image_clips import ImageClips
from spl_tf.motion import CameraMotion, MotionLaw
from tests.conftest import jpeg, make_clip, write_dataset

SIZE = (60, 84)
STILL = np.array([1, 0, 0, 0, 1, 0, 0, 0.0])


def textured(seed, size=SIZE):
    noise = np.random.default_rng(seed).normal(size=(*size, 3))
    smooth = ndimage.gaussian_filter(noise, (2, 2, 0))
    return (128 + 50 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def image_clip(number, label):
    clip = make_clip(number, label, frames=1, names="abc")
    frame = jpeg(textured(number))
    return dataclasses.replace(clip, frames=(frame,), height=SIZE[0], width=SIZE[1])


@pytest.fixture
def images(tmp_path):
    clips = [image_clip(n, n % 3) for n in range(6)]
    return write_dataset(tmp_path / "images", clips, "abc")


def motion_of(*laws, stride=4):
    return CameraMotion(
        laws[0], laws[1:], "abc"[: len(laws) - 1], np.full(len(laws) - 1, 99), stride,
        8.0, SIZE, 4,
    )  # fmt: skip


def steady(*changes):
    """A law of one homography: that of a still camera, and changes."""
    mean = STILL.copy()
    for place, value in changes:
        mean[place] = value
    return MotionLaw(mean, np.zeros((8, 8)))


def source_of(dataset, image_clips, **changes):
    settings = {
        "dataset": dataset,
        "label_map": None,
        "sampling": data.ClipSampling(4, 4),
        "crop_size": 32,
        "flip": True,
        "seed": 3,
    }
    return data.TrainInput(image_clips=image_clips, **settings | changes)


def take(source, steps=(0, 6), batch_size=4):
    batches = data.train_batches(source, batch_size, steps[0], stop_step=steps[1])
    return [{name: value.numpy() for name, value in b.items()} for b in batches]


class OneImage:
    """What `decode_view` asks of a clip's frames."""

    def __init__(self, image):
        self._image = image

    def image(self, frame):
        assert frame == 0
        return self._image


def sampled(image, homography, times, window, crop, flip):
    """Frame `times` of the clip, computed place by place, in float64."""
    height, width = image.shape[:2]
    top, left, rows, columns = window
    found = np.empty((*crop, 3))
    inverse = np.linalg.inv(np.append(homography, 1).reshape(3, 3))
    for row in range(crop[0]):
        for column in range(crop[1]):
            across = (column + 0.5) / crop[1]
            across = left + columns * (1 - across if flip else across)
            down = top + rows * (row + 0.5) / crop[0]
            place = np.array([2 * across / width - 1, 2 * down / height - 1, 1])
            for _ in range(times):
                place = inverse @ place
                place = place / place[2]
            x = (place[0] + 1) / 2 * width - 0.5
            y = (place[1] + 1) / 2 * height - 0.5
            for channel in range(3):
                found[row, column, channel] = ndimage.map_coordinates(
                    image[..., channel].astype(float), [[y], [x]], order=1,
                    mode="nearest",
                )[0]  # fmt: skip
    return found


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("window", [(10, 20, 32, 40), (3, 1, 50, 80)])
def test_each_frame_is_one_warp_of_the_image(window, flip):
    image, crop, frames = textured(1), (32, 40), 4
    law = steady((0, 1.03), (1, 0.02), (2, 0.1), (3, -0.01), (5, -0.06), (6, 0.03))
    clips = ImageClips("perspective", motion=motion_of(law))
    warps = clips.warps(frames, SIZE, window, crop, flip, np.float32([0.2, 0.7]), 0)
    out = np.zeros((frames, *crop, 3), np.uint8)
    decode_view(OneImage(image), View([0] * frames, window, flip, warps), out)
    for time in (0, 1, 3):
        expected = sampled(image, law.mean, time, window, crop, flip)
        difference = np.abs(out[time] - expected)
        # OpenCV rounds places to a 32nd of a pixel.
        assert difference.max() < 4
        assert difference.mean() < 0.6
    if window[2:] == crop:  # nothing moves before the second frame
        cut = image[window[0] :, window[1] :][: crop[0], : crop[1]]
        np.testing.assert_array_equal(out[0], cut[:, ::-1] if flip else cut)


def test_a_still_image_is_its_crop_again_and_again(images):
    still = take(source_of(images, ImageClips("still")))
    usual = take(source_of(images, None))
    for one, other in zip(still, usual, strict=True):
        np.testing.assert_array_equal(one["clip"], other["clip"])
        assert (one["clip"] == one["clip"][:, :1]).all()
    with images.reader() as reader:
        record = data.records.view_record(reader.read(int(still[0]["index"][0])))
    image = decode_jpeg(record.jpeg(0))
    crop = still[0]["clip"][0, 0]
    views = np.lib.stride_tricks.sliding_window_view(image, (32, 32), axis=(0, 1))
    views = np.moveaxis(views, 2, -1)
    matches = (views == crop).all((2, 3, 4)) | (views == crop[:, ::-1]).all((2, 3, 4))
    assert matches.any()


@pytest.mark.parametrize("kind", ["translate_random", "translate_constant"])
def test_a_translated_window_stays_in_the_image_and_steps_no_farther(kind):
    clips, window = ImageClips(kind, step=0.1), (5, 40, 32, 40)
    distinct = set()
    for draws in np.random.default_rng(0).random((50, 2), np.float32):
        warps = clips.warps(16, SIZE, window, (32, 40), False, draws, 0)
        places = warps[:, :2, 2]
        np.testing.assert_allclose(places[0], [40, 5], atol=1e-12)
        assert (places >= -1e-9).all()
        assert (places <= np.array([84 - 40, 60 - 32]) + 1e-9).all()
        steps = np.diff(places, axis=0)
        assert (np.abs(steps) <= np.array([4.0, 3.2]) + 1e-9).all()
        distinct.add(tuple(steps[0]))
        if kind == "translate_constant":  # but where it turns back
            same = np.isclose(np.abs(steps), np.abs(steps[0]))
            assert same.mean() > 0.6
    assert len(distinct) == 50


def test_homographies_are_drawn_from_the_law():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(8, 8)) * 0.002
    law = MotionLaw(STILL + rng.normal(size=8) * 0.01, root @ root.T)
    clips = ImageClips("perspective", motion=motion_of(law))
    window, found = (0, 0, *SIZE), []
    to_unit = np.array([[2 / 84, 0, 1 / 84 - 1], [0, 2 / 60, 1 / 60 - 1], [0, 0, 1]])
    for draws in rng.random((4000, 2), np.float32):
        warps = clips.warps(2, SIZE, window, SIZE, False, draws, 0)
        there = np.linalg.inv(to_unit @ warps[1] @ np.linalg.inv(to_unit))
        found.append((there / there[2, 2]).ravel()[:8])
    deviation = np.sqrt(np.diag(law.covariance))
    error = (np.mean(found, axis=0) - law.mean) / deviation
    assert np.abs(error).max() < 4 / 4000**0.5
    covariance = np.cov(np.array(found).T) / np.outer(deviation, deviation)
    expected = law.covariance / np.outer(deviation, deviation)
    assert np.abs(covariance - expected).max() < 0.1


def test_homographies_that_leave_the_frame_are_drawn_again():
    covariance = np.zeros((8, 8))
    covariance[6, 6] = covariance[0, 0] = 0.6**2  # often |p| > 1, or mirrored
    clips = ImageClips("perspective", motion=motion_of(MotionLaw(STILL, covariance)))
    image, moved = textured(2), 0
    for draws in np.random.default_rng(0).random((60, 2), np.float32):
        window = (0, 0, *SIZE)
        warps = clips.warps(16, SIZE, window, SIZE, False, draws, 0)
        assert np.isfinite(warps).all()
        corners = np.array([[0, 83, 0, 83], [0, 0, 59, 59], [1, 1, 1, 1.0]])
        assert (warps[:, 2] @ corners > 0).all()
        assert (np.linalg.det(warps) > 0).all()
        out = np.zeros((16, *SIZE, 3), np.uint8)
        decode_view(OneImage(image), View([0] * 16, window, False, warps), out)
        moved += (out[1] != out[0]).any()
    assert moved > 50


def test_draws_are_those_of_seed_epoch_and_row_alone(images):
    law = MotionLaw(STILL, np.diag([0.02, 0.02, 0.1, 0.02, 0.02, 0.1, 0.01, 0.01]) ** 2)
    clips = ImageClips("perspective", motion=motion_of(law))
    source = source_of(images, clips, clips_per_item=2)
    whole = take(source, (0, 6))
    later = take(source, (3, 6))
    for one, other in zip(whole[3:], later, strict=True):
        np.testing.assert_array_equal(one["clip"], other["clip"])
    # In three epochs an image is warped in three ways, both its clips in their own.
    clips_of_first = [
        batch["clip"].reshape(4, 2, 4, 32, 32, 3)[place]
        for batch in whole[:5]
        for place in np.flatnonzero(batch["index"] == 0)
    ]
    distinct = {clip.tobytes() for item in clips_of_first for clip in item}
    assert len(distinct) == 2 * len(clips_of_first) >= 6


def test_each_class_may_move_in_its_own_way(images):
    laws = [steady((2, 0.0)), steady((2, 0.2)), steady((2, -0.2))]
    clips = ImageClips("perspective", motion=motion_of(steady(), *laws), by_class=True)
    source = source_of(images, clips, flip=False)
    for batch in take(source):
        for clip, label in zip(batch["clip"].astype(int), batch["label"], strict=True):
            # A shift of 0.2 in [-1, 1] is one of 8.4 of 84 pixels.
            first, second = clip[0, 2:-2], clip[1, 2:-2]
            near = {
                0: first - second,
                1: first[:, :-10]
                - ndimage.shift(second, (0, -8.4, 0), order=1)[:, :-10],
                2: first[:, 10:] - ndimage.shift(second, (0, 8.4, 0), order=1)[:, 10:],
            }
            errors = [np.abs(near[each]).mean() for each in range(3)]
            assert np.argmin(errors) == label


def test_videos_are_no_images(web_dataset):
    with pytest.raises(ValueError, match=r"clips of up to 8 frames.*'still'"):
        source_of(web_dataset, ImageClips("still"))
