import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from spl_tf import clips
from tests.conftest import counting_images, write_video
from tfrecords_tools import video
from tfrecords_tools.convert_videos import (
    ConversionSettings,
    TooManySkippedError,
    convert_videos,
)

SECOND = 1_000_000


def numbers(clip):
    """The image numbers that a clip's frames show, see `counting_images`."""
    levels = [np.asarray(Image.open(io.BytesIO(f))).mean() for f in clip.frames]
    return [round((level - 10) / 5) for level in levels]


@pytest.fixture
def folder(tmp_path):
    """Two readable videos of 4 s at 8 fps, and classes; no manifest."""
    (tmp_path / "videos").mkdir()
    for name in ("one", "two words"):
        write_video(
            tmp_path / "videos" / f"{name}.mp4",
            counting_images(32),
            options={"g": "8", "crf": "10"},
        )
    (tmp_path / "classes.txt").write_text("run\njump\n")
    return tmp_path


def convert(folder, manifest, overwrite=False, **settings):
    (folder / "m.csv").write_text(manifest)
    settings = {"num_workers": 1, "short_side": 0, "num_shards": 2} | settings
    return convert_videos(
        str(folder / "m.csv"),
        str(folder / "classes.txt"),
        str(folder / "out"),
        settings=ConversionSettings(**settings),
        overwrite=overwrite,
    )


def read_all(directory):
    dataset = clips.ClipDataset(directory)
    with dataset.reader() as reader:
        parsed = [clips.parse_clip(reader.read(row)) for row in range(len(dataset))]
    return dataset, {clip.id: clip for clip in parsed}


def test_untrimmed_and_trimmed_videos_become_clips_of_the_right_frames(folder):
    manifest = (
        "video,label,start,end\nvideos/one.mp4,jump,,\nvideos/two words.mp4,run,1,1.5\n"
    )
    info = convert(folder, manifest, clips_per_video=4, clip_seconds=1.0)
    dataset, by_id = read_all(folder / "out")
    assert info.num_clips == len(dataset) == 5
    assert info.label_kind == "weak"
    assert info.skipped == []
    for second in range(4):
        start, end = second * SECOND, (second + 1) * SECOND
        clip = by_id[f"videos/one.mp4@{start}-{end}"]
        assert numbers(clip) == list(range(8 * second, 8 * second + 8))
        assert clip.timestamps == tuple(start + 125_000 * t for t in range(8))
        assert (clip.label_index, clip.label_name) == (1, "jump")
        assert (clip.height, clip.width, clip.frame_rate) == (48, 64, 8.0)
    trimmed = by_id["videos/two words.mp4@1000000-1500000"]
    assert numbers(trimmed) == [8, 9, 10, 11]
    assert trimmed.label_index == 0


def test_frames_are_scaled_to_the_short_side_and_picked_at_the_rate(folder):
    manifest = "video,label\nvideos/one.mp4,run\n"
    convert(folder, manifest, short_side=24, fps=4.0, num_shards=1)
    _, by_id = read_all(folder / "out")
    clip = by_id["videos/one.mp4@0-4000000"]
    assert (clip.height, clip.width, clip.frame_rate) == (24, 32, 4.0)
    assert Image.open(io.BytesIO(clip.frames[0])).size == (32, 24)
    assert numbers(clip) == list(range(0, 32, 2))
    assert clip.timestamps == tuple(250_000 * t for t in range(16))


def test_a_lower_rate_than_asked_for_repeats_frames(folder):
    frames = video.read_frames(folder / "videos" / "one.mp4", 0, SECOND, 0, 16.0)
    levels = [round((frame.image.mean() - 10) / 5) for frame in frames]
    assert levels == [n for n in range(8) for _ in range(2)]


def test_unreadable_videos_are_left_out_and_listed(folder):
    (folder / "videos" / "empty.mp4").write_bytes(b"")
    (folder / "videos" / "text.mp4").write_text("not a video")
    manifest = "video,label\n" + "".join(
        f"videos/{name}.mp4,run\n" for name in ("one", "empty", "text", "gone")
    )
    info = convert(folder, manifest, max_skipped_fraction=0.75)
    dataset, _ = read_all(folder / "out")
    assert len(dataset) == 1
    assert [entry["video"] for entry in info.skipped] == [
        "videos/empty.mp4",
        "videos/text.mp4",
        "videos/gone.mp4",
    ]
    assert all("cannot be opened" in entry["reason"] for entry in info.skipped)
    assert clips.DatasetInfo.load(folder / "out").skipped == info.skipped
    with pytest.raises(TooManySkippedError, match=r"4 videos, 3 .75\.0%.*limit is 10"):
        convert(folder, manifest, overwrite=True)


def test_a_range_behind_the_end_is_left_out(folder):
    manifest = (
        "video,label,start,end\nvideos/one.mp4,run,0,1\nvideos/one.mp4,run,50,60\n"
    )
    info = convert(folder, manifest, max_skipped_fraction=1.0)
    assert [(entry["video"], entry["clip"]) for entry in info.skipped] == [
        ("videos/one.mp4", "videos/one.mp4@50000000-60000000")
    ]


def test_nothing_readable_is_an_error_that_names_the_first_file(folder):
    with pytest.raises(ValueError, match=r"none of the 1 videos.*videos/gone\.mp4"):
        convert(folder, "video,label\nvideos/gone.mp4,run\n")
    assert not (folder / "out" / "dataset.json").exists()


def test_a_dataset_is_replaced_only_on_request(folder):
    manifest = "video,label\nvideos/one.mp4,run\n"
    convert(folder, manifest)
    with pytest.raises(FileExistsError, match="--overwrite"):
        convert(folder, manifest)
    convert(folder, manifest, overwrite=True, clips_per_video=3, clip_seconds=1.0)
    assert len(clips.ClipDataset(folder / "out")) == 3
    assert not list((folder / "out").glob("*incomplete*"))


def test_the_number_of_workers_does_not_change_a_byte(folder):
    manifest = "video,label\nvideos/one.mp4,run\nvideos/two words.mp4,jump\n"

    def files(workers):
        convert(
            folder,
            manifest,
            overwrite=True,
            num_workers=workers,
            clips_per_video=5,
            clip_seconds=0.5,
        )
        return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}

    assert files(1) == files(2)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="jpeg_quality is 0, expected 1 to 100"):
        ConversionSettings(jpeg_quality=0)


def test_the_command_prints_what_it_wrote(folder):
    (folder / "m.csv").write_text("video,label\nvideos/one.mp4,run\n")
    command = [sys.executable, "-m", "tfrecords_tools.convert_videos"]
    command += [f"--manifest={folder / 'm.csv'}", f"--classes={folder / 'classes.txt'}"]
    command += [f"--output_dir={folder / 'out'}", "--num_workers=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder / 'out'}: 1 clips in 1 shards, 0 left out\n"
    assert os.path.exists(folder / "out" / "index.npz")
