"""Flow as images, in DMVR's convention."""

import io

import numpy as np
import pytest
import simplejpeg
import tensorflow as tf
from PIL import Image

from spl_tf.clips.jpeg import BadJpegError
from spl_tf.motion import flow_encoding

STEP = 2 * 20 / 255


def smooth_flow(seed=0):
    """Flow of up to 18 pixels that changes slowly, as that of videos."""
    noise = np.random.default_rng(seed).normal(size=(5, 7, 2)).clip(-2, 2) / 2 * 12
    channels = [
        Image.fromarray(noise[..., c].astype(np.float32)).resize((171, 128), 3)
        for c in range(2)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def test_flow_is_read_to_half_a_step_and_clipped_at_20_pixels():
    values = np.array([-30, -20, -0.3, 0, 0.01, 7.77, 20, 25], np.float32)
    flow = np.stack([values, values[::-1]], axis=-1)[None]
    pixels = flow_encoding.encode_flow(flow)
    assert (pixels.shape, pixels.dtype) == ((1, 8, 3), np.uint8)
    assert pixels[0, :2, 0].tolist() == [0, 0]
    assert pixels[0, -2:, 0].tolist() == [255, 255]
    assert np.unique(pixels[..., 2]).tolist() == [128]
    read = flow_encoding.decode_flow(pixels)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, flow.clip(-20, 20), atol=STEP / 2 + 1e-5)
    # As DMVR writes it: value / 255 * 2 - 1, of the largest displacement.
    np.testing.assert_allclose(read[0, 5, 0], (pixels[0, 5, 0] / 255 * 2 - 1) * 20)


def test_a_jpeg_costs_hardly_more_than_the_steps_whoever_decodes_it():
    flow = smooth_flow()
    pixels = flow_encoding.encode_flow(flow)
    lossless = np.abs(flow_encoding.decode_flow(pixels) - flow).mean()
    data = flow_encoding.to_image_file(pixels, "jpeg", 95)
    exact = tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE").numpy()
    fast = tf.io.decode_jpeg(data).numpy()  # as DMVR asks for it
    for read, factor in (
        (flow_encoding.from_image_file(data), 1.3),
        (exact, 1.3),
        (fast, 3),
    ):
        error = np.abs(flow_encoding.decode_flow(read) - flow)
        assert error.mean() < factor * lossless
    # What a JPEG of colours would cost.
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    usual = simplejpeg.decode_jpeg(buffer.getvalue(), "RGB")
    assert np.abs(flow_encoding.decode_flow(usual) - flow).mean() > 2 * lossless


def test_png_loses_nothing():
    pixels = flow_encoding.encode_flow(smooth_flow(1))
    data = flow_encoding.to_image_file(pixels, "png", 0)
    np.testing.assert_array_equal(flow_encoding.from_image_file(data), pixels)


@pytest.mark.parametrize("image_format", flow_encoding.FORMATS)
def test_damaged_images_are_refused(image_format):
    data = flow_encoding.to_image_file(
        flow_encoding.encode_flow(smooth_flow()), image_format, 95
    )
    with pytest.raises(BadJpegError, match="does not decode"):
        flow_encoding.from_image_file(data[: len(data) // 2])
    with pytest.raises(BadJpegError, match="is no JPEG"):
        flow_encoding.from_image_file(b"flow")
