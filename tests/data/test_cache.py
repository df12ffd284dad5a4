import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import data
from spl_tf.data import numbered_batches
from spl_tf.data.decoding import ClipLoader, View
from spl_tf.data.records import BadRecordError
from tests.conftest import jpeg, make_clip, write_dataset

CLIPS, BATCH = 6, 3
STEPS_OF_AN_EPOCH = CLIPS // BATCH


def noisy_clip(number, damaged=()):
    """A clip of noise, so that a wrong window or a wrong mirror image shows."""
    rng = np.random.default_rng(number)
    frames = [jpeg(rng.integers(0, 256, (30, 40, 3), np.uint8)) for _ in range(5)]
    for place in damaged:
        frames[place] = frames[place][:300]
    return dataclasses.replace(
        make_clip(number, 0, frames=5, size=(30, 40)), frames=tuple(frames)
    )


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "d", [noisy_clip(n) for n in range(CLIPS)], ["a"])


def batches(dataset, cache_bytes, **options):
    source = data.TrainInput(
        dataset=dataset,
        label_map=None,
        sampling=data.ClipSampling(num_frames=3, stride=1),
        crop_size=24,
        flip=True,
        seed=3,
        cache_bytes=cache_bytes,
    )
    return iter(data.train_batches(source, BATCH, **options).as_numpy_iterator())


def destroy(dataset):
    """Overwrites all shards where they are, so that open files see it too."""
    for name in dataset.index.shard_names:
        with open(f"{dataset.directory}/{name}", "r+b") as file:
            size = len(file.read())
            file.seek(0)
            file.write(bytes(size))


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("cache_bytes", [30_000, 1_000_000])
def test_batches_are_the_same_with_a_cache(dataset, cache_bytes, pool, monkeypatch):
    monkeypatch.setattr(numbered_batches, "_ONE_THREAD_BYTES", 0 if pool else 1_000_000)
    steps = 8 * STEPS_OF_AN_EPOCH
    plain = list(batches(dataset, 0, stop_step=steps))
    cached = list(batches(dataset, cache_bytes, stop_step=steps))
    assert len(cached) == steps
    for first, second in zip(plain, cached, strict=True):
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_what_is_cached_is_not_read_again(dataset):
    many = 20 * STEPS_OF_AN_EPOCH
    expected = list(batches(dataset, 0, stop_step=many))
    iterator = batches(dataset, 1_000_000, stop_step=many)
    found = [next(iterator) for _ in range(STEPS_OF_AN_EPOCH)]
    destroy(dataset)
    found += list(iterator)
    for first, second in zip(expected, found, strict=True):
        np.testing.assert_array_equal(first["clip"], second["clip"])


def test_what_has_no_room_is_read_again(dataset):
    largest = int(dataset.index.length.max())
    iterator = batches(dataset, 2 * largest, stop_step=1000)
    for _ in range(STEPS_OF_AN_EPOCH):
        next(iterator)
    destroy(dataset)
    with pytest.raises(tf.errors.OpError, match=r"row \d"):
        list(iterator)


def load(loader, row):
    out = np.empty((1, 5, 24, 24, 3), np.uint8)
    loader.load(row, np.zeros(9, np.float32), out)
    return out


def all_frames(length, height, width, draws):
    del height, width, draws
    return [View(range(length), (2, 5, 24, 24))]


def test_the_room_for_the_cache_is_filled_and_no_more(dataset):
    frame, record = 30 * 40 * 3, int(dataset.index.length.max())
    assert frame < record
    # One clip fits, and of another the record does not, while a frame would.
    limit = record + 5 * frame + frame
    loader = ClipLoader(dataset, all_frames, 24, cache_bytes=limit)
    for row in [*range(CLIPS)] * 2:
        load(loader, row)
    (kept,) = loader._kept.values()
    # Nothing took room that it does not use.
    assert loader._room.take(limit - len(kept.record.data) - 5 * frame)


def test_a_bad_frame_of_a_kept_clip_is_named_each_time(tmp_path):
    bad = noisy_clip(0, damaged=[3])
    dataset = write_dataset(tmp_path / "d", [bad], ["a"], num_shards=1)
    loader = ClipLoader(dataset, all_frames, 24, cache_bytes=1_000_000)
    for _ in range(2):
        with pytest.raises(BadRecordError, match="frame 3 does not decode") as raised:
            load(loader, 0)
        shard = dataset.index.shard_names[0]
        assert f"{shard}, row 0, clip '{bad.id}': " in str(raised.value)
