"""Maps known in closed form, and heat on a thing whose place is known."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from spl_tf.analysis.grad_cam import grad_cam
from spl_tf.models import build_model

ROOT = pathlib.Path(__file__).parents[2]


def network(input_shape, head, kernel):
    """clip -> `middle` (the same) -> the head's layers -> a dense layer."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Activation("linear", name="middle")(inputs)
    for layer in head:
        x = layer(x)
    dense = keras.layers.Dense(np.shape(kernel)[1], use_bias=False)
    model = keras.Model(inputs, dense(x))
    dense.set_weights([np.asarray(kernel, np.float32)])
    return model


def random_clips(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_maps_of_a_linear_network_are_those_computed_by_hand():
    # Two frames of 1 x 2 pixels. Gradients are 3, 1 in the first, -1, -1 in the second.
    model = network(
        (2, 1, 2, 1), [keras.layers.Flatten()], [[3.0], [1.0], [-1.0], [-1.0]]
    )
    clip = np.array([[1.0, 2.0], [4.0, 0.0]]).reshape(1, 2, 1, 2, 1)
    # Mean gradient 0.5: the map is [0.5, 1], [2, 0] before scaling.
    over_all = grad_cam(model, clip, layer="middle")
    np.testing.assert_allclose(over_all[0, :, 0], [[0.25, 0.5], [1, 0]], atol=1e-6)
    # Means 2 and -1: [2, 4], [-4, 0], of which the negative is cut.
    per_frame = grad_cam(model, clip, layer="middle", weights="per_frame")
    np.testing.assert_allclose(per_frame[0, :, 0], [[0.5, 1], [0, 0]], atol=1e-6)


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs jax")
def test_the_maps_on_jax_are_those_computed_by_hand():
    code = (
        "import keras; assert keras.backend.backend() == 'jax'\n"
        "from tests.analysis import test_grad_cam as tests\n"
        "tests.test_maps_of_a_linear_network_are_those_computed_by_hand()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_default_layer_is_the_gated_output_of_the_last_stage():
    keras.utils.set_random_seed(0)  # other weights may give a map of nothing but zeros
    model = build_model("r3d_tiny_g", 5, (3, 32, 24, 3))
    clips = random_clips(4, 3, 32, 24, 3)
    ids = np.array([0, 4, 2, 2])
    # Behind a mean over positions the gradient is the classifier's column (CAM).
    gated = keras.Model(model.input, model.get_layer("res3_gating").output)
    columns = model.get_layer("classifier").get_weights()[0].T[ids]
    cam = np.maximum(np.einsum("bthwc,bc->bthw", gated(clips), columns), 0)
    frames = tf.image.resize(cam.reshape(12, 4, 3, 1), (32, 24)).numpy()
    expected = frames.reshape(4, 3, 32, 24)
    low, high = (f(expected, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    assert (high > low).all()
    expected = (expected - low) / (high - low)
    for weights in ("global", "per_frame"):
        found = grad_cam(model, clips, ids, weights=weights)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_map_is_interpolated_between_the_centres_of_its_cells():
    model = network(
        (4, 4, 4, 1),
        [
            keras.layers.AveragePooling3D(2, name="pooled"),
            keras.layers.GlobalAveragePooling3D(),
        ],
        [[1.0]],
    )
    clip = np.zeros((1, 4, 4, 4, 1))
    clip[0, :2, :2, :2] = 1  # one cell of eight
    profile = np.array([1, 0.75, 0.25, 0])
    expected = np.einsum("t,h,w->thw", profile, profile, profile)
    found = grad_cam(model, clip, layer="pooled")[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kernel", [1.0, -1.0, 0.0])
def test_a_map_without_contrast_is_zero(kernel):
    model = network((3, 7, 5, 1), [keras.layers.GlobalAveragePooling3D()], [[kernel]])
    clips = np.full((2, 3, 7, 5, 1), 0.1)
    assert not grad_cam(model, clips, layer="middle").any()


def test_without_class_ids_the_highest_output_is_explained():
    model = network(
        (2, 4, 4, 2),
        [keras.layers.GlobalAveragePooling3D()],
        [[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]],
    )
    clips = random_clips(3, 2, 4, 4, 2)
    clips[0, ..., 0] += 3
    clips[1, ..., 1] += 3
    clips[2] -= 3
    found = grad_cam(model, clips, layer="middle")
    np.testing.assert_array_equal(found, grad_cam(model, clips, [0, 1, 2], "middle"))
    assert np.abs(found - grad_cam(model, clips, [1, 2, 0], "middle")).max() > 0.1


def test_a_clip_s_map_does_not_depend_on_the_other_clips():
    model = build_model("r3d_tiny_g", 3, (2, 16, 16, 3))
    clips = random_clips(3, 2, 16, 16, 3)
    together = grad_cam(model, clips, [0, 1, 2])
    for number in range(3):
        alone = grad_cam(model, clips[number : number + 1], [number])
        np.testing.assert_allclose(alone[0], together[number], atol=1e-4)


def test_a_network_in_bfloat16_gives_about_the_map_in_float32():
    shape = (2, 32, 32, 3)
    exact = build_model("r3d_tiny_g", 3, shape)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rounded = build_model("r3d_tiny_g", 3, shape)
    finally:
        keras.config.set_dtype_policy("float32")
    rounded.set_weights(exact.get_weights())
    clips = random_clips(2, *shape)
    expected, found = (grad_cam(model, clips, [0, 1]) for model in (exact, rounded))
    assert found.dtype == np.float32
    assert (found.min(), found.max()) == (0, 1)
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.98


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clips": np.zeros((2, 16, 16, 3))}, r"\(2, 16, 16, 3\), expected \[B, T, H"),
        ({"weights": "mean"}, "'mean', expected one of global, per_frame"),
        ({"class_ids": [0]}, "one integer for each of 2 clips"),
        ({"class_ids": [0.0, 1.0]}, "float64"),
        ({"class_ids": [0, 3]}, "hold 3, expected 0 to 2"),
        ({"class_ids": [-1, 0]}, "hold -1"),
        ({"layer": "nothing"}, "No such layer: nothing.*res3_gating"),
        ({"layer": "classifier"}, "'classifier'.*name a layer before the pooling"),
        ({"layer": "res3_0_a"}, "'res3_0_a'.*lies on one of several branches"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    model = build_model("r3d_tiny_g", 3, (2, 16, 16, 3))
    clips = arguments.pop("clips", np.zeros((2, 2, 16, 16, 3), np.float32))
    with pytest.raises(ValueError, match=message):
        grad_cam(model, clips, **arguments)


SIDE, SPRITE, STEP, FRAMES = 48, 12, 3, 8
COLORS = ((235, 60, 50), (50, 210, 70), (60, 90, 240), (235, 210, 50))


def moving_squares(count, seed):
    """Squares that cross a colorful texture; their color is the class.

    Returns:
        Clips in [-1, 1], labels, and where the squares are, bool [B, T, H, W].
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(COLORS)
    clips = np.empty((count, FRAMES, SIDE, SIDE, 3), np.float32)
    places = np.zeros(clips.shape[:-1], bool)
    for clip, place, label in zip(clips, places, labels, strict=True):
        coarse = rng.integers(30, 200, (8, 8, 3)).astype(np.uint8)
        clip[:] = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        clip += rng.integers(-25, 25, (SIDE, SIDE, 1))
        across = rng.integers(SIDE - SPRITE + 1)
        start = rng.integers(SIDE - SPRITE - STEP * (FRAMES - 1) + 1)
        direction, axis = rng.choice([-1, 1]), rng.integers(2)
        for t in range(FRAMES):
            along = start + STEP * (t if direction > 0 else FRAMES - 1 - t)
            top, left = (along, across) if axis else (across, along)
            square = (t, slice(top, top + SPRITE), slice(left, left + SPRITE))
            clip[square], place[square] = COLORS[label], True
    return np.clip(clips, 0, 255) / 127.5 - 1, labels, places


def inside_and_outside(heat, places):
    """Mean heat where the squares are and where they are not, per clip."""
    return np.array(
        [[h[p].mean(), h[~p].mean()] for h, p in zip(heat, places, strict=True)]
    ).T


def test_heat_sits_on_what_a_network_was_trained_to_recognise():
    keras.utils.set_random_seed(0)
    model = build_model("r3d_tiny_g", 4, (FRAMES, SIDE, SIDE, 3), dropout=0.0)
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    clips, labels, _ = moving_squares(160, seed=0)
    model.fit(clips, labels, batch_size=8, epochs=4, verbose=0)
    clips, labels, places = moving_squares(40, seed=1)
    predictions = model.predict(clips, verbose=0).argmax(axis=1)
    assert (predictions == labels).mean() > 0.6  # chance is 0.25

    heat = grad_cam(model, clips, labels)
    inside, outside = inside_and_outside(heat, places)
    assert (inside > 2 * outside).all()
    assert inside.mean() > 4 * outside.mean()
    hottest = heat.reshape(40, -1).argmax(axis=1)
    hits = places.reshape(40, -1)[np.arange(40), hottest].mean()
    assert hits > 0.8  # the squares cover 0.06 of the picture

    # The same measures on heat that knows nothing: blobs at random places.
    noise = network((8, 12, 12, 1), [keras.layers.GlobalAveragePooling3D()], [[1.0]])
    blobs = grad_cam(noise, random_clips(40, 8, 12, 12, 1), layer="middle")
    blobs = blobs.repeat(4, axis=2).repeat(4, axis=3)
    inside, outside = inside_and_outside(blobs, places)
    assert inside.mean() == pytest.approx(outside.mean(), rel=0.1)
    assert (
        places.reshape(40, -1)[
            np.arange(40), blobs.reshape(40, -1).argmax(axis=1)
        ].mean()
        < 0.25
    )
