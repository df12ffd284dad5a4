import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from spl_tf.clips.jpeg import decode_jpeg
from tests.conftest import jpeg
from tfrecords_tools.decoding.images import UnreadableImageError, to_8_bits, to_jpeg

RAMP = np.linspace(0, 65_535, 64 * 64).reshape(64, 64).round().astype(np.uint16)


def file_of(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def frame(content, short_side=0, name="some.file"):
    """The frame that an image file becomes, int64 [H, W, 3]."""
    encoded, height, width = to_jpeg(content, short_side, 100, name)
    pixels = decode_jpeg(encoded)
    assert pixels.shape == (height, width, 3)
    return pixels.astype(int)


def assert_grey(content, expected, tolerance=2):
    pixels = frame(content)
    assert np.abs(pixels - expected[..., None]).max() <= tolerance


def tiff(values, bits, photometric=1, order="<", form=1, channels=1):
    """An uncompressed TIFF, written by hand: Pillow writes few kinds."""
    height, width = values.shape[:2]
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(int)
        data = b"".join(int(a << 12 | b).to_bytes(3, "big") for a, b in pairs)
    else:
        data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    short, long = 3, 4
    tags = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, channels, bits),
        (259, short, 1, 1),
        (262, short, 1, photometric),
        (273, long, 1, 8),
        (277, short, 1, channels),
        (278, long, 1, height),
        (279, long, 1, len(data)),
        (339, short, channels, form),
    ]
    directory = 8 + len(data)
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(
        f"{order}I", directory
    )
    content += data + struct.pack(f"{order}H", len(tags))
    behind = directory + 2 + 12 * len(tags) + 4
    extra = b""
    for tag, kind, count, value in tags:
        if count == 3:
            extra_place = behind + len(extra)
            extra += struct.pack(f"{order}3H", *(value,) * 3)
            packed = struct.pack(f"{order}I", extra_place)
        else:
            code = "HH" if kind == short else "I"
            packed = struct.pack(order + code, *(value, 0)[: len(code)])
        content += struct.pack(f"{order}HHI", tag, kind, count) + packed
    return content + bytes(4) + extra


DEEP = {
    "png": lambda: file_of(Image.fromarray(RAMP), "PNG"),
    "jpeg 2000": lambda: file_of(Image.fromarray(RAMP), "JPEG2000"),
    "tiff": lambda: tiff(RAMP, 16),
    "tiff, big-endian": lambda: tiff(RAMP, 16, order=">"),
    "pgm": lambda: b"P5 64 64 65535\n" + RAMP.astype(">u2").tobytes(),
}


@pytest.mark.parametrize("kind", DEEP)
def test_sixteen_bits_of_grey_are_scaled_to_eight(kind):
    assert_grey(DEEP[kind](), RAMP / 257)


def test_a_pgm_of_another_maximum_is_scaled_by_it():
    values = RAMP // 64  # 0 to 1023
    content = b"P5 64 64 1023\n" + values.astype(">u2").tobytes()
    assert_grey(content, values / 1023 * 255)


def test_a_tiff_says_how_many_bits_it_has_and_which_value_is_white():
    values = RAMP // 16  # 0 to 4095
    assert_grey(tiff(values, 12, order="<"), values / 4095 * 255)
    assert_grey(tiff(RAMP, 16, photometric=0), 255 - RAMP / 257)


def test_sixteen_bits_of_colour_or_with_alpha_are_scaled():
    colours = np.stack([RAMP, RAMP.T, RAMP[::-1]], axis=-1)
    expected = colours / 257
    assert np.abs(frame(tiff(colours, 16, 2, channels=3)) - expected).max() < 10
    assert abs((frame(tiff(colours, 16, 2, channels=3)) - expected).mean()) < 1
    # A PNG of grey and alpha, 16 bits each, which Pillow does not write.
    assert_grey(png_of_grey_and_alpha(RAMP), RAMP / 257)


def png_of_grey_and_alpha(grey):
    def chunk(name, data):
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    rows = np.stack([grey, np.full_like(grey, 30_000)], axis=-1).astype(">u2")
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 16, 4, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (tiff(RAMP.astype(np.float32) / 65_535, 32, form=3), "'F'"),
        (tiff(RAMP.astype(np.int32), 32, form=2), "'I'"),
        (tiff(RAMP.astype(np.uint32), 32), "'I'"),
        (tiff(RAMP.astype(np.int16), 16, form=2), "'I'"),
    ],
    ids=["float", "signed 32", "unsigned 32", "signed 16"],
)
def test_pixels_of_no_known_range_are_refused_and_not_cut_off(content, mode):
    with pytest.raises(UnreadableImageError, match=f"TIFF .* mode {mode}"):
        frame(content)


RED = (200, 30, 60)


def modes():
    rgb = Image.new("RGB", (40, 40), RED)
    yield "CMYK jpeg", file_of(rgb.convert("CMYK"), "JPEG", quality=100), RED
    yield "CMYK tiff", file_of(rgb.convert("CMYK"), "TIFF"), RED
    yield "YCbCr tiff", file_of(rgb.convert("YCbCr"), "TIFF", compression="jpeg"), RED
    yield "palette", file_of(rgb.quantize(16), "GIF"), RED
    yield "alpha", file_of(Image.new("RGBA", (40, 40), (*RED, 128)), "PNG"), RED
    yield "under alpha", file_of(Image.new("RGBA", (40, 40), (*RED, 0)), "PNG"), RED
    yield (
        "grey and alpha",
        file_of(Image.new("LA", (40, 40), (90, 9)), "PNG"),
        (90,) * 3,
    )
    yield "grey", file_of(Image.new("L", (40, 40), 77), "PNG"), (77,) * 3
    yield "bits", file_of(Image.new("1", (40, 40), 1), "PNG"), (255,) * 3
    palette = rgb.quantize(16)
    yield "palette key", file_of(palette, "PNG", transparency=bytes(16)), RED
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    yield "LAB", file_of(ImageCms.applyTransform(rgb, to_lab), "TIFF"), RED


@pytest.mark.parametrize(
    ("content", "expected"),
    [pytest.param(*case[1:], id=case[0]) for case in modes()],
)
def test_every_mode_keeps_its_colours(content, expected):
    assert np.abs(frame(content) - expected).max() <= 4


def test_a_cmyk_jpeg_has_the_colours_with_and_without_adobe_s_marker():
    image = Image.new("CMYK", (40, 40), (10, 200, 150, 40))
    ink = 1 - np.array([10, 200, 150]) / 255
    expected = 255 * ink * (1 - 40 / 255)
    inverted = file_of(image, "JPEG", quality=100)  # with the marker, as Photoshop's
    assert np.abs(frame(inverted) - expected).max() <= 3
    place = inverted.index(b"\xff\xee")
    length = int.from_bytes(inverted[place + 2 : place + 4], "big")
    plain = inverted[:place] + inverted[place + 2 + length :]
    with Image.open(io.BytesIO(plain)) as opened:
        ink = 1 - np.asarray(opened)[0, 0].astype(float) / 255
    assert np.abs(frame(plain) - 255 * ink[:3] * ink[3]).max() <= 3


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_upright(form, orientation):
    corners = np.zeros((40, 60), np.uint8)
    corners[:20, :30], corners[:20, 30:], corners[20:, :30] = 240, 160, 80
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Where EXIF 2.32, 4.6.4 puts the first row and column.
    turned = {
        1: corners,
        2: corners[:, ::-1],
        3: corners[::-1, ::-1],
        4: corners[::-1],
        5: corners.T,
        6: corners.T[::-1],
        7: corners.T[::-1, ::-1],
        8: corners.T[:, ::-1],
    }[orientation]
    stored = Image.fromarray(np.ascontiguousarray(turned)).convert("RGB")
    options = {"quality": 95} if form == "JPEG" else {}
    content = file_of(stored, form, exif=exif, **options)
    assert np.abs(frame(content)[..., 0] - corners).mean() < 3


def test_sixteen_bits_are_turned_upright_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = file_of(Image.fromarray(RAMP[:, :32].copy()), "PNG", exif=exif)
    expected = np.rot90(RAMP[:, :32], -1) / 257
    assert np.abs(frame(content)[..., 0] - expected).max() <= 2


def test_exif_that_cannot_be_parsed_costs_nothing():
    pixels = np.full((40, 60, 3), 90, np.uint8)
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM"):
        content = file_of(Image.fromarray(pixels), "JPEG", exif=exif)
        assert np.abs(frame(content, short_side=20) - 90).max() <= 2


def test_of_an_animation_the_first_image_is_taken():
    images = [Image.new("RGB", (40, 40), (level,) * 3) for level in (50, 120, 250)]
    for form in ("GIF", "PNG", "WEBP", "TIFF"):
        content = file_of(images[0], form, save_all=True, append_images=images[1:])
        assert np.abs(frame(content) - 50).max() <= 3


def damaged(number=40):
    random = np.random.default_rng(0)
    content = bytearray(jpeg(random.integers(0, 256, (256, 256, 3), np.uint8)))
    place = content.index(b"\xff\xda") + 2000
    content[place : place + number] = random.bytes(number)
    return bytes(content)


def test_a_damaged_jpeg_that_pillow_reads_is_encoded_anew():
    content = damaged()
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    encoded, height, width = to_jpeg(content, 256, 100)
    assert (height, width) == (256, 256)
    assert encoded != content
    assert np.abs(decode_jpeg(encoded) - expected).mean() < 8


def short_jfif(content):
    """Cuts the JFIF segment to its name, which Pillow does not read."""
    assert content[2:4] == b"\xff\xe0"
    length = int.from_bytes(content[4:6], "big")
    return content[:2] + b"\xff\xe0\x00\x07JFIF\0" + content[4 + length :]


@pytest.mark.parametrize("content", [damaged(), jpeg(np.full((256, 256, 3), 70, "u1"))])
def test_a_jpeg_that_only_tensorflow_reads_is_encoded_anew(content):
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    content = short_jfif(content)
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(content))
    assert np.abs(frame(content) - expected).mean() < 8


def test_what_none_reads_is_refused_by_the_file_s_name():
    whole = jpeg(np.full((64, 64, 3), 70, np.uint8))
    for content in (b"text", whole[:-200], whole[:2] + whole[600:], b"\xff\xd8\xff"):
        with pytest.raises(UnreadableImageError, match="cannot be decoded") as error:
            to_jpeg(content, 0, 95, "folder/a b.jpg")
        assert " at 0x" not in str(error.value)
    with pytest.raises(UnreadableImageError, match=r"identify .* 'folder/a b\.jpg'"):
        to_jpeg(b"text", 0, 95, "folder/a b.jpg")


def test_pillow_s_own_limit_of_pixels_does_not_hold(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    content = file_of(Image.new("L", (200, 100), 99), "PNG")
    assert np.abs(frame(content, short_side=50) - 99).max() <= 2
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.slow
def test_an_image_of_200_million_pixels_is_read():
    content = file_of(Image.new("1", (20_000, 10_000), 1), "PNG", compress_level=1)
    pixels = frame(content, short_side=64)
    assert pixels.shape == (64, 128, 3)
    assert pixels.min() >= 253


def test_an_image_that_would_fill_the_memory_is_refused_by_its_size():
    whole = file_of(Image.new("L", (30, 20)), "PNG")
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + whole[24:29]
    content = whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]
    with pytest.raises(
        UnreadableImageError, match="60000 x 60000 pixels are more than the 500,000,000"
    ):
        to_jpeg(content, 256, 95)


def test_values_are_rounded_and_never_wrap():
    values = np.arange(65_536, dtype=np.uint16)
    expected = [round(value / 257) for value in range(65_536)]
    assert to_8_bits(values).tolist() == expected
    assert to_8_bits(np.array([0, 1023], np.int32), 1023).tolist() == [0, 255]
