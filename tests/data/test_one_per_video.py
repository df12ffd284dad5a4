"""Epochs of videos, of each of which one clip is drawn."""

import collections
import dataclasses

import numpy as np
import pytest

from spl_tf import data
from spl_tf.data.plan import MediaRows
from spl_tf.labels.filters import ClipFilter
from tests.conftest import make_clip, without_added_columns, write_dataset

VIDEOS = 7


@pytest.fixture
def dataset(tmp_path):
    """Video v has v + 1 clips of label v % 3; the teacher is sure of the even ones."""
    clips = [
        dataclasses.replace(
            make_clip(10 * video + part, video % 3, names="abc", teacher=[0]),
            id=f"video{video}@{part}",
            media_id=f"video{video}",
            teacher_confidence=[0.2 if part % 2 else 0.9],
        )
        for video in range(VIDEOS)
        for part in range(video + 1)
    ]
    return write_dataset(tmp_path / "videos", clips, "abc")


def source_of(dataset, **changes):
    settings = {
        "dataset": dataset,
        "label_map": None,
        "sampling": data.ClipSampling(2, 1),
        "crop_size": 16,
        "flip": False,
        "seed": 3,
        "one_per_video": True,
    }
    return data.TrainInput(**settings | changes)


def ids(source, steps=(0, 10), batch_size=VIDEOS, **options):
    batches = data.train_batches(source, batch_size, steps[0], steps[1], **options)
    return [[each.decode() for each in batch["id"].numpy()] for batch in batches]


def videos(batch):
    return sorted(each.split("@")[0] for each in batch)


def test_an_epoch_has_each_video_once_and_epochs_draw_anew(dataset):
    epochs = ids(source_of(dataset), (0, 40))
    names = [f"video{video}" for video in range(VIDEOS)]
    assert all(videos(epoch) == names for epoch in epochs)
    drawn = collections.Counter(each for epoch in epochs for each in epoch)
    assert len(drawn) == len(dataset)  # each clip comes up in 40 epochs
    assert len({tuple(sorted(epoch)) for epoch in epochs}) > 30


def test_clips_of_a_video_are_equally_likely():
    rows = np.array([3, 5, 6, 8, 20])
    media = MediaRows.of(rows, np.array([9, 4, 9, 9, 4]))
    assert media.media.tolist() == [4, 9]
    for place, expected in ((0, [5, 20]), (1, [3, 6, 8])):
        drawn = media.draw(1, np.arange(30_000), np.full(30_000, place))
        found, counts = np.unique(drawn, return_counts=True)
        assert found.tolist() == expected
        np.testing.assert_allclose(counts / 30_000, 1 / len(expected), atol=0.015)


def test_clips_of_no_known_medium_stay_alone():
    media = MediaRows.of(np.arange(4), np.array([-1, 7, -1, 7]))
    assert len(media) == 3
    assert sorted(np.diff(media.splits)) == [1, 1, 2]


def test_draws_are_those_of_seed_epoch_and_video_alone(dataset):
    source = source_of(dataset)
    whole = ids(source, (0, 12), 4)
    assert ids(source, (5, 12), 4) == whole[5:]
    parts = ids(source, (0, 12), 2, replicas=2)
    assert [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)] == whole
    assert ids(source_of(dataset, seed=4), (0, 12), 4) != whole


def test_only_kept_clips_are_drawn_and_videos_without_one_are_left_out(dataset):
    sure = ClipFilter(min_confidence=0.5, exclude_ids=frozenset(["video2"]))
    source = source_of(dataset, clip_filter=sure)
    for epoch in ids(source, batch_size=VIDEOS - 1):
        kept = [f"video{video}" for video in range(VIDEOS) if video != 2]
        assert videos(epoch) == kept
        assert all(int(each.split("@")[1]) % 2 == 0 for each in epoch)


def test_classes_of_videos_are_resampled(dataset):
    source = source_of(dataset, resampling=data.Resampling(power=0.0))
    labels = [
        int(each.split("@")[0].removeprefix("video")) % 3
        for batch in ids(source, (0, 90), 20)
        for each in batch
    ]
    np.testing.assert_allclose(np.bincount(labels) / len(labels), 1 / 3, atol=0.04)


def test_an_index_without_media_is_refused_with_what_adds_them(dataset):
    without_added_columns(dataset.directory)
    old = data.sources.ClipDataset(dataset.directory)
    with pytest.raises(ValueError, match=r"no column 'group'.*--reindex"):
        ids(source_of(old), (0, 1))
