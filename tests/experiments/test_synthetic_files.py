"""Web videos of other codecs, and files that do not decode."""

import pathlib
import subprocess
import sys

import av
import numpy as np
import pytest

from experiments.synthetic import render
from spl_tf import clips
from tests.experiments.synthetic_worlds import decode, read_rows, tiny_config
from tfrecords_tools.conversion.conversion import RunOptions, TooManySkippedError
from tfrecords_tools.convert_videos import ConversionSettings, convert_videos

CODECS = {"vp9": 0.25, "mpeg4_mp4": 0.2, "mpeg4_avi": 0.2}
DAMAGES = {"cut_short": 0.2, "empty": 0.15, "garbage": 0.15}
# Per codec of FFmpeg and suffix, ours.
KINDS = {
    ("h264", ".mp4"): "h264",
    ("vp9", ".webm"): "vp9",
    ("mpeg4", ".mp4"): "mpeg4_mp4",
    ("mpeg4", ".avi"): "mpeg4_avi",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    render.render(tiny_config(), folder, num_workers=1)
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """The same videos in all codecs, and the summary."""
    folder = tmp_path_factory.mktemp("mixed")
    config = tiny_config(codec_shares=CODECS)
    return folder, render.render(config, folder, num_workers=1)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """The same with damaged files, its dataset of web clips, and the summary."""
    folder = tmp_path_factory.mktemp("damaged")
    config = tiny_config(codec_shares=CODECS, damage_shares=DAMAGES)
    summary = render.render(config, folder, num_workers=1)
    convert(folder, "web", max_skipped_fraction=1.0)
    return folder, summary


def convert(folder, split, **run):
    return convert_videos(
        str(folder / f"{split}.csv"),
        str(folder / "classes.txt"),
        str(folder / "clips" / split),
        settings=ConversionSettings(
            short_side=0, clips_per_video=3, clip_seconds=1.0, num_shards=1
        ),
        run=RunOptions(num_workers=1, **run),
    )


def probe(path):
    """Codec, key frames and times of a file's frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        keys = [i for i, frame in enumerate(frames) if frame.key_frame]
        times = [(f.pts - (stream.start_time or 0)) * f.time_base for f in frames]
        kind = (stream.codec_context.name, pathlib.Path(path).suffix)
        return kind, keys, [float(time) for time in times]


def test_web_videos_of_each_codec_have_key_frames_at_segments(mixed):
    folder, summary = mixed
    found = dict.fromkeys(KINDS.values(), 0)
    for row in read_rows(folder / "web.csv"):
        kind, keys, times = probe(folder / row["video"])
        found[KINDS[kind]] += 1
        assert keys == [0, 8, 16]
        assert times == [index / 8 for index in range(24)]
    assert found == summary["codecs"]
    assert min(found.values()) > 0
    assert summary["damaged"] == {"cut_short": 0, "empty": 0, "garbage": 0}


def test_codecs_change_neither_labels_nor_what_is_shown(plain, mixed):
    folder, _ = mixed
    for split in render.SPLITS:
        pairs = zip(
            read_rows(plain / f"{split}.csv"),
            read_rows(folder / f"{split}.csv"),
            strict=True,
        )
        for before, now in pairs:
            assert now["label"] == before["label"]
            assert now["video"].rsplit(".")[0] == before["video"].rsplit(".")[0]
            one, other = decode(plain / before["video"]), decode(folder / now["video"])
            if split != render.WEB:
                np.testing.assert_array_equal(one, other)
            # Another draw differs by more than 25, another codec by less than 10.
            assert np.abs(one.astype(float) - other).mean() < 12
    columns = ("segment", "shown", "scene", "class")
    one, other = (
        [[row[column] for column in columns] for row in read_rows(path)]
        for path in (plain / "hidden_truth.csv", folder / "hidden_truth.csv")
    )
    assert one == other


def test_same_seed_gives_the_same_bytes_whatever_the_number_of_videos(
    damaged, tmp_path
):
    folder, _ = damaged
    config = tiny_config(
        codec_shares=CODECS, damage_shares=DAMAGES, web_videos_per_class=1
    )
    render.render(config, tmp_path, num_workers=2)
    videos = [path for path in (tmp_path / "videos").rglob("*") if path.is_file()]
    assert len(videos) == 12 * (2 + 1 + 1)
    for path in videos:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_damage_is_as_the_hidden_truth_says_and_spares_the_others(mixed, damaged):
    whole, _ = mixed
    folder, summary = damaged
    damages = {
        row["video"]: row["damage"] for row in read_rows(folder / "hidden_truth.csv")
    }
    assert len(damages) == 24
    counts = {how: [*damages.values()].count(how) for how in DAMAGES}
    assert counts == summary["damaged"]
    assert min(counts.values()) > 0
    for video, how in damages.items():
        before, now = (whole / video).read_bytes(), (folder / video).read_bytes()
        if how == "cut_short":
            assert 0 < len(now) < len(before)
            assert before.startswith(now)
        elif how == "empty":
            assert now == b""
        elif how == "garbage":
            assert len(now) == len(before)
            assert now[:4] != before[:4]
        else:
            assert now == before


def test_conversion_leaves_damaged_videos_out_with_a_reason(damaged):
    folder, _ = damaged
    dataset = clips.ClipDataset(folder / "clips" / "web")
    with dataset.reader() as reader:
        found = {clips.parse_clip(reader.read(row)).id for row in range(len(dataset))}
    lost = {entry["video"]: entry["kind"] for entry in dataset.info.skipped}
    for row in read_rows(folder / "hidden_truth.csv"):
        start = round(float(row["start"]) * 1e6)
        clip_id = f"{row['video']}@{start}-{start + 1_000_000}"
        if row["damage"] in ("empty", "garbage"):
            assert clip_id not in found
            assert lost[row["video"]] == {"empty": "empty"}.get(
                row["damage"], "unreadable"
            )
        elif row["damage"] == "cut_short":
            # What comes before the cut may be whole, in WebM and AVI.
            assert row["video"] in lost
        else:
            assert clip_id in found


def test_too_many_damaged_files_fail_by_default(damaged):
    folder, _ = damaged
    with pytest.raises(TooManySkippedError, match="of 24 files"):
        convert(folder, "web")


def test_target_splits_stay_clean(damaged):
    folder, _ = damaged
    for split in (render.TARGET_TRAIN, render.TARGET_VAL):
        info = convert(folder, split)
        assert not info.skipped
        assert info.num_clips == len(read_rows(folder / f"{split}.csv"))
        for row in read_rows(folder / f"{split}.csv"):
            assert probe(folder / row["video"])[0] == ("h264", ".mp4")


@pytest.mark.parametrize("name", ["fa", "fw"])
def test_a_world_by_name_has_a_handful_of_each_kind(name):
    config = render.world_config(name)
    num_videos = 12 * config.web_videos_per_class
    for shares in (config.codec_shares, config.damage_shares):
        for kind, share in shares.items():
            assert 3 <= share * num_videos <= 20, kind
    assert sum(config.damage_shares.values()) < 0.05


def test_the_binary_names_what_is_wrong(tmp_path):
    root = pathlib.Path(__file__).parents[2]
    command = [sys.executable, "-m", "experiments.synthetic.render", "--world=fx"]
    command += [f"--output_dir={tmp_path}"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "should be one of <fa|fw|omni|hashtags>" in run.stderr
