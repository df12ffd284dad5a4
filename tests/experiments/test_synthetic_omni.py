"""The world with three kinds of web data, judged from its files."""

import itertools

import cv2
import numpy as np
import pytest
from PIL import Image

from experiments.synthetic import render
from spl_tf.motion import measure_homography
from tests.experiments.synthetic_worlds import (
    LUMA,
    decode,
    decode_luma,
    read_rows,
    sprite_rise,
    sprite_weight,
    tiny_omni_config,
)
from tfrecords_tools.conversion.conversion import FileSettings, RunOptions
from tfrecords_tools.convert_images import convert_images
from tfrecords_tools.convert_videos import ConversionSettings, convert_videos

# Sprites alone, before a grey background and a camera that stands still.
BARE = {
    "texture_contrast": (0.0, 0.0),
    "speckle_contrast": (0.0, 0.0),
    "colour_spread": 0.0,
    "pixel_noise": 0.0,
    "num_specks": 0,
    "gain": (1.0, 1.0),
    "camera_pan": 0.0,
    "camera_turn": 0.0,
    "camera_zoom": 0.0,
    "camera_tilt": 0.0,
    "camera_shake": 0.0,
}
PER_CLASS = {
    "target_train": 2,
    "target_val": 2,
    "web_images": 2,
    "web_short": 2,
    "web_untrimmed": 2,
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("omni")
    config = tiny_omni_config()
    return config, folder, render.render(config, folder, num_workers=1)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A world of sprites that look as their class's typically do."""
    folder = tmp_path_factory.mktemp("bare_omni")
    config = tiny_omni_config(typical_share=1.0)
    config.nuisance.update(BARE)
    render.render(config, folder, num_workers=1)
    return folder


def frames_of(path):
    """Frames of a video, or an image as the only one, uint8 [T, H, W, 3]."""
    if path.suffix == ".jpg":
        return np.asarray(Image.open(path))[None]
    return decode(path)


def thumbnail(frame):
    """Luma of the middle of a frame, blurred, of mean 0 and length 1."""
    small = cv2.resize(
        (frame @ LUMA)[4:-4, 4:-4], (12, 12), interpolation=cv2.INTER_AREA
    )
    small = small.ravel() - small.mean()
    return small / np.linalg.norm(small)


def test_manifests_name_files_of_all_classes_each_equally_often(rendered):
    _, folder, summary = rendered
    classes = (folder / "classes.txt").read_text().splitlines()
    assert len(set(classes)) == 12
    for split, count in PER_CLASS.items():
        rows = read_rows(folder / f"{split}.csv")
        assert sorted(row["label"] for row in rows) == sorted(classes * count)
        assert summary["num_videos"][split] == len(rows)
        trimmed = ["start", "end"] if split.startswith("target") else []
        assert list(rows[0]) == ["video", "label", *trimmed]
        length = {"web_images": 1, "web_untrimmed": 24}.get(split, 8)
        for row in rows[:3]:
            assert frames_of(folder / row["video"]).shape == (length, 48, 48, 3)
    assert summary["num_frames"] == 24 * (8 + 8 + 1 + 8 + 24)
    assert summary["codecs"]["jpeg"] == 24


def test_hidden_truth_has_a_row_for_each_web_segment_and_image(rendered):
    _, folder, summary = rendered
    truth = read_rows(folder / "hidden_truth.csv")
    assert len(truth) == summary["num_web_segments"] == 24 * (1 + 1 + 3)
    spans = {"web_images": [(0, 0)], "web_short": [(0, 1)]}
    for split in ("web_images", "web_short", "web_untrimmed"):
        expected = spans.get(split, [(0, 1), (1, 2), (2, 3)])
        for row in read_rows(folder / f"{split}.csv"):
            found = [
                (float(each["start"]), float(each["end"]))
                for each in truth
                if each["video"] == row["video"]
            ]
            assert found == expected


def test_about_half_of_each_kind_of_web_data_shows_its_query(tmp_path):
    config = tiny_omni_config(
        web_images_per_class=20,
        web_short_per_class=20,
        web_untrimmed_per_class=4,
        segments_per_video=6,
        frames_per_segment=1,
    )
    render.render(config, tmp_path, num_workers=1)
    truth = read_rows(tmp_path / "hidden_truth.csv")
    for split in ("web_images", "web_short", "web_untrimmed"):
        query = {r["video"]: r["label"] for r in read_rows(tmp_path / f"{split}.csv")}
        rows = [row for row in truth if row["video"] in query]
        right = np.mean([row["class"] == query[row["video"]] for row in rows])
        assert 0.38 < right < 0.66, split


def test_seed_decides_and_neither_workers_nor_counts_do(rendered, tmp_path):
    config, folder, _ = rendered
    render.render(config, tmp_path / "same", num_workers=2)
    fewer = tiny_omni_config(target_clips_per_class=1, web_short_per_class=1)
    render.render(fewer, tmp_path / "fewer", num_workers=1)
    for other, whole in ((tmp_path / "same", True), (tmp_path / "fewer", False)):
        files = [path for path in other.rglob("*") if path.is_file()]
        for path in files:
            if whole or path.suffix != ".csv":
                expected = folder / path.relative_to(other)
                assert path.read_bytes() == expected.read_bytes()
        assert len(files) == 24 * (5 if whole else 4) + 7


def test_near_copies_show_what_the_hidden_truth_names(rendered):
    _, folder, summary = rendered
    validation = {
        row["video"]: np.stack(
            [thumbnail(frame) for frame in decode(folder / row["video"])]
        )
        for row in read_rows(folder / "target_val.csv")
    }
    labels = {
        row["video"]: row["label"]
        for split in PER_CLASS
        for row in read_rows(folder / f"{split}.csv")
    }
    truth = read_rows(folder / "hidden_truth.csv")
    copies = [row for row in truth if row["copy_of"]]
    assert len(copies) == summary["near_copies"] >= 6
    assert {row["video"].split("/")[1] for row in copies} == {*PER_CLASS} - {
        "target_train",
        "target_val",
    }
    for row in copies:
        assert row["class"] == labels[row["video"]] == labels[row["copy_of"]]
        frames = frames_of(folder / row["video"])[8 * int(row["segment"]) :][:8]
        similarity = {
            name: np.mean([(each @ thumbnail(f)).max() for f in frames])
            for name, each in validation.items()
        }
        assert max(similarity, key=similarity.get) == row["copy_of"]
        assert frames_are_not_those_of(frames, decode(folder / row["copy_of"]))


def frames_are_not_those_of(frames, original):
    return all(np.abs(original - f.astype(float)).mean() > 2 for f in frames)


def test_without_copies_the_other_files_stay_as_they_are(rendered, tmp_path):
    _, folder, _ = rendered
    assert (
        render.render(tiny_omni_config(copy_share=0.0), tmp_path, 1)["near_copies"] == 0
    )
    truth = read_rows(folder / "hidden_truth.csv")
    copies = {row["video"] for row in truth if row["copy_of"]}
    for row in truth:
        same = (folder / row["video"]).read_bytes() == (
            tmp_path / row["video"]
        ).read_bytes()
        assert same == (row["video"] not in copies)


def test_camera_motion_can_be_measured_in_clips_of_all_classes(rendered):
    _, folder, _ = rendered
    found, pairs = {}, 0
    for row in read_rows(folder / "target_train.csv"):
        luma = (255 * decode_luma(folder / row["video"])).astype(np.uint8)
        measured = [measure_homography(*pair) for pair in itertools.pairwise(luma[::2])]
        pairs += len(measured)
        kept = [each for each in measured if each is not None]
        found.setdefault(row["label"], []).extend(kept)
    assert all(len(each) > 1 for each in found.values())
    homographies = np.concatenate([*found.values()])
    assert len(homographies) > 0.7 * pairs
    # Per two frames of eight: a pan of up to 1.4 pixels, of 24 to an edge, and shake; a
    # turn of up to 0.034, a zoom of up to 3.4 %.
    assert 0.02 < homographies[:, 2].std() < 0.08
    assert 0.005 < homographies[:, 3].std() < 0.04
    assert 0.005 < homographies[:, 0].std() < 0.04


def test_target_sprites_move_and_look_as_their_class(bare):
    classes = (bare / "classes.txt").read_text().splitlines()
    for row in read_rows(bare / "target_train.csv"):
        frames = decode(bare / row["video"])
        luma = frames @ LUMA / 255
        motion, weight = row["label"].rsplit(" ", 1)[1], sprite_weight(luma)
        area = weight.sum(axis=(1, 2))
        if motion in ("rise", "sink"):
            rise = sprite_rise(luma)
            assert 5 < (rise if motion == "rise" else -rise) < 20, row
        else:
            growth = np.log(area[-1] / area[0])
            assert (growth if motion == "grow" else -growth) > np.log(2), row
        colour = (frames * weight[..., None]).sum(axis=(0, 1, 2)) / weight.sum()
        warm = classes.index(row["label"]) % 2 == 0
        assert (colour[0] - colour[2] > 20) == warm, row
        assert (colour[2] - colour[0] > 20) != warm, row


def test_conversion_gives_the_clips_that_are_announced(rendered, tmp_path):
    config, folder, _ = rendered
    announced = render.clips_of_splits(config)
    run = RunOptions(num_workers=1)
    classes = str(folder / "classes.txt")
    for split in ("web_images", "web_untrimmed"):
        arguments = (str(folder / f"{split}.csv"), classes, str(tmp_path / split))
        if split == "web_images":
            manifest, _, output = arguments
            settings = FileSettings(short_side=0, num_shards=1)
            info = convert_images(classes, output, "", manifest, settings, run)
        else:
            settings = ConversionSettings(
                short_side=0, sampling="tiles", clip_seconds=1.0, num_shards=1
            )
            info = convert_videos(*arguments, settings=settings, run=run)
        assert info.num_clips == announced[split]
        assert not info.skipped


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", "omny", "kind: got 'omny', expected one of .*'omni'"),
        ("web_images_per_class", 0, "web_images_per_class: got 0, expected a pos"),
        ("typical_share", 1.5, "typical_share: got 1.5"),
        ("copy_share", 0.7, "copy_share: got 0.7, expected 0..0.5"),
        ("copy_crop", (0.2, 0.9), "copy_crop: got"),
        ("jpeg_quality", 0, "jpeg_quality: got 0, expected a number of 1..100"),
        ("nuisance.camera_tilt", 0.6, "camera_tilt: got 0.6"),
        ("frame_size", 24, "frame_size: got 24, expected at least 28"),
    ],
)
def test_impossible_value_is_named_before_writing(key, value, message, tmp_path):
    config = tiny_omni_config()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match=message):
        render.render(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_keys_of_other_worlds_are_unknown(tmp_path):
    config = tiny_omni_config()
    with config.unlocked():
        config.web_videos_per_class = 1
    with pytest.raises(ValueError, match=r"unknown keys \['web_videos_per_class'\]"):
        render.render(config, tmp_path / "out")
