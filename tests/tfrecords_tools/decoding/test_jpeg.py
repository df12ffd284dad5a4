import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from tests.conftest import counting_images, write_video
from tests.tfrecords_tools.decoding.video_files import (
    encode,
    numbers,
    pixels,
    write_frames,
)
from tfrecords_tools.decoding import video

SECOND = 1_000_000


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_rotated_video_is_stored_upright(tmp_path, rotation, mirrored):
    image = np.zeros((48, 96, 3), np.uint8)
    image[:24, :48], image[:24, 48:] = (220, 30, 30), (30, 200, 30)
    image[24:, :48], image[24:, 48:] = (40, 40, 220), (230, 230, 230)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    frame.pts = 0
    write_frames(
        tmp_path / "a.mp4",
        [frame],
        setup=lambda stream: stream.set_display_rotation(rotation, hflip=mirrored),
    )
    # `set_display_rotation` turns counter-clockwise and mirrors after it.
    expected = np.rot90(image, rotation // 90)
    expected = expected[:, ::-1] if mirrored else expected
    (found,) = encode(tmp_path / "a.mp4", short_side=24)
    assert pixels(found).shape == (found.height, found.width, 3)
    assert (found.height, found.width) == (
        expected.shape[0] // 2,
        expected.shape[1] // 2,
    )
    difference = pixels(found).astype(int) - expected[::2, ::2]
    assert np.median(np.abs(difference)) < 4
    assert np.mean(np.abs(difference) < 12) > 0.8


COLOURS = np.array(
    [[200, 30, 40], [20, 180, 60], [40, 50, 210], [128, 128, 128], [240, 220, 30]]
)


def ycbcr(rgb, red, blue, full_range):
    """ITU-R's definition, 8 bit; `red` and `blue` are the weights of luma."""
    r, g, b = (rgb / 255).T
    y = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    scale = (255, 255, 0) if full_range else (219, 224, 16)
    planes = y * scale[0] + scale[2], cb * scale[1] + 128, cr * scale[1] + 128
    return np.rint(np.stack(planes, -1)).astype(np.uint8)


@pytest.mark.parametrize("short_side", [0, 32])
@pytest.mark.parametrize(
    ("weights", "colorspace", "full_range"),
    [
        ((0.2126, 0.0722), Colorspace.ITU709, False),
        ((0.2126, 0.0722), Colorspace.ITU709, True),
        ((0.299, 0.114), Colorspace.ITU601, False),
        ((0.299, 0.114), None, False),  # FFmpeg takes BT.601 for untagged
        ((0.2627, 0.0593), Colorspace.BT2020, False),
    ],
)
def test_colours_are_those_of_the_source(
    tmp_path, weights, colorspace, full_range, short_side
):
    patches = ycbcr(COLOURS, *weights, full_range)
    size = 64
    planes = np.repeat(np.repeat(patches[None], size, 0), size, 1)
    luma, chroma = planes[..., 0], planes[::2, ::2, 1:]
    flat = [luma.reshape(-1), chroma[..., 0].reshape(-1), chroma[..., 1].reshape(-1)]
    frame = av.VideoFrame.from_ndarray(
        np.concatenate(flat).reshape(size * 3 // 2, -1), format="yuv420p"
    )
    frame.pts = 0

    def setup(stream):
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        if full_range:
            stream.codec_context.color_range = ColorRange.JPEG

    write_frames(tmp_path / "a.mp4", [frame], setup=setup, qp="1")
    (found,) = encode(tmp_path / "a.mp4", short_side=short_side, jpeg_quality=100)
    image = pixels(found)
    step = image.shape[0]
    middles = image[step // 2, step // 2 :: step]
    np.testing.assert_allclose(middles.astype(int), COLOURS, atol=5)


@pytest.mark.parametrize("full_range", [False, True])
def test_grey_video_keeps_its_levels(tmp_path, full_range):
    levels = np.array([0, 60, 128, 200, 255])
    stored = levels if full_range else np.rint(levels * 219 / 255 + 16)
    row = np.repeat(stored.astype(np.uint8), 32)
    frame = av.VideoFrame.from_ndarray(np.tile(row, (32, 1)), format="gray")
    frame.pts = 0
    colour_range = ColorRange.JPEG if full_range else ColorRange.MPEG

    def setup(stream):
        stream.codec_context.color_range = colour_range

    write_frames(tmp_path / "a.mp4", [frame], setup=setup, qp="1")
    (found,) = encode(tmp_path / "a.mp4")
    middles = pixels(found)[16, 16::32]
    np.testing.assert_allclose(middles, np.repeat(levels[:, None], 3, 1), atol=4)


@pytest.mark.parametrize(
    ("height", "width", "short_side", "expected"),
    [
        (1, 1, 0, (1, 1)),
        (1, 1, 32, (32, 32)),
        (33, 47, 0, (33, 47)),
        (33, 47, 24, (24, 34)),
        (47, 33, 24, (34, 24)),
        (48, 64, 24, (24, 32)),
    ],
)
def test_frames_are_scaled_to_the_short_side(
    tmp_path, height, width, short_side, expected
):
    images = counting_images(4, height, width)
    write_video(tmp_path / "a.mkv", images, codec="ffv1")
    frames = encode(tmp_path / "a.mkv", short_side=short_side)
    assert numbers(frames) == [0, 1, 2, 3]
    assert {(f.height, f.width) for f in frames} == {expected}
    assert {pixels(f).shape for f in frames} == {(*expected, 3)}


def test_an_8k_video_is_read(tmp_path):
    planes = np.full((4320 * 3 // 2, 7680), 128, np.uint8)
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.pts = 0
    write_frames(tmp_path / "a.mp4", [frame], preset="ultrafast", tune="zerolatency")
    (found,) = encode(tmp_path / "a.mp4", short_side=256)
    assert (found.height, found.width) == (256, 455)
    assert abs(pixels(found).mean() - (128 - 16) * 255 / 219) < 3


def test_a_frame_too_long_for_jpeg_is_named(tmp_path):
    write_video(tmp_path / "a.mkv", counting_images(2, 2, 1000), codec="ffv1")
    with pytest.raises(video.UnreadableVideoError, match=r"1000x2 .* 128000x256") as it:
        encode(tmp_path / "a.mkv", short_side=256)
    assert it.value.kind == "unreadable"


def test_joined_files_keep_one_size_and_one_clock(tmp_path):
    for name, height in (("a", 48), ("b", 96)):
        write_video(tmp_path / f"{name}.ts", counting_images(4, height, 2 * height))
    both = (tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes()
    (tmp_path / "both.ts").write_bytes(both)
    frames = encode(tmp_path / "both.ts", 0, SECOND)
    assert numbers(frames) == [0, 1, 2, 3, 0, 1, 2, 3]
    assert [f.timestamp for f in frames] == [125_000 * i for i in range(8)]
    assert {(f.height, f.width) for f in frames} == {(48, 96)}
