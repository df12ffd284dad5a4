import fractions
import io

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_video
from tests.tfrecords_tools.decoding.video_files import (
    encode,
    grey_frames,
    pixels,
    write_frames,
)
from tfrecords_tools.decoding.images import UnreadableImageError, to_jpeg
from tfrecords_tools.decoding.scaling import UnencodableFrameError, scaled_size


def png(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


# 720 x 480 at 31 would be 46.5 wide: a factor that is rounded first makes it 47.
@pytest.mark.parametrize(
    ("width", "height", "short_side"),
    [(720, 480, 31), (64, 48, 36), (48, 64, 100), (300, 2, 1), (34, 62, 0)],
)
def test_a_frame_of_a_video_and_an_image_get_the_same_size(
    tmp_path, width, height, short_side
):
    scale = fractions.Fraction(short_side or min(width, height), min(width, height))
    expected = (round(width * scale), round(height * scale))
    assert scaled_size(width, height, short_side) == expected
    _, *image = to_jpeg(png(width, height), short_side, 95)
    assert tuple(image) == expected[::-1]
    write_video(tmp_path / "a.mp4", np.zeros((2, height, width, 3), np.uint8))
    frame = next(iter(encode(tmp_path / "a.mp4", short_side=short_side)))
    assert (frame.height, frame.width) == expected[::-1]


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_height_and_width_are_taken_whatever_the_aspect(tmp_path, rotation):
    _, *image = to_jpeg(png(300, 100), (128, 171), 95)
    assert tuple(image) == (128, 171)
    frames = grey_frames([0, 1], height=96, width=160)
    write_frames(
        tmp_path / "a.mp4",
        frames,
        setup=lambda stream: stream.set_display_rotation(rotation),
    )
    for frame in encode(tmp_path / "a.mp4", short_side=(128, 171)):
        assert (frame.height, frame.width) == (128, 171)
        assert pixels(frame).shape == (128, 171, 3)


def test_sides_that_no_jpeg_has_are_refused_alike():
    with pytest.raises(UnencodableFrameError, match=r"2000x1 .* 512000x256"):
        scaled_size(2000, 1, 256)
    with pytest.raises(UnreadableImageError, match=r"2000x1 .* 512000x256"):
        to_jpeg(png(2000, 1), 256, 95)
