"""Items of one positive frame of a video and negative ones."""

import collections
import dataclasses

import numpy as np
import pytest

from spl_tf import clips, data
from tests.conftest import make_clip, write_dataset

# By video: what the teacher sees in each of its frames; the label is the video % 3.
SEEN = [
    [0, 1, 0, 2, 1, 0],
    [1, 1, 1, 1],  # no negative frame
    [0, 1, 0],  # no positive one
    [0],
    [2, 1, 2, 2],  # one
    [2, 1],  # one of each
]


@pytest.fixture
def dataset(tmp_path):
    """Videos whose frames a teacher has seen; it is less sure of every second one."""
    records = []
    for number, seen in enumerate(SEEN):
        clip = make_clip(number, number % 3, frames=len(seen), names="abc")
        sure = [0.9 if frame % 2 == 0 else 0.6 for frame in range(len(seen))]
        choices = clips.FrameChoices(seen, sure)
        records.append(
            (clips.with_teacher(clips.encode_clip(clip), [0], [1.0], choices), clip)
        )
    return write_records(tmp_path / "videos", records)


def write_records(directory, records):
    directory.mkdir()
    name = clips.shard_name(0, 1)
    rows = [(record, len(clip.frames), clip.label_index, 0) for record, clip in records]
    summary = clips.write_shard(directory, name, rows)
    clips.finish_dataset(directory, [summary], "abc", "weak", {"tool": "test"})
    return clips.ClipDataset(directory)


def source_of(dataset, num_frames=3, min_confidence=0.0, **changes):
    settings = {
        "dataset": dataset,
        "label_map": None,
        "sampling": data.ClipSampling(num_frames, 1, segments=True),
        "crop_size": 16,
        "flip": False,
        "seed": 3,
        "positive_frames": data.PositiveFrames(dataset, min_confidence),
    }
    return data.TrainInput(**settings | changes)


def drawn(source, steps):
    """Places of frames by video, read off their grey levels, in each of its items."""
    found = collections.defaultdict(list)
    for batch in data.train_batches(source, 4, stop_step=steps):
        levels = batch["clip"].numpy().mean(axis=(2, 3, 4))
        for name, level in zip(batch["id"].numpy(), levels, strict=True):
            number = int(name.decode().removeprefix("video").split("@")[0])
            found[number].append(tuple((level - 8 * number).round().astype(int)))
    return found


def test_items_are_a_positive_frame_and_two_negative_ones_in_order(dataset):
    found = drawn(source_of(dataset), 60)
    assert sorted(found) == [0, 1, 3, 4, 5]
    for items in found.values():
        for item in items:
            assert list(item) == sorted(item)
    positive = [[frame in (0, 2, 5) for frame in item] for item in found[0]]
    assert {sum(each) for each in positive} == {1}
    # Each positive frame with each pair of negative ones, and nothing else.
    assert set(found[0]) == {
        tuple(sorted((one, *pair)))
        for one in (0, 2, 5)
        for pair in ((1, 3), (1, 4), (3, 4))
    }
    assert len(set(found[1])) == 4  # three of four positive frames
    assert all(len(set(item)) == 3 for item in found[1])
    assert set(found[3]) == {(0, 0, 0)}
    assert set(found[4]) == {(0, 1, 2), (0, 1, 3), (1, 2, 3)}
    assert set(found[5]) == {(0, 0, 1), (0, 1, 1)} & set(found[5])


def test_positive_frames_are_drawn_evenly(dataset):
    positive = data.PositiveFrames(dataset)
    draws = np.random.default_rng(0).random((6000, 3), np.float32)
    items = [positive.draw(0, 0, each) for each in draws]
    counts = np.bincount(np.concatenate(items), minlength=6)
    np.testing.assert_allclose(counts[[0, 2, 5]] / 6000, 1 / 3, atol=0.02)
    np.testing.assert_allclose(counts[[1, 3, 4]] / 6000, 2 / 3, atol=0.02)


def test_the_least_confidence_counts_for_frames_and_for_videos(dataset):
    source = source_of(dataset, min_confidence=0.8)
    rows, _ = data.clips_kept(source)
    assert rows.tolist() == [0, 1, 3, 5]
    assert source.positive_frames.counts(rows, rows % 3).tolist() == [2, 2, 1, 1]
    sure = drawn(source, 30)
    # Frame 5 of the first video is one of the negative ones now.
    assert all(sum(frame in (0, 2) for frame in item) == 1 for item in sure[0])
    with pytest.raises(ValueError, match=r"none that its labels and filter keep has"):
        data.clips_kept(source_of(dataset, min_confidence=0.95))


def test_other_numbers_of_frames_and_later_steps_are_as_in_an_unbroken_run(dataset):
    source = source_of(dataset, num_frames=5)
    whole = list(data.train_batches(source, 4, stop_step=8).as_numpy_iterator())
    later = data.train_batches(source, 2, 5, 8, replicas=2).as_numpy_iterator()
    parts = list(later)
    for step in range(5, 8):
        pair = parts[2 * (step - 5) : 2 * (step - 5) + 2]
        joined = np.concatenate([part["clip"] for part in pair])
        np.testing.assert_array_equal(joined, whole[step]["clip"])


def test_a_dataset_that_was_not_predicted_frame_by_frame_is_refused(tmp_path):
    plain = write_dataset(
        tmp_path / "plain",
        [
            dataclasses.replace(
                make_clip(0, 0), teacher_index=(0,), teacher_confidence=(1,)
            )
        ],
        "abc",
        1,
    )
    with pytest.raises(ValueError, match=r"plain does not say.*predict --per_frame"):
        data.PositiveFrames(plain)
