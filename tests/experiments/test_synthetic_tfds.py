"""The TFDS builder gives what the conversion of the rendered files gives."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments.synthetic import render, tfds_builder
from spl_tf import clips
from tests.experiments.synthetic_worlds import decode, read_rows, tiny_config
from tfrecords_tools.conversion.conversion import RunOptions
from tfrecords_tools.convert_tfds import TfdsSettings, convert_tfds
from tfrecords_tools.convert_videos import ConversionSettings, convert_videos


@pytest.fixture(scope="module")
def world_dir(tmp_path_factory):
    """A world of all codecs, in which some web videos are damaged."""
    config = tiny_config(
        "fw",
        codec_shares={"vp9": 0.2, "mpeg4_mp4": 0.2, "mpeg4_avi": 0.2},
        damage_shares={"cut_short": 0.2, "empty": 0.1, "garbage": 0.1},
    )
    folder = tmp_path_factory.mktemp("world")
    render.render(config, folder, num_workers=1)
    return folder


@pytest.fixture(scope="module")
def data_dir(world_dir, tmp_path_factory):
    """A folder of TFDS that holds both variants of the world."""
    folder = tmp_path_factory.mktemp("tfds")
    for frames in tfds_builder.FRAMES:
        variant = tfds_builder.SyntheticWebConfig(
            name=f"tiny_{frames}",
            frames=frames,
            world_dir=str(world_dir),
            clips_per_video=3,
        )
        builder = tfds_builder.SplSyntheticWeb(config=variant, data_dir=folder)
        builder.download_and_prepare()
    return str(folder)


@pytest.fixture(scope="module")
def converted(world_dir, tmp_path_factory):
    """Per split, the clips of the rendered files by id."""
    folder = tmp_path_factory.mktemp("converted")
    for split in render.SPLITS:
        convert_videos(
            str(world_dir / f"{split}.csv"),
            str(world_dir / "classes.txt"),
            str(folder / split),
            settings=ConversionSettings(
                short_side=0, clips_per_video=3, clip_seconds=1.0, num_shards=1
            ),
            run=RunOptions(num_workers=1, max_skipped_fraction=1.0),
        )
    return {split: read_clips(folder / split) for split in render.SPLITS}


def read_clips(folder):
    dataset = clips.ClipDataset(folder)
    with dataset.reader() as reader:
        parsed = [clips.parse_clip(reader.read(row)) for row in range(len(dataset))]
    return {clip.id: clip for clip in parsed}


def load(data_dir, frames, split):
    dataset = tfds.load(
        f"spl_synthetic_web/tiny_{frames}", split=split, data_dir=data_dir
    )
    return {row["id"].decode(): row for row in tfds.as_numpy(dataset)}


def test_examples_are_the_frames_of_the_files(world_dir, data_dir):
    videos = load(data_dir, "video", "target_val")
    images = load(data_dir, "image", "target_val")
    for row in read_rows(world_dir / "target_val.csv"):
        clip_id = f"{row['video']}@0-1000000"
        video = videos[clip_id]["video"]
        # Another interpolation of the colour, which has half of the resolution.
        difference = video.astype(float) - decode(world_dir / row["video"])
        assert np.abs(difference @ [0.299, 0.587, 0.114]).mean() < 1.5
        np.testing.assert_array_equal(images[clip_id]["image"], video[4])


@pytest.mark.parametrize("split", render.SPLITS)
def test_clips_and_labels_are_those_of_the_conversion(data_dir, converted, split):
    found = load(data_dir, "video", split)
    assert found.keys() == converted[split].keys()
    for clip_id, clip in converted[split].items():
        assert found[clip_id]["label"] == clip.label_index
        assert len(found[clip_id]["video"]) == len(clip.frames)


def test_splits_are_complete_but_for_damaged_files(world_dir, data_dir):
    assert len(load(data_dir, "image", "target_train")) == 24
    truth = read_rows(world_dir / "hidden_truth.csv")
    whole = {row["video"] for row in truth if not row["damage"]}
    cut = {row["video"] for row in truth if row["damage"] == "cut_short"}
    videos = [clip_id.split("@")[0] for clip_id in load(data_dir, "image", "web")]
    assert whole <= set(videos) <= whole | cut
    assert all(videos.count(video) == 3 for video in whole)


@pytest.mark.parametrize("frames", tfds_builder.FRAMES)
def test_conversion_from_tfds_writes_the_same_pictures(
    data_dir, converted, tmp_path, frames
):
    info = convert_tfds(
        f"spl_synthetic_web/tiny_{frames}",
        "web",
        str(tmp_path),
        data_dir,
        TfdsSettings(short_side=0, fps=8.0, num_shards=2),
        RunOptions(num_workers=1),
    )
    assert info.class_names[2:4] == ["vertical stripes grow", "vertical stripes shrink"]
    shown = slice(None) if frames == "video" else slice(4, 5)
    expected = [
        (tuple(clip.frames[shown]), clip.label_name)
        for clip in converted["web"].values()
    ]
    found = [(tuple(c.frames), c.label_name) for c in read_clips(tmp_path).values()]
    assert len(found) > 30
    assert sorted(found) == sorted(expected)


def test_nothing_of_the_hidden_truth_is_in_the_examples(data_dir):
    (example, *_) = load(data_dir, "video", "web").values()
    assert sorted(example) == ["id", "label", "video"]


def test_variants_of_both_worlds_are_known():
    assert list(tfds_builder.SplSyntheticWeb.builder_configs) == [
        "video",
        "image",
        "fw_video",
        "fw_image",
    ]
    with pytest.raises(ValueError, match="frames: got 'sound'"):
        tfds_builder.SyntheticWebConfig(name="x", frames="sound")
    with pytest.raises(ValueError, match="world: got 'omni'"):
        tfds_builder.SyntheticWebConfig(name="x", world="omni")
