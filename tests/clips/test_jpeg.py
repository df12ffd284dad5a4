import io

import numpy as np
import pytest
from PIL import Image

from spl_tf.clips.jpeg import BadJpegError, decode_jpeg, jpeg_size
from tests.conftest import jpeg

OPTIONS = (
    {},
    {"progressive": True},
    {"restart_marker_blocks": 2},
    {"optimize": True, "comment": b"x" * 500, "exif": b"Exif\0\0" * 9},
)


def picture(*size):
    small = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    return np.asarray(
        Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)
    )


def encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "scans", "restart", "more"])
def test_frames_have_the_size_and_colours_that_pillow_reads(mode, options):
    for size in ((1, 1), (7, 300), (301, 2)):
        content = encoded(Image.fromarray(picture(*size)).convert(mode), **options)
        # Huffman tables may stand before the frame header, markers be padded, and
        # markers without a length be anywhere.
        for extra in (
            b"",
            b"\xff\xff\xff\xc4\x00\x09" + b"\1" * 7,
            b"\xff\x01\xff\xd3",
        ):
            padded = content[:2] + extra + content[2:] + b"trailer" * 20
            assert jpeg_size(padded) == size
        with Image.open(io.BytesIO(content)) as image:
            expected = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(decode_jpeg(content) - expected).max() <= 2


def test_a_frame_is_decoded_into_memory_of_its_size_and_no_other():
    content = jpeg(picture(24, 32))
    out = np.zeros((24, 32, 3), np.uint8)
    assert decode_jpeg(content, out) is out
    np.testing.assert_array_equal(out, decode_jpeg(content))
    with pytest.raises(BadJpegError, match="is 24 x 32, expected 48 x 32"):
        decode_jpeg(content, np.zeros((48, 32, 3), np.uint8))
    with pytest.raises(BadJpegError, match="does not decode"):
        decode_jpeg(content, np.zeros((12, 32, 3), np.uint8))


def test_damage_that_other_decoders_paint_over_is_an_error():
    random = np.random.default_rng(0)
    content = bytearray(jpeg(random.integers(0, 256, (256, 256, 3), np.uint8)))
    start = content.index(b"\xff\xda")
    content[start + 2000 : start + 2040] = random.bytes(40)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
    with pytest.raises(BadJpegError, match="does not decode: "):
        decode_jpeg(bytes(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JPEG, it starts with nothing"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "is no JPEG, it starts with 89 50 4e 47"),
        (b"\xff\xd8" + bytes(30), "is a JPEG of 32 bytes without a frame header"),
        (b"\xff\xd8\xff\xd9", "is a JPEG of 4 bytes without a frame header"),
    ],
)
def test_what_is_no_jpeg_says_so(content, message):
    for read in (jpeg_size, decode_jpeg):
        with pytest.raises(BadJpegError, match=message):
            read(content)


def test_a_header_that_states_billions_of_pixels_takes_no_memory():
    content = bytearray(jpeg(picture(24, 32)))
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = b"\xf0\x00\xf0\x00"
    with pytest.raises(BadJpegError, match="is 61440 x 61440, more than the"):
        decode_jpeg(bytes(content))
