import gc
import io
import os
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from spl_tf import clips, data
from spl_tf.data import numbered_batches
from spl_tf.labels import STRATEGIES, ConfusionMatrix, build_label_map
from tests.conftest import jpeg, make_clip, write_dataset

SAMPLING = data.ClipSampling(num_frames=3, stride=2)


def label_map_for(dataset, strategy):
    confusion = ConfusionMatrix(dataset.info.class_names)
    confusion.update(dataset.index.label, dataset.index.teacher)
    return build_label_map(confusion, strategy)


def source_of(dataset, strategy=None, **changes):
    label_map = label_map_for(dataset, strategy) if strategy else None
    settings = {
        "dataset": dataset,
        "label_map": label_map,
        "sampling": SAMPLING,
        "crop_size": 24,
        "flip": True,
        "seed": 7,
    }
    return data.TrainInput(**settings | changes)


def take(batches, count):
    return list(batches.take(count).as_numpy_iterator())


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_a_batch_is_what_numpy_computes_from_the_record(tmp_path):
    # Frames of random blocks, so that a wrong place, frame or flip shows.
    generator = np.random.default_rng(0)
    all_clips = []
    for number in range(6):
        blocks = generator.integers(0, 256, (9, 6, 8, 3), np.uint8)
        images = blocks.repeat(6, axis=1).repeat(6, axis=2)
        frames = []
        for image in images:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=0)
            frames.append(buffer.getvalue())
        clip = make_clip(number, 0, frames=9, size=(36, 48))
        all_clips.append(clips.Clip(**{**clip.__dict__, "frames": tuple(frames)}))
    dataset = write_dataset(tmp_path / "d", all_clips, ["a"])
    batches = take(data.train_batches(source_of(dataset), batch_size=4), 3)
    plan = data.TrainPlan(np.arange(6), 4, seed=7)
    flipped = 0
    with dataset.reader() as reader:
        for step, batch in enumerate(batches):
            rows, epochs = plan.batch(step)
            assert batch["index"].tolist() == rows.tolist()
            draws = data.uniform_draws(7, epochs, rows, 8)
            np.testing.assert_array_equal(batch["draws"], draws[:, 4:])
            for place, row in enumerate(rows):
                clip = clips.parse_clip(reader.read(row))
                start = int(draws[place, 0] * (9 - 6 + 1))
                top = int(draws[place, 1] * (36 - 24 + 1))
                left = int(draws[place, 2] * (48 - 24 + 1))
                expected = np.stack(
                    [
                        np.asarray(Image.open(io.BytesIO(clip.frames[start + 2 * t])))
                        for t in range(3)
                    ]
                )[:, top : top + 24, left : left + 24]
                if draws[place, 3] < 0.5:
                    expected = expected[:, :, ::-1]
                    flipped += 1
                assert batch["id"][place].decode() == clip.id
                difference = np.abs(batch["clip"][place].astype(int) - expected)
                assert difference.mean() < 3  # decoders round; wrong places give 50
    assert 0 < flipped < 12


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_are_those_of_the_label_map(web_dataset, strategy):
    label_map = label_map_for(web_dataset, strategy)
    kept = data.labels_kept(web_dataset, label_map)
    expected = label_map.lookup(web_dataset.index.label, web_dataset.index.teacher)
    assert kept.tolist() == np.flatnonzero(expected >= 0).tolist()
    steps = -(-len(kept) // 5)
    seen = set()
    for batch in take(data.train_batches(source_of(web_dataset, strategy), 5), steps):
        assert batch["label"].dtype == np.int32
        assert batch["label"].tolist() == expected[batch["index"]].tolist()
        seen |= set(batch["index"].tolist())
    assert seen == set(kept.tolist())


def test_the_rule_and_the_table_give_the_same_labels(web_dataset, monkeypatch):
    labels, teachers = web_dataset.index.label, web_dataset.index.teacher
    for strategy in STRATEGIES:
        label_map = label_map_for(web_dataset, strategy)
        expected = label_map.lookup(labels, teachers).tolist()
        for cells in (0, 1 << 20):
            monkeypatch.setattr("spl_tf.data.label_lookup._DENSE_CELLS", cells)
            lookup = data.LabelLookup(label_map, 3)
            dataset = tf.data.Dataset.from_tensor_slices(
                (labels.astype(np.int64), teachers.astype(np.int64))
            ).map(lambda w, t, lookup=lookup: lookup(w, t, tf.constant("clip")))
            assert [int(label) for label in dataset] == expected
            ids = tf.fill([len(labels)], "clip")
            columns = tf.constant(labels, tf.int64), tf.constant(teachers, tf.int64)
            assert lookup(*columns, ids).numpy().tolist() == expected


@pytest.mark.parametrize("bad", [-1, 3, 7])
def test_the_lookup_names_the_clip_of_a_label_out_of_range(web_dataset, bad):
    ids = tf.constant(["first", "second", "third"])
    lookup = data.LabelLookup(label_map_for(web_dataset, "spl_b"), 3)
    good, wrong = tf.constant([0, 1, 2], tf.int64), tf.constant([0, bad, 2], tf.int64)
    for columns in ((wrong, good), (good, wrong)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="second"):
            lookup(*columns, ids)
        dataset = tf.data.Dataset.from_tensors((*columns, ids)).map(lookup)
        with pytest.raises(tf.errors.InvalidArgumentError, match="second"):
            list(dataset)


@pytest.mark.parametrize(("workers", "start"), [(1, 5), (3, 2), (3, 9)])
def test_a_later_start_gives_the_batches_of_an_unbroken_run(
    web_dataset, workers, start
):
    # 23 clips in batches of 6: epoch boundaries lie inside batches.
    source = source_of(web_dataset, "spl_b")
    for worker in range(workers):
        where = {"batch_size": 6 // workers, "worker": worker, "num_workers": workers}
        unbroken = take(data.train_batches(source, **where), start + 5)
        later = take(data.train_batches(source, start_step=start, **where), 5)
        for first, second in zip(unbroken[start:], later, strict=True):
            assert_same(first, second)


def test_batches_end_before_the_stop_step(web_dataset):
    source = source_of(web_dataset, "spl_b")
    endless = take(data.train_batches(source, 3, replicas=2), 14)
    ending = list(
        data.train_batches(
            source, 3, start_step=4, stop_step=7, replicas=2
        ).as_numpy_iterator()
    )
    assert len(ending) == 6
    for first, second in zip(endless[8:], ending, strict=True):
        assert_same(first, second)


def test_replicas_and_workers_share_the_batch_of_one(web_dataset):
    source = source_of(web_dataset, "spl_b")
    whole = take(data.train_batches(source, 12), 3)
    parts = [
        take(data.train_batches(source, 3, worker=w, num_workers=2, replicas=2), 6)
        for w in range(2)
    ]
    for step, batch in enumerate(whole):
        pieces = [parts[w][2 * step + r] for w in range(2) for r in range(2)]
        joined = {
            name: np.concatenate([piece[name] for piece in pieces]) for name in batch
        }
        assert_same(joined, batch)


@pytest.mark.parametrize("one_thread_bytes", [0, 10**9])
def test_batches_do_not_depend_on_the_threads_that_decode(
    web_dataset, monkeypatch, one_thread_bytes
):
    source = source_of(web_dataset)
    usual = take(data.train_batches(source, 4), 3)
    monkeypatch.setattr(numbered_batches, "_ONE_THREAD_BYTES", one_thread_bytes)
    for batch, other in zip(usual, take(data.train_batches(source, 4), 3), strict=True):
        assert_same(batch, other)


def test_jittered_crops_are_scaled_from_a_window_of_their_own_size(tmp_path):
    # A ramp: after scaling by s, the slope is 4 / s.
    ramp = np.broadcast_to((4 * np.arange(48))[None, :, None], (48, 48, 3))
    frames = (jpeg(ramp.astype(np.uint8), 100),) * 8
    all_clips = [
        clips.Clip(**{**make_clip(n, 0, size=(48, 48)).__dict__, "frames": frames})
        for n in range(12)
    ]
    dataset = write_dataset(tmp_path / "d", all_clips, ["a"])
    source = source_of(dataset, flip=False, short_side=(24, 96))
    batch = take(data.train_batches(source, 12), 1)[0]
    rows, epochs = data.TrainPlan(np.arange(12), 12, 7).batch(0)
    draws = data.uniform_draws(7, epochs, rows, 9)
    for place in range(12):
        short_side = 24 + int(draws[place, 8] * (96 - 24 + 1))
        side = min(round(24 * 48 / short_side), 48)
        row = batch["clip"][place, 0].mean(axis=(0, 2))
        assert np.diff(row)[2:-2].mean() == pytest.approx(4 * side / 24, rel=0.05)
        left = int(draws[place, 2] * (48 - side + 1))
        assert row.mean() == pytest.approx(4 * (left + (side - 1) / 2), abs=2.5)


def test_resampled_batches_hold_what_the_plan_draws(web_dataset):
    resampling = data.Resampling(power=0.0)
    source = source_of(web_dataset, "spl_b", resampling=resampling)
    kept = data.labels_kept(web_dataset, source.label_map)
    index = web_dataset.index
    labels = source.label_map.lookup(index.label, index.teacher)
    probabilities = resampling.probabilities(labels[kept])
    plan = data.TrainPlan(kept, 6, 7, probabilities)
    batches = take(data.train_batches(source, 6), 3)
    later = take(data.train_batches(source, 6, start_step=2), 1)
    assert_same(later[0], batches[2])
    for step, batch in enumerate(batches):
        rows, visits = plan.batch(step)
        assert batch["index"].tolist() == rows.tolist()
        assert batch["label"].tolist() == labels[rows].tolist()
        np.testing.assert_array_equal(
            batch["draws"], data.uniform_draws(7, visits, rows, 8)[:, 4:]
        )


def test_mixed_batches_hold_each_sources_share(web_dataset, tmp_path):
    target = write_dataset(
        tmp_path / "target", [make_clip(n, n % 2) for n in range(5)], ["x", "y"]
    )
    sources = [source_of(web_dataset, "spl_b"), source_of(target, seed=1)]
    mixed = take(data.train_batches(sources, [4, 2], replicas=2), 8)
    alone = [
        take(data.train_batches(source, size, replicas=2), 8)
        for source, size in zip(sources, [4, 2], strict=True)
    ]
    for number, batch in enumerate(mixed):
        assert batch.pop("source").tolist() == [0, 0, 0, 0, 1, 1]
        joined = {
            name: np.concatenate([part[number][name] for part in alone])
            for name in batch
        }
        assert_same(batch, joined)


def test_sources_that_do_not_fit_together_are_refused(web_dataset):
    sources = [source_of(web_dataset), source_of(web_dataset, crop_size=20)]
    with pytest.raises(ValueError, match="same num_frames and crop_size"):
        data.train_batches(sources, [2, 2])
    with pytest.raises(ValueError, match="2 sources have 1 batch sizes"):
        data.train_batches(sources, 4)
    with pytest.raises(ValueError, match="short_side is 20 to 40"):
        source_of(web_dataset, short_side=(20, 40))


def test_pipelines_that_are_dropped_close_their_shards(web_dataset):
    def open_shards():
        gc.collect()
        names = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir(fds)]
        return sum("tfrecord" in name for name in names)

    fds = "/proc/self/fd"
    before = open_shards()
    batches = data.train_batches(source_of(web_dataset), 4)
    iterator = iter(batches)
    del batches
    gc.collect()
    next(iterator)  # the iterator alone keeps the pipeline
    assert open_shards() == before + 2
    del iterator
    deadline = time.monotonic() + 240  # ends a hang
    while open_shards() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert open_shards() == before


def test_a_strategy_that_needs_the_teacher_names_dataset_and_command(tmp_path):
    dataset = write_dataset(
        tmp_path / "web", [make_clip(n, n % 3, names="abc") for n in range(6)], "abc"
    )
    confusion = ConfusionMatrix(["a", "b", "c"])
    confusion.update([0, 1, 2], [0, 1, 1])
    needs = build_label_map(confusion, "spl_b")
    with pytest.raises(
        ValueError, match=r"web has 6 clips without .*experiments\.pred"
    ):
        data.labels_kept(dataset, needs)
    weak = build_label_map(confusion, "weak")
    assert data.labels_kept(dataset, weak).tolist() == list(range(6))


def test_a_label_map_of_other_classes_is_refused(web_dataset):
    confusion = ConfusionMatrix(["a", "c", "b"])
    with pytest.raises(ValueError, match="names and order must be the same"):
        data.labels_kept(web_dataset, build_label_map(confusion, "weak"))


def test_a_label_out_of_range_names_the_clip(tmp_path):
    names = "abcdef"
    dataset = write_dataset(
        tmp_path / "d",
        [make_clip(0, 0, names=names), make_clip(1, 4, names=names)],
        "ab",
    )
    batches = data.eval_batches(dataset, SAMPLING, 24, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="video1@0-1000000"):
        list(batches)


def test_frames_smaller_than_the_crop_name_the_clip(web_dataset):
    batches = data.train_batches(source_of(web_dataset, crop_size=33), 1)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"video\d+@.*smaller than"
    ):
        next(iter(batches))


def test_an_index_of_other_records_is_noticed(web_dataset):
    # The index claims agreement for a clip whose record says otherwise.
    row = int(np.flatnonzero(web_dataset.index.label != web_dataset.index.teacher)[0])
    label_map = label_map_for(web_dataset, "agreement")
    web_dataset.index.teacher[row] = web_dataset.index.label[row]
    batches = data.train_batches(source_of(web_dataset, label_map=label_map), 23)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="belongs to other records"
    ):
        take(batches, 2)
