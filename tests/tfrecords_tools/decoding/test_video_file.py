"""Which frames are shown when, in files that say so badly."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.conftest import counting_images, write_video
from tests.tfrecords_tools.decoding.video_files import (
    encode,
    grey_frames,
    numbers,
    pixels,
    write_frames,
)
from tfrecords_tools.decoding import video

SECOND = 1_000_000
# So that a grey level says its number.
FINE = {"qmin": "1", "qmax": "1"}


def write_palettes(path):
    """40 frames at 10 fps whose numbers are in a palette of greys."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
        palette = np.arange(256, dtype=np.uint8)[:, None].repeat(4, axis=1)
        palette[:, 0] = 255  # alpha
        for image in counting_images(40):
            indices = np.ascontiguousarray(image[..., 0])
            frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_with_sound(path, first, seconds, video_seconds=3):
    """Frames at 10 fps from `first` seconds on, and sound from 0 on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        times = range(round(first * 10), round((first + video_seconds) * 10))
        for frame in grey_frames(times):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        silence = np.zeros((1, round(seconds * 8000)), np.int16)
        frame = av.AudioFrame.from_ndarray(silence, "s16", "mono")
        frame.rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def spans(path, number, length, **changes):
    """Numbers of the frames of clips that begin every half second."""
    starts = np.arange(0, number - length + 0.01, 0.5)
    return {
        start: numbers(
            encode(path, round(start * SECOND), round((start + length) * SECOND))
        )
        for start in starts
    }


def expected_spans(count, rate, length):
    starts = np.arange(0, count / rate - length + 0.01, 0.5)
    times = np.arange(count) / rate
    return {
        start: np.flatnonzero((times >= start) & (times < start + length)).tolist()
        for start in starts
    }


def test_a_palette_of_the_first_packet_colours_a_clip_further_on(tmp_path):
    write_palettes(tmp_path / "a.avi")
    assert numbers(encode(tmp_path / "a.avi", 2_500_000, 3_500_000)) == list(
        range(25, 35)
    )


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("reordered.avi", "mpeg4", "yuv420p", {"bf": "2", "g": "12"} | FINE),
        ("plain.avi", "mpeg4", "yuv420p", {"g": "12"} | FINE),
        ("reordered h264.avi", "libx264", "yuv420p", {"bf": "2", "g": "12"}),
        ("plain h264.avi", "libx264", "yuv420p", {"bf": "0", "g": "12"}),
        ("reordered.wmv", "libx264", "yuv420p", {"bf": "2", "g": "12"}),
        ("a.mpg", "mpeg1video", "yuv420p", {"g": "12"}),
        ("reordered.mpg", "mpeg2video", "yuv420p", {"bf": "2", "g": "12"} | FINE),
        ("raw.m2v", "mpeg2video", "yuv420p", {"bf": "2"} | FINE),
        ("raw.h264", "libx264", "yuv420p", {"bf": "2", "g": "12"}),
        ("raw.h265", "libx265", "yuv420p", {"x265-params": "log-level=none"}),
        ("refreshed.mkv", "libx264", "yuv420p", {"intra-refresh": "1", "g": "12"}),
        ("animation.mov", "qtrle", "rgb24", {}),
        ("flash.swf", "flv", "yuv420p", {"g": "12"}),
    ],
)
def test_every_frame_is_in_the_clips_that_show_it(
    tmp_path, name, codec, pix_fmt, options
):
    rate, count = 25, 40
    path = tmp_path / name
    write_video(path, counting_images(count), rate, codec, pix_fmt, options)
    found = video.probe(path)
    assert found.start == 0
    assert found.frame_rate == pytest.approx(rate)
    assert found.duration == pytest.approx(count / rate * SECOND, abs=1000)
    frames = encode(path, 0, found.end)
    assert numbers(frames) == list(range(count))
    np.testing.assert_allclose(
        [frame.timestamp for frame in frames],
        SECOND / rate * np.arange(count),
        atol=1000,
    )
    assert spans(path, count / rate, 0.5) == expected_spans(count, rate, 0.5)


@pytest.mark.parametrize("name", ["a.mkv", "a.mov"])
def test_sound_that_goes_on_does_not_lengthen_the_video(tmp_path, name):
    write_with_sound(tmp_path / name, first=0, seconds=3.6)
    write_with_sound(tmp_path / f"long {name}", first=0, seconds=40)
    for path in (tmp_path / name, tmp_path / f"long {name}"):
        assert video.probe(path) == video.VideoProbe(3 * SECOND, 10.0)


@pytest.mark.parametrize("name", ["late.mov", "late.mkv"])
def test_seconds_are_the_players_where_the_sound_begins_first(tmp_path, name):
    path = tmp_path / name
    write_with_sound(path, first=2, seconds=5)
    assert video.probe(path) == video.VideoProbe(3 * SECOND, 10.0, start=2 * SECOND)
    frames = encode(path, 2_500_000, 3_500_000)
    assert numbers(frames) == list(range(5, 15))
    assert frames[0].timestamp == 2_500_000
    ticks = encode(path, SECOND, 3 * SECOND, fps=4)
    assert [frame.timestamp for frame in ticks] == [
        2 * SECOND + 250_000 * i for i in range(4)
    ]
    with pytest.raises(video.UnreadableVideoError, match=r"begins at 2\.00 s"):
        encode(path, 0, 3 * SECOND)


@pytest.mark.parametrize("later", [0, 1000])
def test_time_goes_on_where_the_clock_starts_anew_or_jumps(tmp_path, later):
    write_frames(tmp_path / "a.ts", grey_frames(range(15)), g="5")
    more = grey_frames(range(30))[15:]
    for place, frame in enumerate(more):
        frame.pts = 10 * later + place
    write_frames(tmp_path / "b.ts", more, g="5")
    parts = [(tmp_path / name).read_bytes() for name in ("a.ts", "b.ts")]
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    found = video.probe(tmp_path / "both.ts")
    assert (found.duration, found.frame_rate) == (3 * SECOND, 10)
    assert spans(tmp_path / "both.ts", 3, 1) == expected_spans(30, 10, 1)
    frames = encode(tmp_path / "both.ts")
    assert [frame.timestamp for frame in frames] == [100_000 * i for i in range(30)]


def write_two_streams(path, sizes, default):
    with av.open(str(path), "w") as container:
        streams = []
        for place, (width, height) in enumerate(sizes):
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            # Matroska's writer marks the first by itself, unless another one is.
            stream.disposition = (
                av.stream.Disposition.default
                if place in default
                else av.stream.Disposition.dub
            )
            streams.append(stream)
        for stream, (width, height) in zip(streams, sizes, strict=True):
            for frame in grey_frames(range(10), height, width):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("default", "width"), [([1], 64), ([0], 40), ([0, 1], 64), ([], 64)]
)
def test_the_default_track_is_read_and_else_the_largest(tmp_path, default, width):
    name = "a.mkv" if default else "a.ts"
    write_two_streams(tmp_path / name, [(40, 24), (64, 48)], default)
    assert encode(tmp_path / name)[0].width == width


@pytest.mark.parametrize(
    ("aspect", "side", "size"),
    [("16/9", 0, (96, 256)), ("16/9", 48, (48, 128)), ("1/2", 0, (96, 72))],
)
def test_pixels_become_square(tmp_path, aspect, side, size):
    def setup(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)

    write_frames(tmp_path / "a.mp4", grey_frames(range(4), 96, 144), setup=setup)
    frame = encode(tmp_path / "a.mp4", short_side=side)[0]
    assert (frame.height, frame.width) == pixels(frame).shape[:2] == size


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_a_packet_without_data_does_not_end_the_video(tmp_path, name):
    write_video(
        tmp_path / "all.mkv",
        counting_images(30),
        10,
        "mpeg4",
        options={"g": "1"} | FINE,
    )
    with (
        av.open(str(tmp_path / "all.mkv")) as source,
        av.open(str(tmp_path / name), "w") as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for place, packet in enumerate(source.demux(video=0)):
            if place in (5, 20):
                empty = av.Packet(b"")
                empty.pts, empty.dts = packet.pts, packet.dts
                empty.time_base = packet.time_base
                packet = empty
            elif not packet.size:
                continue
            packet.stream = stream
            target.mux(packet)
    found = video.probe(tmp_path / name)
    assert found.duration == 3 * SECOND
    assert found.frame_rate == pytest.approx(10, rel=0.1)
    shown = [n for n in range(30) if n not in (5, 20)]
    frames = encode(tmp_path / name)
    assert numbers(frames) == shown
    assert [frame.timestamp for frame in frames] == [100_000 * n for n in shown]
