import io
import os
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from spl_tf import clips
from tests.conftest import write_video
from tests.tfrecords_tools.conftest import (
    convert,
    noise_images,
    read_all,
    start_command,
)
from tfrecords_tools.conversion.conversion import TooManySkippedError
from tfrecords_tools.convert_videos import ConversionSettings

SECOND = 1_000_000


def numbers(clip):
    """The image numbers that a clip's frames show, see `counting_images`."""
    levels = [np.asarray(Image.open(io.BytesIO(f))).mean() for f in clip.frames]
    return [round((level - 10) / 5) for level in levels]


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


def test_a_row_of_several_labels_becomes_clips_of_them_all(folder):
    manifest = "video,label,more_labels\nvideos/one.mp4,jump,run\n"
    convert(folder, manifest + "videos/two words.mp4,run,\n", clip_seconds=2.0)
    dataset, by_id = read_all(folder / "out")
    labels = {clip.media_id: clip.labels for clip in by_id.values()}
    assert labels == {"videos/one.mp4": (1, 0), "videos/two words.mp4": (0,)}
    assert sorted(dataset.index.labels_of(row).size for row in range(2)) == [1, 2]


def test_tiles_hold_every_frame_of_a_video(folder):
    manifest = "video,label\nvideos/one.mp4,jump\n"
    convert(folder, manifest, sampling="tiles", clip_seconds=1.5)
    dataset, by_id = read_all(folder / "out")
    assert len(dataset) == 3
    assert len(np.unique(dataset.index.group)) == 1
    parts = [(0, 1_500_000), (1_500_000, 3 * SECOND), (3 * SECOND, 4 * SECOND)]
    tiles = [by_id[f"videos/one.mp4@{a}-{b}"] for a, b in parts]
    shown = [number for tile in tiles for number in numbers(tile)]
    assert shown == list(range(32))


def test_frames_are_scaled_to_the_short_side_and_picked_at_the_rate(folder):
    manifest = "video,label\nvideos/one.mp4,run\n"
    convert(folder, manifest, short_side=24, fps=4.0, num_shards=1)
    _, by_id = read_all(folder / "out")
    clip = by_id["videos/one.mp4@0-4000000"]
    assert (clip.height, clip.width, clip.frame_rate) == (24, 32, 4.0)
    assert Image.open(io.BytesIO(clip.frames[0])).size == (32, 24)
    assert numbers(clip) == list(range(0, 32, 2))
    assert clip.timestamps == tuple(250_000 * t for t in range(16))


def test_bad_files_are_left_out_with_their_kind_and_good_ones_stay(folder):
    videos = folder / "videos"
    good = (videos / "one.mp4").read_bytes()
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "text.mp4").write_text("not a video")
    (videos / "half.mp4").write_bytes(good[: len(good) // 2])
    (videos / "folder.mp4").mkdir()
    os.mkfifo(videos / "pipe.mp4")
    write_audio(videos / "sound.mp4")
    odd_name = 'odd "name",\nwith ünïcode\'s.mp4'
    shutil.copy(videos / "two words.mp4", videos / odd_name)
    names = ["one", "empty", "text", "gone", "half", "folder", "pipe", "sound"]
    quoted = odd_name.replace('"', '""')
    manifest = f'video,label\n"videos/{quoted}",jump\n' + "".join(
        f"videos/{name}.mp4,run\n" for name in names
    )
    info = convert(folder, manifest, max_skipped_fraction=1.0)
    _, by_id = read_all(folder / "out")
    assert sorted(by_id) == sorted(
        [f"videos/{odd_name}@0-4000000", "videos/one.mp4@0-4000000"]
    )
    assert [(entry["video"], entry["kind"]) for entry in info.skipped] == [
        ("videos/empty.mp4", "empty"),
        ("videos/text.mp4", "unreadable"),
        ("videos/gone.mp4", "missing"),
        ("videos/half.mp4", "unreadable"),
        ("videos/folder.mp4", "unreadable"),
        ("videos/pipe.mp4", "unreadable"),
        ("videos/sound.mp4", "no video"),
    ]
    assert clips.DatasetInfo.load(folder / "out").skipped == info.skipped
    with pytest.raises(TooManySkippedError, match=r"9 files, 7 .77\.8%.*is 10"):
        convert(folder, manifest, overwrite=True)


def write_audio(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 16000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_range_behind_the_end_is_left_out(folder):
    manifest = (
        "video,label,start,end\nvideos/one.mp4,run,0,1\nvideos/one.mp4,run,50,60\n"
    )
    info = convert(folder, manifest, max_skipped_fraction=1.0)
    assert [(entry["video"], entry["clip"]) for entry in info.skipped] == [
        ("videos/one.mp4", "videos/one.mp4@50000000-60000000")
    ]


def test_nothing_readable_is_an_error_and_the_next_run_looks_again(folder):
    shutil.move(folder / "videos" / "one.mp4", folder / "away.mp4")
    with pytest.raises(ValueError, match=r"none of the 1 files.*videos/one\.mp4"):
        convert(folder, "video,label\nvideos/one.mp4,run\n")
    shutil.move(folder / "away.mp4", folder / "videos" / "one.mp4")
    assert convert(folder, "video,label\nvideos/one.mp4,run\n").num_clips == 1


def test_listed_ids_never_enter(folder):
    (folder / "val.txt").write_text("two words\n\nof another set\n")
    manifest = "video,label\nvideos/one.mp4,run\nvideos/two words.mp4,run\n"
    info = convert(folder, manifest, exclude_ids=str(folder / "val.txt"))
    _, by_id = read_all(folder / "out")
    assert list(by_id) == ["videos/one.mp4@0-4000000"]
    assert [(e["video"], e["kind"]) for e in info.skipped] == [
        ("videos/two words.mp4", "excluded")
    ]


def test_names_in_another_unicode_form_are_the_same(folder):
    videos = folder / "videos"
    (videos / "one.mp4").rename(videos / "cre\u0302pes.mp4")
    (videos / "two words.mp4").rename(videos / "caf\u00e9.mp4")
    (folder / "classes.txt").write_text("e\u0301\nb\n", encoding="utf-8")
    manifest = "video,label\nvideos/cr\u00eapes.mp4,\u00e9\nvideos/cafe\u0301.mp4,b\n"
    info = convert(folder, manifest)
    assert (info.num_clips, info.skipped) == (2, [])
    assert info.class_names == ["\u00e9", "b"]
    (folder / "val.txt").write_text("cre\u0302pes\n", encoding="utf-8")
    info = convert(folder, manifest, "two", exclude_ids=str(folder / "val.txt"))
    _, by_id = read_all(folder / "two")
    assert list(by_id) == ["videos/cafe\u0301.mp4@0-4000000"]
    assert [entry["kind"] for entry in info.skipped] == ["excluded"]


def test_a_copy_of_a_listed_video_does_not_enter_either(folder):
    shutil.copy(folder / "videos" / "one.mp4", folder / "videos" / "a copy.mp4")
    (folder / "val.txt").write_text("one\n")
    manifest = "video,label\n" + "".join(
        f"videos/{name}.mp4,run\n" for name in ("a copy", "one", "two words")
    )
    info = convert(folder, manifest, exclude_ids=str(folder / "val.txt"))
    _, by_id = read_all(folder / "out")
    assert list(by_id) == ["videos/two words.mp4@0-4000000"]
    assert {(e["video"], e["kind"]) for e in info.skipped} == {
        ("videos/one.mp4", "excluded"),
        ("videos/a copy.mp4", "excluded"),
    }


def test_a_clip_before_the_first_frame_is_left_out(folder):
    # A recording that was cut between keyframes decodes from the next one on.
    whole, cut = folder / "videos" / "one.mp4", folder / "videos" / "cut.ts"
    with av.open(str(whole)) as read, av.open(str(cut), "w", format="mpegts") as out:
        stream = read.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [packet for packet in read.demux(stream) if packet.size]
        for packet in packets[:1] + packets[10:]:
            packet.stream = copy
            if packet.pts:
                out.mux(packet)
    manifest = "video,label,start,end\nvideos/cut.ts,run,0,0.2\nvideos/cut.ts,run,2,3\n"
    info = convert(folder, manifest, max_skipped_fraction=1.0)
    assert info.num_clips >= 1
    assert len(clips.ClipDataset(folder / "out")) + len(info.skipped) == 2


def test_a_copy_under_another_name_enters_once(folder):
    videos = folder / "videos"
    shutil.copy(videos / "one.mp4", videos / "copy.mp4")
    # As long as the original, but of other content.
    content = bytearray((videos / "one.mp4").read_bytes())
    content[-1] ^= 1
    (videos / "other.mp4").write_bytes(content)
    manifest = "video,label\n" + "".join(
        f"videos/{name}.mp4,run\n" for name in ("one", "copy", "other")
    )
    info = convert(folder, manifest)
    assert [(e["video"], e["kind"]) for e in info.skipped] == [
        ("videos/copy.mp4", "duplicate")
    ]
    assert "videos/one.mp4 (line 2)" in info.skipped[0]["reason"]
    assert info.num_clips == 2
    kept = convert(folder, manifest, output="all", drop_duplicates=False)
    assert kept.num_clips == 3


def test_classes_get_equal_budgets(folder):
    manifest = (
        "video,label,start,end\nvideos/one.mp4,run,,\n"
        "videos/two words.mp4,jump,0,1\nvideos/two words.mp4,jump,1,2\n"
    )
    cut = {"clips_per_video": 8, "clip_seconds": 0.5}
    convert(folder, manifest, output="mean", balance_classes=True, **cut)
    dataset, _ = read_all(folder / "mean")
    assert np.bincount(dataset.index.label).tolist() == [5, 2]  # mean of 8 and 2
    convert(folder, manifest, output="one", max_clips_per_class=1, **cut)
    dataset, _ = read_all(folder / "one")
    assert np.bincount(dataset.index.label).tolist() == [1, 1]


def test_only_the_wanted_split_is_taken(folder):
    manifest = (
        "video,label,split\nvideos/one.mp4,run,train\nvideos/two words.mp4,jump,val\n"
    )
    convert(folder, manifest, split="val")
    _, by_id = read_all(folder / "out")
    assert list(by_id) == ["videos/two words.mp4@0-4000000"]


def test_the_number_of_shards_follows_from_their_size(folder):
    write_video(folder / "noise.mp4", noise_images(48, 240, 320))
    settings = {"num_shards": 0, "clips_per_video": 40, "clip_seconds": 1.0}
    manifest = "video,label\nnoise.mp4,run\n"
    few = convert(folder, manifest, **settings)
    assert len(few.shards) == 16
    sizes = convert(folder, manifest, output="more", shard_megabytes=1, **settings)
    assert 17 <= len(sizes.shards) <= 40
    total = sum(shard["num_bytes"] for shard in sizes.shards)
    assert total / len(sizes.shards) == pytest.approx(1e6, rel=0.3)


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


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"jpeg_quality": 0}, "jpeg_quality is 0, expected 1 to 100"),
        ({"sampling": "all"}, "sampling is 'all', expected uniform, random or tiles"),
        (
            {"sampling": "tiles", "clips_per_video": 3},
            "clips_per_video is 3, expected 0 with sampling 'tiles'",
        ),
        ({"label_kind": "noisy"}, "label_kind is 'noisy', expected weak or clean"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        ConversionSettings(**setting)


def test_the_command_prints_what_it_wrote(folder):
    (folder / "m.csv").write_text("video,label\nvideos/one.mp4,run\n")
    command = start_command(
        folder,
        f"--output_dir={folder / 'out'}",
        "--num_workers=1",
    )
    printed, _ = command.communicate(timeout=240)
    assert command.returncode == 0
    assert printed == f"{folder / 'out'}: 1 clips in 1 shards, 0 left out\n"
    assert os.path.exists(folder / "out" / "index.npz")


def test_a_manifest_error_stops_the_command_with_the_line(folder):
    (folder / "m.csv").write_text("video,label\nvideos/one.mp4,rum\n")
    command = start_command(folder, f"--output_dir={folder / 'out'}")
    _, printed = command.communicate(timeout=240)
    assert command.returncode == 1
    assert printed.splitlines()[-1].startswith(
        f"error: {folder / 'm.csv'}, line 2: label 'rum' is not in the classes file"
    )
    assert not (folder / "out").exists()
