"""Folders of frames are converted as videos are."""

import io
import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from spl_tf.clips.shard_folder import ChangedInputsError
from tests.conftest import counting_images
from tests.tfrecords_tools.conftest import contents, convert, read_all, start_command
from tfrecords_tools.convert_videos import ConversionSettings


def write_frames(folder, images, name="{:05d}.jpg", first=1):
    folder.mkdir(parents=True)
    for number, image in enumerate(images, start=first):
        path = folder / name.format(number)
        Image.fromarray(image).save(path, **({} if ".png" in name else {"quality": 95}))


def shown(clip):
    """The image numbers that a clip's frames show, see `counting_images`."""
    levels = [np.asarray(Image.open(io.BytesIO(f))).mean() for f in clip.frames]
    return [round((level - 10) / 5) for level in levels]


@pytest.fixture
def frames(folder):
    write_frames(folder / "videos" / "17", counting_images(24, width=64))
    return folder / "videos" / "17"


def test_a_folder_gives_the_clips_of_the_same_video(folder, frames):
    manifest = (
        "video,label,start,end\nvideos/17,run,,\nvideos/17,jump,0.5,1.0\n"
        "videos/17,jump,0.55,1.05\n"
    )
    info = convert(folder, manifest, frames_fps=12.0)
    assert info.skipped == []
    _, by_id = read_all(folder / "out")
    whole = by_id["videos/17@0-2000000"]
    assert shown(whole) == list(range(24))
    assert whole.timestamps == tuple(round(n * 1e6 / 12) for n in range(24))
    assert (whole.height, whole.width, whole.frame_rate) == (48, 64, 12.0)
    # JPEGs of the right size are those of the folder.
    assert whole.frames[0] == (frames / "00001.jpg").read_bytes()
    assert shown(by_id["videos/17@500000-1000000"]) == list(range(6, 12))
    assert shown(by_id["videos/17@550000-1050000"]) == list(range(7, 13))


def test_its_frames_are_picked_at_a_rate_and_scaled(folder, frames):
    convert(folder, "video,label\nvideos/17,run\n", frames_fps=12.0, fps=4.0)
    _, by_id = read_all(folder / "out")
    assert shown(by_id["videos/17@0-2000000"]) == list(range(0, 24, 3))
    some = {"frames_fps": 12.0, "clips_per_video": 2, "clip_seconds": 0.5}
    convert(
        folder,
        "video,label\nvideos/17,run\n",
        "small",
        frame_size="20x40",
        short_side=256,
        **some,
    )
    _, by_id = read_all(folder / "small")
    assert sorted(by_id) == ["videos/17@0-500000", "videos/17@1500000-2000000"]
    for clip in by_id.values():
        assert (clip.height, clip.width) == (20, 40)
        assert Image.open(io.BytesIO(clip.frames[3])).size == (40, 20)


def test_frames_are_in_the_natural_order_of_their_names(folder):
    images = counting_images(12)
    write_frames(folder / "videos" / "png", images, name="Frame {}.png", first=0)
    write_frames(folder / "videos" / "tens", images[:3], name="f{:03d}0.jpg", first=9)
    names = folder / "videos" / "names"
    write_frames(names, images[:2], name="{}.jpg")
    (names / "1.jpg").rename(names / "intro.jpg")
    (names / "README.txt").write_text("no frame")
    (names / ".3.jpg").write_bytes(b"hidden")
    manifest = "video,label\nvideos/png,run\nvideos/tens,run\nvideos/names,jump\n"
    info = convert(folder, manifest, frames_fps=10.0)
    assert info.skipped == []
    _, by_id = read_all(folder / "out")
    assert shown(by_id["videos/png@0-1200000"]) == list(range(12))
    assert shown(by_id["videos/tens@0-300000"]) == [0, 1, 2]
    assert shown(by_id["videos/names@0-200000"]) == [1, 0]


def test_bad_frames_are_named(folder, frames):
    videos = folder / "videos"
    for name in ("gap", "broken", "empty", "mixed", "twice"):
        shutil.copytree(frames, videos / name)
    (videos / "gap" / "00007.jpg").unlink()
    whole = (videos / "broken" / "00003.jpg").read_bytes()
    (videos / "broken" / "00003.jpg").write_bytes(whole[: len(whole) // 2])
    (videos / "empty" / "00002.jpg").write_bytes(b"")
    Image.new("RGB", (48, 48)).save(videos / "mixed" / "00005.jpg")
    shutil.copy(frames / "00009.jpg", videos / "twice" / "9.jpg")
    (videos / "none").mkdir()
    names = ["17", "gap", "broken", "empty", "mixed", "twice", "none", "gone"]
    manifest = "video,label,start,end\nvideos/17,jump,3,4\n" + "".join(
        f"videos/{name},run,,\n" for name in names
    )
    info = convert(folder, manifest, frames_fps=12.0, max_skipped_fraction=1.0)
    assert info.num_clips == 1
    faults = {
        entry["clip"] or entry["video"]: (entry["kind"], entry["reason"])
        for entry in info.skipped
    }
    kinds = {name: kind for name, (kind, _) in faults.items()}
    assert kinds == {
        "videos/gap": "damaged",
        "videos/twice": "damaged",
        "videos/none": "unreadable",
        "videos/gone": "missing",
        "videos/17@3000000-4000000": "no frames",
        "videos/broken@0-2000000": "damaged",
        "videos/empty@0-2000000": "damaged",
        "videos/mixed@0-2000000": "damaged",
    }
    for name, words in {
        "videos/gap": "missing between 00006.jpg and 00008.jpg",
        "videos/twice": "one number is that of 00009.jpg and 9.jpg",
        "videos/broken@0-2000000": "the frame 00003.jpg cannot be decoded",
        "videos/empty@0-2000000": "the frame 00002.jpg cannot be decoded",
        "videos/mixed@0-2000000": (
            "the frame 00005.jpg is 48 x 48 pixels, and 00004.jpg 48 x 64"
        ),
        "videos/17@3000000-4000000": "the 24 frames end at 2.00 s",
    }.items():
        assert words in faults[name][1]


def test_the_rate_must_be_said(folder, frames):
    with pytest.raises(ValueError, match=r"line 2: videos/17 is a folder.*frames_fps"):
        convert(folder, "video,label\nvideos/17,run\n")
    assert not (folder / "out").exists()
    frames.rename(folder / "videos" / "17.x")
    with pytest.raises(ValueError, match=r"--frames_fps must say how many of them"):
        convert(folder, "video,label\nvideos/17.x,run\n")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frame_size": "128"}, "frame_size is '128', expected HEIGHTxWIDTH"),
        ({"frame_size": "0x171"}, "frame_size is '0x171', expected HEIGHTxWIDTH"),
        ({"frame_size": "128x171", "short_side": 9}, "short_side is 9, expected the"),
        ({"frames_fps": -1.0}, "frames_fps is -1.0, expected 0 or more"),
    ],
)
def test_impossible_sizes_and_rates_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ConversionSettings(**settings)


def test_settings_that_are_not_used_are_no_inputs(folder):
    # So that a dataset from before there were these settings is still finished.
    info = convert(folder, "video,label\nvideos/one.mp4,run\n")
    assert not {"frame_size", "frames_fps"} & set(info.source["inputs"])
    assert info.source["inputs"]["fps"] == 0


def test_copies_and_listed_ids_do_not_enter(folder, frames):
    videos = folder / "videos"
    (videos / "copy").mkdir()
    for number in range(24):
        shutil.copy(frames / f"{number + 1:05d}.jpg", videos / "copy" / f"{number}.jpg")
    shutil.copytree(frames, videos / "other")
    shutil.copy(videos / "other" / "00002.jpg", videos / "other" / "00001.jpg")
    manifest = "video,label\n" + "".join(
        f"videos/{name},run\n" for name in ("17", "copy", "other")
    )
    info = convert(folder, manifest, frames_fps=12.0)
    assert [(e["video"], e["kind"]) for e in info.skipped] == [
        ("videos/copy", "duplicate")
    ]
    (folder / "val.txt").write_text("17\n")
    info = convert(
        folder, manifest, "two", frames_fps=12.0, exclude_ids=str(folder / "val.txt")
    )
    assert {(e["video"], e["kind"]) for e in info.skipped} == {
        ("videos/17", "excluded"),
        ("videos/copy", "excluded"),
    }


def test_a_run_that_was_killed_goes_on(folder, frames):
    for number in range(5):
        shutil.copytree(frames, folder / "videos" / f"v{number}")
    manifest = "video,label\n" + "".join(f"videos/v{n},run\n" for n in range(5))
    choices = {"frames_fps": 12.0, "num_shards": 5, "drop_duplicates": False}
    convert(folder, manifest, "whole", **choices)
    flags = [f"--{name}={value}" for name, value in choices.items()]
    flags += ["--short_side=0", "--num_workers=1", f"--output_dir={folder / 'out'}"]
    command = start_command(folder, *flags)
    while command.poll() is None and not list((folder / "out").glob("clips.*")):
        time.sleep(0.01)
    command.kill()
    command.wait()
    convert(folder, manifest, **choices)
    assert contents(folder / "out") == contents(folder / "whole")


def test_a_frame_that_was_replaced_is_noticed(folder, frames):
    manifest = "video,label\nvideos/17,run\n"
    first = convert(folder, manifest, frames_fps=12.0)
    again = convert(folder, manifest, frames_fps=12.0)
    assert again.files == first.files
    status = os.stat(frames / "00004.jpg")
    shutil.copy(frames / "00005.jpg", frames / "00004.jpg")
    os.utime(frames, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ChangedInputsError, match=r"replaced since.*videos/17"):
        convert(folder, manifest, frames_fps=12.0)
