import colorsys

import numpy as np
import pytest
import tensorflow as tf

from spl_tf.data import Augmentation, augment, unit_pixels

OFF = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
LUMA = np.array([0.299, 0.587, 0.114])


def run(clip, draws, **strengths):
    result = augment(
        tf.constant(clip),
        tf.constant(draws, tf.float32),
        Augmentation(**OFF | strengths),
    )
    return result.numpy()


@pytest.fixture
def clip():
    return np.random.default_rng(0).integers(60, 190, (2, 3, 4, 5, 3), np.uint8)


def test_pixels_go_from_zero_to_one():
    assert unit_pixels(np.array([0, 255], np.uint8)).numpy().tolist() == [0.0, 1.0]


def test_what_is_not_rgb_has_no_colours_to_change(clip):
    result = run(clip[..., :2], np.full((2, 4), 0.9), brightness=0.5, contrast=1.0)
    np.testing.assert_allclose(result, clip[..., :2] / 255, rtol=1e-6)


def test_nothing_changes_without_strengths_or_in_the_middle_of_the_range(clip):
    off = run(clip, np.full((2, 4), 0.9))
    np.testing.assert_allclose(off, clip / 255, atol=1e-5)
    middle = run(clip, np.full((2, 4), 0.5), brightness=0.3, contrast=0.5, hue=0.2)
    np.testing.assert_allclose(middle, clip / 255, atol=1e-5)


def test_brightness_adds_one_amount_to_each_clip(clip):
    result = run(clip, [[0.75, 0, 0, 0], [0.0, 0, 0, 0]], brightness=0.2)
    np.testing.assert_allclose(result[0], clip[0] / 255 + 0.1, atol=1e-5)
    np.testing.assert_allclose(result[1], clip[1] / 255 - 0.2, atol=1e-5)


def test_contrast_scales_the_distance_to_the_clips_mean_luma(clip):
    result = run(clip, [[0, 0.75, 0, 0], [0, 0.25, 0, 0]], contrast=0.4)
    for number, factor in enumerate((1.2, 0.8)):
        x = clip[number] / 255
        mean = (x @ LUMA).mean()
        np.testing.assert_allclose(
            result[number], mean + (x - mean) * factor, atol=1e-5
        )


def test_saturation_scales_the_distance_to_each_pixels_luma(clip):
    result = run(clip, [[0, 0, 0.75, 0], [0, 0, 0.0, 0]], saturation=1.0)
    x = clip / 255
    luma = (x @ LUMA)[..., None]
    np.testing.assert_allclose(
        result[0], np.clip(luma + (x - luma) * 1.5, 0, 1)[0], atol=1e-5
    )
    np.testing.assert_allclose(result[1], np.broadcast_to(luma, x.shape)[1], atol=1e-5)


def test_hue_turns_colours_and_keeps_luma_and_greys():
    red = np.broadcast_to(np.uint8([150, 110, 110]), (1, 2, 2, 2, 3)).copy()
    red[0, :, 1] = 120
    turned = run(red, [[0, 0, 0, 0.5 + 1 / 6]], hue=1.0)  # a third of the circle
    np.testing.assert_allclose(turned @ LUMA, red / 255 @ LUMA, atol=1e-4)
    np.testing.assert_allclose(turned[0, :, 1], 120 / 255, atol=1e-4)
    hue = colorsys.rgb_to_hsv(*turned[0, 0, 0, 0])[0]
    assert min(abs(hue - 1 / 3), abs(hue - 2 / 3)) < 0.06


def test_values_stay_in_range():
    clip = np.array([0, 255], np.uint8).repeat(24).reshape(1, 2, 2, 4, 3)
    result = run(clip, [[1.0, 1.0, 1.0, 1.0]], brightness=0.5, contrast=1.0, hue=0.5)
    assert result.min() >= 0
    assert result.max() <= 1


def test_impossible_strengths_are_refused():
    with pytest.raises(ValueError, match=r"hue is 1\.5"):
        Augmentation(hue=1.5)


def test_in_a_dataset_it_gives_what_it_gives_eagerly(clip):
    draws = tf.constant([[0.1, 0.9, 0.3, 0.7], [0.8, 0.2, 0.6, 0.4]])
    strengths = Augmentation(brightness=0.2, contrast=0.4, saturation=0.5, hue=0.1)
    eagerly = augment(tf.constant(clip), draws, strengths)
    batches = tf.data.Dataset.from_tensors((clip, draws))
    (mapped,) = batches.map(lambda x, d: augment(x, d, strengths))
    np.testing.assert_allclose(mapped, eagerly, atol=1e-6)
