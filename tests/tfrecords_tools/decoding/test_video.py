import pickle
import struct
import subprocess
import sys

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
VP9 = {"deadline": "realtime", "cpu-used": "8"}


def fault(path, *arguments, **changes):
    """Kind and reason of what reading the span (by default the whole) raises."""
    with pytest.raises(video.UnreadableVideoError) as caught:
        encode(path, *arguments, **changes)
    return caught.value.kind, str(caught.value)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.mp4", "libx264", "yuv420p", {"g": "8"}),
        ("one key frame.mp4", "libx264", "yuv420p", {"g": "250"}),
        ("10 bit.mp4", "libx264", "yuv420p10le", {}),
        ("full colour.mkv", "libx264", "yuv444p", {}),
        ("a.webm", "libvpx-vp9", "yuv420p", VP9 | {"g": "8"}),
        ("a.avi", "mpeg4", "yuv420p", {"qmin": "1", "qmax": "1", "g": "8"}),
        ("a.ts", "libx264", "yuv420p", {"g": "12"}),
        ("a.mov", "mjpeg", "yuvj420p", {}),
        ("grey.mkv", "ffv1", "gray10le", {}),
        ("a.gif", "gif", "gray", {}),
    ],
)
def test_all_frames_of_a_span_are_read_from_every_format(
    tmp_path, name, codec, pix_fmt, options
):
    write_video(tmp_path / name, counting_images(32), 8, codec, pix_fmt, options)
    found = video.probe(tmp_path / name)
    assert found.duration == pytest.approx(4 * SECOND, abs=20_000)
    assert found.frame_rate == pytest.approx(8, rel=0.05)
    frames = encode(tmp_path / name, 2 * SECOND - 1000, 3 * SECOND - 1000)
    assert numbers(frames) == list(range(16, 24))
    times = [frame.timestamp for frame in frames]
    # A GIF counts time in 1/100 s.
    expected = 2 * SECOND + 125_000 * np.arange(8)
    np.testing.assert_allclose(times, expected, atol=10_000)


def test_a_gif_that_stores_changes_only_is_drawn_whole(tmp_path):
    images = np.full((16, 48, 64, 3), 255, np.uint8)
    for number, image in enumerate(images):
        image[:16, 3 * number : 3 * number + 16] = 0
    write_video(tmp_path / "a.gif", images, 8, "gif", "gray")
    frames = encode(tmp_path / "a.gif", SECOND, 2 * SECOND)
    found = np.stack([pixels(frame) for frame in frames]).astype(int)
    assert np.abs(found - images[8:]).mean() < 3


def test_a_file_object_is_read_from_its_start_and_left_open(tmp_path):
    write_video(tmp_path / "a.mp4", counting_images(8))
    with open(tmp_path / "a.mp4", "rb") as file:
        file.seek(100)
        assert video.probe(file).duration == SECOND
        assert numbers(encode(file)) == list(range(8))
        assert not file.closed


def test_threads_change_nothing(tmp_path):
    write_video(tmp_path / "a.mp4", counting_images(16))
    assert encode(tmp_path / "a.mp4", threads=1) == encode(
        tmp_path / "a.mp4", threads=2
    )


def test_a_clip_far_into_a_video_is_read_without_what_comes_before(tmp_path):
    write_video(tmp_path / "a.mkv", counting_images(32), options={"g": "8"})
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    middle = len(data) // 2
    data[middle - 300 : middle - 200] = bytes(100)
    (tmp_path / "a.mkv").write_bytes(data)
    frames = encode(tmp_path / "a.mkv", 3 * SECOND, 4 * SECOND)
    assert numbers(frames) == list(range(24, 32))


def test_varying_frame_rate_keeps_the_streams_timestamps(tmp_path):
    times = [0, 1, 2, 10, 11, 30]
    write_frames(tmp_path / "a.mkv", grey_frames(times))
    assert [f.timestamp for f in encode(tmp_path / "a.mkv")] == [
        100_000 * time for time in times
    ]


def test_fps_takes_the_frame_shown_at_each_tick(tmp_path):
    write_frames(tmp_path / "a.mkv", grey_frames([0, 1, 2, 10, 11, 30]))
    frames = encode(tmp_path / "a.mkv", 150_000, 1_650_000, fps=4)
    assert [f.timestamp for f in frames] == [150_000 + 250_000 * i for i in range(6)]
    assert numbers(frames) == [1, 2, 2, 2, 4, 4]


def test_fps_of_the_source_takes_every_frame_once(tmp_path):
    write_video(tmp_path / "a.mp4", counting_images(30), rate=30)
    assert numbers(encode(tmp_path / "a.mp4", fps=30)) == list(range(30))


def test_ticks_end_with_the_last_frame(tmp_path):
    write_video(tmp_path / "a.mp4", counting_images(6))
    frames = encode(tmp_path / "a.mp4", 0, SECOND, fps=8)
    assert numbers(frames) == list(range(6))


def test_a_span_between_two_frames_holds_the_frame_that_is_shown(tmp_path):
    write_frames(tmp_path / "a.mkv", grey_frames([0, 20, 40]))
    frames = encode(tmp_path / "a.mkv", SECOND, 1_500_000)
    assert (numbers(frames), frames[0].timestamp) == ([0], SECOND)


def test_timestamps_count_from_the_start_of_the_stream(tmp_path):
    write_frames(tmp_path / "a.ts", grey_frames(range(50, 60)))
    frames = encode(tmp_path / "a.ts", 200_000, 500_000)
    assert [f.timestamp for f in frames] == [200_000, 300_000, 400_000]
    assert numbers(frames) == [2, 3, 4]


def write_live(path, codec, options):
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in grey_frames(range(24)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_live_recording_without_duration_is_measured(tmp_path):
    write_live(tmp_path / "a.webm", "libvpx-vp9", VP9 | {"g": "8"})
    with av.open(str(tmp_path / "a.webm")) as container:
        assert container.duration is None
    found = video.probe(tmp_path / "a.webm")
    assert found == video.VideoProbe(2_400_000, 10.0)
    frames = encode(tmp_path / "a.webm", 1_200_000, 1_500_000)
    assert numbers(frames) == [12, 13, 14]


@pytest.mark.parametrize(
    "name",
    [
        "two words.mp4",
        'it\'s "quoted".mp4',
        "two\nlines.mp4",
        "größe 映像.mp4",
        "http:host.mp4",
        "concat:a.mp4|b.mp4",
        "frame%03d.mp4",
        "-i.mp4",
        "no extension",
        "wrong.txt",
    ],
)
def test_names_are_taken_as_they_are(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video("plain.mp4", counting_images(8))
    (tmp_path / "plain.mp4").rename(tmp_path / name)
    assert video.probe(name).duration == SECOND
    assert numbers(encode(name)) == list(range(8))


@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile plain.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nplain.ts\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path, monkeypatch, playlist):
    monkeypatch.chdir(tmp_path)
    write_video("plain.mp4", counting_images(8))
    write_video("plain.ts", counting_images(8))
    (tmp_path / "list.m3u8").write_text(playlist)
    assert fault("list.m3u8")[0] == "unreadable"


def test_missing_empty_and_foreign_files_are_told_apart(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "notes.txt").write_text("not a video\n" * 100)
    assert fault(tmp_path / "gone.mp4")[0] == "missing"
    assert fault(tmp_path / "empty.mp4")[0] == "empty"
    assert fault(tmp_path / "text.mp4")[0] == "unreadable"
    assert fault(tmp_path / "notes.txt")[0] == "unreadable"
    assert fault(tmp_path)[0] == "unreadable"


def write_audio(path, codec, sample_format, cover=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=8000, layout="mono")
        if cover is not None:
            picture = container.add_stream("mjpeg", rate=1)
            picture.height, picture.width = cover.shape[:2]
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(cover, format="rgb24")
            container.mux(picture.encode(frame))
        dtype = {"s16": np.int16, "fltp": np.float32}[sample_format]
        silence = np.zeros((1, 8000), dtype)
        frame = av.AudioFrame.from_ndarray(silence, sample_format, "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_audio_is_no_video_even_with_a_cover_picture(tmp_path):
    cover = counting_images(1)[0]
    write_audio(tmp_path / "a.mp4", "aac", "fltp")
    write_audio(tmp_path / "cover.flac", "flac", "s16", cover)
    with av.open(str(tmp_path / "cover.flac")) as container:
        assert len(container.streams.video) == 1
    for name in ("a.mp4", "cover.flac"):
        kind, reason = fault(tmp_path / name)
        assert kind == "no video"
        assert "audio" in reason


def test_a_video_of_zero_length_is_named(tmp_path):
    for name, expected in (("a.mkv", "no frames"), ("a.mp4", "no video")):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            container.start_encoding()
        assert fault(tmp_path / name)[0] == expected


def noisy_video(path, **container):
    """30 images of noise at 10 fps, a keyframe each second; large packets."""
    generator = np.random.default_rng(0)
    frames = []
    for time in range(30):
        image = generator.integers(0, 256, (48, 64, 3), np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frames.append(frame.reformat(format="yuv420p"))
        frames[-1].pts = time
    write_frames(path, frames, g="10", container=container)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_of_a_file_cut_off_in_the_middle_the_whole_clips_are_kept(tmp_path, name):
    noisy_video(
        tmp_path / name, **({"movflags": "faststart"} if ".mp4" in name else {})
    )
    whole = [encode(tmp_path / name, s * SECOND, (s + 1) * SECOND) for s in range(3)]
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 45 // 100])
    assert video.probe(tmp_path / name).duration == 3 * SECOND
    assert encode(tmp_path / name, 0, SECOND) == whole[0]
    assert fault(tmp_path / name, SECOND, 2 * SECOND)[0] == "damaged"
    kind, reason = fault(tmp_path / name, 2 * SECOND, 3 * SECOND)
    assert kind == "no frames"
    assert "the video ends at 1." in reason
    assert "states 3.00 s" in reason


def test_an_mp4_cut_off_before_its_index_is_unreadable(tmp_path):
    noisy_video(tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    assert fault(tmp_path / "a.mp4")[0] == "unreadable"


@pytest.mark.parametrize("size", [200, 2000])
def test_damage_spoils_only_the_clip_it_is_in(tmp_path, size):
    noisy_video(tmp_path / "a.mp4")
    whole = [encode(tmp_path / "a.mp4", s * SECOND, (s + 1) * SECOND) for s in range(3)]
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + size] = np.random.default_rng(0).bytes(size)
    (tmp_path / "a.mp4").write_bytes(data)
    assert encode(tmp_path / "a.mp4", 0, SECOND) == whole[0]
    assert fault(tmp_path / "a.mp4", SECOND, 2 * SECOND)[0] == "damaged"
    assert encode(tmp_path / "a.mp4", 2 * SECOND, 3 * SECOND) == whole[2]


def test_a_header_that_lies_about_the_duration_is_found_out(tmp_path):
    write_video(tmp_path / "a.mkv", counting_images(16))
    data = (tmp_path / "a.mkv").read_bytes()
    place = data.index(b"\x44\x89\x88") + 3  # Matroska's Duration, a double in ms
    data = data[:place] + struct.pack(">d", 100_000) + data[place + 8 :]
    (tmp_path / "a.mkv").write_bytes(data)
    assert video.probe(tmp_path / "a.mkv").duration == 100 * SECOND
    assert numbers(encode(tmp_path / "a.mkv", 0, SECOND)) == list(range(8))
    assert numbers(encode(tmp_path / "a.mkv", SECOND, 3 * SECOND)) == list(range(8, 16))
    kind, reason = fault(tmp_path / "a.mkv", 0, 100 * SECOND)
    assert kind == "damaged"
    assert "ends at 2.00 s" in reason
    assert "states 100.00 s" in reason
    kind, reason = fault(tmp_path / "a.mkv", 50 * SECOND, 60 * SECOND)
    assert kind == "no frames"
    assert "ends at 2.00 s" in reason
    assert "states 100.00 s" in reason


def test_errors_survive_pickling():
    error = video.UnreadableVideoError("damaged", "why")
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.kind, str(copied)) == ("damaged", "why")


def test_decoding_imports_no_tensorflow_and_prints_nothing(tmp_path):
    noisy_video(tmp_path / "a.mp4", movflags="faststart")
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    program = (
        "import sys\n"
        "from tfrecords_tools.decoding import video\n"
        "try:\n"
        "    list(video.encode_frames(sys.argv[1], 0, 3000000, 0, 0, 95, 1))\n"
        "except video.UnreadableVideoError as error:\n"
        "    print(error.kind, 'tensorflow' in sys.modules)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.mp4")],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (finished.stdout, finished.stderr) == ("damaged False\n", "")
