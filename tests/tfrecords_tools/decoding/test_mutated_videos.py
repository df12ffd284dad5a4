"""Damaged videos: what conversion takes, validation and decoding take, too."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from tests.conftest import counting_images, write_video
from tests.tfrecords_tools.conftest import convert, read_all
from tfrecords_tools.conversion.conversion import DUPLICATE
from tfrecords_tools.inspection.validation import validate

FORMATS = [
    ("a.mp4", "libx264", "yuv420p"),
    ("b.mkv", "libx264", "yuv420p"),
    ("c.avi", "mpeg4", "yuv420p"),
    ("d.ts", "mpeg2video", "yuv420p"),
    ("e.webm", "libvpx", "yuv420p"),
    ("f.mov", "mjpeg", "yuvj420p"),
    ("g.flv", "flv", "yuv420p"),
    ("h.mpg", "mpeg1video", "yuv420p"),
]


def mutated(data, generator):
    """Bytes with some overwritten, left out, doubled or cut off at the end."""
    data = bytearray(data)
    place = int(generator.integers(len(data)))
    size = int(generator.choice([1, 4, 40, 400]))
    match generator.integers(5):
        case 0:
            del data[place:]
        case 1:
            del data[place : place + size]
        case 2:
            data[place:place] = data[place : place + size]
        case 3:
            data[place : place + size] = bytes(size)
        case _:
            data[place : place + size] = generator.bytes(size)
    return bytes(data)


@pytest.mark.parametrize(
    ("first", "count"), [(0, 40), pytest.param(40, 160, marks=pytest.mark.slow)]
)
def test_what_is_converted_is_valid_and_the_rest_is_named(tmp_path, first, count):
    originals = []
    for name, codec, pix_fmt in FORMATS:
        write_video(tmp_path / name, counting_images(25), 25, codec, pix_fmt)
        originals.append((tmp_path / name).read_bytes())
    (tmp_path / "classes.txt").write_text("run\n")
    names = []
    for number in range(first, first + count):
        place = number % len(FORMATS)
        names.append(f"{number}{pathlib.Path(FORMATS[place][0]).suffix}")
        generator = np.random.default_rng(number)
        (tmp_path / names[-1]).write_bytes(mutated(originals[place], generator))
    info = convert(
        tmp_path,
        "video,label\n" + "".join(f"{name},run\n" for name in names),
        clips_per_video=2,
        clip_seconds=0.4,
        video_seconds_limit=60.0,
        max_skipped_fraction=1.0,
    )
    assert validate(tmp_path / "out") == []
    _, by_id = read_all(tmp_path / "out")
    for clip in by_id.values():
        assert len(clip.frames) == len(clip.timestamps) > 0
        assert list(clip.timestamps) == sorted(set(clip.timestamps))
        for frame in clip.frames:
            assert np.asarray(Image.open(io.BytesIO(frame))).shape == (
                clip.height,
                clip.width,
                3,
            )
    left_out = {entry["video"] for entry in info.skipped}
    assert {clip.data_path for clip in by_id.values()} | left_out == set(names)
    assert all(e["reason"] for e in info.skipped if e["kind"] != DUPLICATE)
    # Most of it survives a blow, so that the test is about something.
    assert count // 2 < len({clip.data_path for clip in by_id.values()}) < count
