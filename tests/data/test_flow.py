"""Clips of optical flow, against what was stored, cut, scaled and mirrored by hand."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from spl_tf import data
from spl_tf.data.decoding import ClipLoader, View
from spl_tf.data.records import BadRecordError, NoFlowError
from tests.conftest import make_clip, write_dataset
from tests.flow_clips import (
    flow_dataset,
    jpeg_444,
    png,
    smooth_flow,
    with_flow,
    write_records,
)

SIZE = (20, 36)
SAMPLING = data.ClipSampling(num_frames=3, stride=2)


def look(dataset, view, crop, row=0, **options):
    loader = ClipLoader(
        dataset, lambda *_: [view], crop, modality="flow", scales=True, **options
    )
    out = np.empty((1, len(view.frames), *loader.frame_shape), np.uint8)
    loader.load(row, None, out)
    return out[0]


def source(dataset, **changes):
    settings = {"label_map": None, "crop_size": 16, "flip": True, "seed": 5}
    settings |= {"sampling": SAMPLING, "modality": "flow"} | changes
    return data.TrainInput(dataset, **settings)


def take(source, steps=4):
    return list(data.train_batches(source, 3, stop_step=steps).as_numpy_iterator())


@pytest.mark.parametrize(("encode", "error"), [(png, 0), (jpeg_444, 4)])
def test_flow_is_cut_and_mirrored_with_its_horizontal_part_negated(
    tmp_path, encode, error
):
    dataset = flow_dataset(tmp_path / "d", 2, encode=encode)
    stored = smooth_flow(1, 8, SIZE)[[2, 2, 7], 3:15, 5:21, :2].astype(int)
    window = (3, 5, 12, 16)
    found = look(dataset, View([2, 2, 7], window), (12, 16), row=1)
    assert found.shape == (3, 12, 16, 2)
    assert np.abs(found - stored).max() <= error
    mirrored = look(dataset, View([2, 2, 7], window, flip=True), (12, 16), row=1)
    turned = stored[:, :, ::-1] * [-1, 1] + [255, 0]
    assert np.abs(mirrored - turned).max() <= error


@pytest.mark.parametrize("crop", [(6, 8), (24, 64)])
def test_flow_is_scaled_with_the_frames_that_it_is_between(tmp_path, crop):
    dataset = flow_dataset(tmp_path / "d", 1)
    found = look(dataset, View([4], (2, 3, 12, 16), flip=True), crop)[0]
    stored = smooth_flow(0, 8, SIZE)[4, 2:14, 3:19]
    for channel, sign, axis in ((0, -1, 1), (1, 1, 0)):
        pixels = stored[..., channel].astype(np.float32)[:, ::-1] / 255 * 40 - 20
        scaled = np.asarray(
            Image.fromarray(pixels).resize(crop[::-1], Image.Resampling.BILINEAR)
        )
        expected = sign * scaled * crop[axis] / (12, 16)[axis]
        as_flow = found[..., channel] / 255 * 40 - 20
        np.testing.assert_allclose(
            as_flow, expected.clip(-20, 20), atol=0.51 * 40 / 255
        )


def test_batches_are_those_of_rgb_in_all_but_their_pixels(tmp_path):
    dataset = flow_dataset(tmp_path / "d")
    flow = take(source(dataset))
    rgb = take(source(dataset, modality="rgb"))
    for one, other in zip(flow, rgb, strict=True):
        assert one["clip"].shape == (3, 3, 16, 16, 2)
        assert other["clip"].shape == (3, 3, 16, 16, 3)
        for key in ("label", "index", "id", "draws"):
            np.testing.assert_array_equal(one[key], other[key])
    cached = take(source(dataset, cache_bytes=10**6))
    for one, other in zip(flow, cached, strict=True):
        np.testing.assert_array_equal(one["clip"], other["clip"])


def test_the_mirrored_half_of_ten_crops_is_negated(tmp_path):
    dataset = flow_dataset(tmp_path / "d", 1)
    (batch,) = data.eval_batches(
        dataset, SAMPLING, 16, 1, num_crops=10, modality="flow"
    ).as_numpy_iterator()
    plain, mirrored = np.split(batch["clip"].astype(int), 2)
    np.testing.assert_array_equal(mirrored[..., 0], 255 - plain[..., ::-1, 0])
    np.testing.assert_array_equal(mirrored[..., 1], plain[..., ::-1, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda images: [],
            "has no optical flow.*add_flow --input_dir",
        ),
        (lambda images: images[1:], "has 7 images of flow and 8 frames"),
        (
            lambda images: [png(np.zeros((20, 30, 3), np.uint8))] * 8,
            r"the flow of frame \d is 20 x 30, the clip.s frames are 20 x 36",
        ),
        (
            lambda images: [image[:200] for image in images],
            r"the flow of frame \d does not decode",
        ),
        (
            lambda images: [jpeg_444(smooth_flow(0, 1, SIZE)[0])[:400]] * 8,
            r"the flow of frame \d does not decode",
        ),
        (lambda images: [b"none"] * 8, r"the flow of frame \d is no JPEG"),
    ],
)
def test_a_record_whose_flow_is_not_that_of_its_frames(tmp_path, change, message):
    clip = make_clip(7, 0, size=SIZE, names="a")
    images = [png(image) for image in smooth_flow(7, 8, SIZE)]
    records = [(clip, with_flow(clip, change(images)))]
    dataset = write_records(tmp_path / "d", records, ["a"])
    with pytest.raises(BadRecordError, match=message) as error:
        look(dataset, View([0, 3], (0, 0, 16, 16)), 16)
    assert f"{dataset.directory}/clips.tfrecord-00000-of-00001, row 0" in str(
        error.value
    )
    assert "video7@0-1000000" in str(error.value)
    with pytest.raises(tf.errors.OpError, match=message):
        take(source(dataset), 1)


def test_a_dataset_without_flow_is_told_of_at_once(tmp_path):
    dataset = write_dataset(tmp_path / "d", [make_clip(0, 0)], ["a"])
    message = rf"{dataset.directory}: clip 'video0@.*add_flow --input_dir"
    with pytest.raises(NoFlowError, match=message):
        data.check_flow(dataset)
    data.check_flow(flow_dataset(tmp_path / "flow", 1))
