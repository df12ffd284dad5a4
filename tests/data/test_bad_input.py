"""Every kind of damage is an error that says where, what and what to run."""

import dataclasses
import json
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import clips, data
from spl_tf.labels import ConfusionMatrix, build_label_map
from tests.conftest import jpeg, make_clip, write_dataset

SAMPLING = data.ClipSampling(num_frames=3, stride=2)
BAD = 4  # the row that is damaged, of 6


def write(directory, replace=None):
    """Six clips in one shard; clip 4 changed by a function."""
    all_clips = [make_clip(n, n % 2, names="ab") for n in range(6)]
    if replace is not None:
        all_clips[BAD] = replace(all_clips[BAD])
    return write_dataset(directory / "web", all_clips, ["a", "b"], num_shards=1)


def with_frame(number, content):
    def replace(clip):
        frames = list(clip.frames)
        frames[number] = content
        return dataclasses.replace(clip, frames=tuple(frames))

    return replace


def damage(dataset, row, place):
    path = os.path.join(dataset.directory, dataset.index.shard_names[0])
    with open(path, "r+b") as file:
        file.seek(int(dataset.index.offset[row]) + place)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def truncate(dataset):
    path = os.path.join(dataset.directory, dataset.index.shard_names[0])
    os.truncate(path, int(dataset.index.offset[BAD]) + 100)


def rewrite(dataset, record):
    """Puts other bytes in the place of a record, framed as they should be."""
    columns = {name: getattr(dataset.index, name) for name in ("frames", "label")}
    with dataset.reader() as reader:
        records = [reader.read(row) for row in range(6)]
    records[BAD] = record
    rows = zip(records, columns["frames"], columns["label"], [-1] * 6, strict=True)
    name = dataset.index.shard_names[0]
    summary = clips.write_shard(dataset.directory, name, rows)
    info = dataset.info
    clips.finish_dataset(dataset.directory, [summary], info.class_names, "weak", {})
    return clips.ClipDataset(dataset.directory)


def train(dataset, **changes):
    settings = {"crop_size": 24, "flip": True, "seed": 7, "label_map": None}
    source = data.TrainInput(dataset, sampling=SAMPLING, **settings | changes)
    return list(data.train_batches(source, 6, stop_step=1).as_numpy_iterator())


def all_ways(dataset):
    yield lambda: train(dataset)
    for batches in (data.eval_batches, data.predict_batches):
        yield lambda b=batches: list(b(dataset, SAMPLING, 24, 2))


def assert_all_say(dataset, *messages):
    for read in all_ways(dataset):
        with pytest.raises(tf.errors.OpError) as caught:
            read()
        text = caught.value.message
        for message in (
            f"{re.escape(dataset.directory)}/clips.tfrecord-00000-of-00001, row",
            f"row {BAD}",
            rf"tfrecords_tools\.inspect_records {re.escape(dataset.directory)}",
            "--validate",
            *messages,
        ):
            assert re.search(message, text), f"{message!r} is not in {text}"


GREY = np.full((32, 40, 3), 9, np.uint8)
JPEG = jpeg(GREY)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"\x89PNG" + bytes(100), "no JPEG, it starts with 89 50 4e 47"),
        (jpeg(GREY[:31]), r"frame \d is 31 x 40, frame 0 is 32 x 40"),
        (JPEG[: len(JPEG) // 2], r"frame \d does not decode"),
        (JPEG.replace(b"\xff\xdb", b"\xff\xfe"), r"frame \d does not decode"),
    ],
    ids=["no jpeg", "another size", "cut off", "no quantisation tables"],
)
def test_a_bad_frame(tmp_path, frame, message):
    def replace(clip):
        for number in range(2, 8):
            clip = with_frame(number, frame)(clip)
        return clip

    dataset = write(tmp_path, replace)
    assert_all_say(dataset, f"clip 'video{BAD}@0-1000000'", message)


def test_a_flipped_byte(tmp_path):
    dataset = write(tmp_path)
    damage(dataset, BAD, 300)
    assert_all_say(dataset, "checksum of the data is wrong")


def test_a_truncated_shard(tmp_path):
    dataset = write(tmp_path)
    truncate(dataset)
    with pytest.raises(tf.errors.OpError, match=r"row \d.*the file ends after"):
        train(dataset)


def test_a_record_of_another_schema(tmp_path):
    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(b"x")
    dataset = rewrite(write(tmp_path), example.SerializeToString())
    assert_all_say(dataset, "no feature list 'image/encoded'")


def test_an_index_of_other_shards(tmp_path):
    dataset = write(tmp_path)
    other = write_dataset(
        tmp_path / "other",
        [make_clip(n, n % 2, names="ab", frames=7) for n in range(6)],
        ["a", "b"],
        num_shards=1,
    )
    other.index.save(dataset.directory)
    with pytest.raises(tf.errors.OpError, match=r"row \d.*--reindex"):
        train(clips.ClipDataset(dataset.directory))


def test_an_index_that_disagrees_with_a_record(tmp_path):
    dataset = write(tmp_path)
    dataset.index.frames[BAD] = 9
    assert_all_say(dataset, "'frames': 8.*'frames': 9", "--reindex")


def test_a_missing_shard(tmp_path):
    dataset = write(tmp_path)
    os.remove(os.path.join(dataset.directory, dataset.index.shard_names[0]))
    for mode in ("error", "skip"):
        with pytest.raises(tf.errors.OpError, match=r"00000-of-00001.*does not exist"):
            train(dataset, on_bad_record=mode)


@pytest.mark.parametrize("label", [2, -1])
@pytest.mark.parametrize("mode", ["error", "skip"])
def test_a_label_that_is_no_class_is_named_before_training(tmp_path, label, mode):
    clip = dataclasses.replace(make_clip(BAD, 0), label_index=label)
    dataset = write(tmp_path, lambda _: clip)
    with pytest.raises(
        ValueError,
        match=rf"web/clips\.tfrecord-00000-of-00001, row 4: its label is {label}, "
        r"expected 0 to 1 \(1 such rows\)\. Run .* --validate",
    ):
        train(dataset, on_bad_record=mode)


def test_an_empty_dataset(tmp_path):
    dataset = write_dataset(tmp_path / "empty", [], ["a"], num_shards=1)
    with pytest.raises(ValueError, match=r"empty has no clips to train on"):
        train(dataset)
    with pytest.raises(ValueError, match=r"empty has no clips"):
        data.eval_batches(dataset, SAMPLING, 24, 2)


def test_a_folder_still_being_written(tmp_path):
    dataset = write(tmp_path)
    os.remove(os.path.join(dataset.directory, "dataset.json"))
    with pytest.raises(FileNotFoundError, match=r"dataset\.json does not exist"):
        clips.ClipDataset(dataset.directory)


def skipping_batches(dataset, limit, steps=3, **where):
    source = data.TrainInput(
        dataset,
        None,
        SAMPLING,
        24,
        flip=True,
        seed=7,
        on_bad_record="skip",
        max_bad_records=limit,
    )
    batches = data.train_batches(source, 6 // where.get("num_workers", 1), **where)
    return list(batches.take(steps).as_numpy_iterator())


def test_skipped_clips_are_replaced_by_the_next_of_the_plan(tmp_path, caplog):
    dataset = write(tmp_path)
    damage(dataset, BAD, 300)
    damage(dataset, 1, 300)
    batches = skipping_batches(dataset, limit=2)
    listed = data.TrainPlan(np.arange(6), 6, seed=7).at(np.arange(30))[0].tolist()
    expected = [
        next(row for row in listed[place:] if row not in (1, BAD))
        for place in range(18)
    ]
    assert np.concatenate([b["index"] for b in batches]).tolist() == expected
    reported = [r.getMessage() for r in caplog.records if "skipping" in r.getMessage()]
    assert len(reported) == 2
    assert "of at most 2" in reported[0]
    assert any(f"row {BAD} " in message for message in reported)


def test_skipping_is_the_same_for_workers_and_later_starts(tmp_path):
    dataset = write(tmp_path)
    damage(dataset, BAD, 300)
    whole = skipping_batches(dataset, limit=1)
    later = skipping_batches(dataset, limit=1, steps=1, start_step=2)
    parts = [
        skipping_batches(dataset, limit=1, worker=w, num_workers=2) for w in range(2)
    ]
    for name in whole[0]:
        np.testing.assert_array_equal(later[0][name], whole[2][name])
        for step, batch in enumerate(whole):
            joined = np.concatenate([part[step][name] for part in parts])
            np.testing.assert_array_equal(joined, batch[name])


def test_skipping_stops_above_the_limit(tmp_path):
    dataset = write(tmp_path)
    damage(dataset, BAD, 300)
    damage(dataset, 1, 300)
    with pytest.raises(tf.errors.OpError, match=r"web has more than 1 bad records"):
        skipping_batches(dataset, limit=1)


def test_skipping_ends_when_no_clip_is_good(tmp_path):
    dataset = write(tmp_path)
    for row in range(6):
        damage(dataset, row, 300)
    with pytest.raises(tf.errors.OpError, match=r"all 6 clips of .*web are bad"):
        skipping_batches(dataset, limit=100)


def test_an_unknown_way_with_bad_records_is_refused(tmp_path):
    with pytest.raises(ValueError, match="on_bad_record is 'ignore'"):
        train(write(tmp_path), on_bad_record="ignore")


def test_evaluation_and_prediction_can_skip_bad_records(tmp_path, caplog):
    dataset = write(tmp_path, with_frame(3, b"no picture"))
    damage(dataset, 1, 300)
    whole = data.eval_batches(write(tmp_path / "whole"), SAMPLING, 24, 4)
    whole = list(whole.as_numpy_iterator())
    for read in (data.eval_batches, data.predict_batches):
        skipped = data.SkippedRecords(dataset.directory, limit=2)
        batches = list(read(dataset, SAMPLING, 24, 4, skipped=skipped))
        assert [row in skipped for row in range(6)] == [0, 1, 0, 0, 1, 0]
        assert "checksum of the data is wrong" in skipped.reason(1)
        assert "frame 3 is no JPEG, it starts with 6e 6f" in skipped.reason(BAD)
        for batch, expected in zip(batches, whole, strict=True):
            bad = np.isin(expected["index"], [1, BAD])
            mask = expected["mask"] & ~bad
            is_wanted = mask if read is data.eval_batches else expected["mask"]
            np.testing.assert_array_equal(batch["mask"], is_wanted)
            for name in ("clip", "index", "id"):
                np.testing.assert_array_equal(batch[name][mask], expected[name][mask])
    skipped = data.SkippedRecords(dataset.directory, limit=1)
    with pytest.raises(tf.errors.OpError, match="has more than 1 bad records"):
        list(data.eval_batches(dataset, SAMPLING, 24, 4, skipped=skipped))


def test_a_bad_record_is_one_line_again_outside_of_tensorflow(tmp_path):
    dataset = write(tmp_path, with_frame(3, b"no picture"))
    with (
        pytest.raises(data.BadRecordError, match=r"^/[^\n]*row 4, [^\n]* is wrong$"),
        data.plain_bad_records(),
    ):
        list(data.eval_batches(dataset, SAMPLING, 24, 4))
    with pytest.raises(tf.errors.InvalidArgumentError), data.plain_bad_records():
        tf.io.decode_jpeg(b"not of a pipeline")


def test_dataset_json_of_another_number_of_clips_is_refused(tmp_path):
    dataset = write(tmp_path)
    path = os.path.join(dataset.directory, "dataset.json")
    with open(path) as file:
        content = json.load(file)
    content["shards"][0]["num_clips"] = 5
    with open(path, "w") as file:
        json.dump(content, file)
    with pytest.raises(ValueError, match=r"index\.npz lists 6 clips"):
        clips.ClipDataset(dataset.directory)


def test_a_label_out_of_range_is_named_before_training_under_any_map(tmp_path):
    dataset = write_dataset(
        tmp_path / "web",
        [make_clip(n, n % 3, teacher=[0], names="abc") for n in range(6)],
        ["a", "b"],
    )
    confusion = ConfusionMatrix(["a", "b"])
    confusion.update([0, 1], [1, 1])
    for strategy in ("weak", "spl_b"):
        label_map = build_label_map(confusion, strategy)
        with pytest.raises(
            ValueError, match=r"web/clips.*, row \d: its label is 2, .*\(2 such.*--val"
        ):
            data.labels_kept(dataset, label_map)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"worker": 3, "num_workers": 3}, "worker 3 of 3"),
        ({"worker": -1, "num_workers": 3}, "worker -1 of 3"),
        ({"replicas": 0}, "0 replicas"),
        ({"batch_size": 0}, "batch size 0"),
    ],
)
def test_an_impossible_place_is_refused(web_dataset, place, message):
    source = data.TrainInput(web_dataset, None, data.ClipSampling(2, 2), 16, True, 0)
    arguments = {"batch_size": 2} | place
    with pytest.raises(ValueError, match=message):
        data.train_batches(source, **arguments)
    with pytest.raises(ValueError, match=message):
        data.eval_batches(web_dataset, data.ClipSampling(2, 2), 16, **arguments)


def test_frames_smaller_than_the_crop_can_be_scaled_up(web_dataset):
    source = data.TrainInput(
        web_dataset, None, data.ClipSampling(2, 2), 40, True, 0, short_side=(48, 64)
    )
    batch = next(iter(data.train_batches(source, 2)))
    assert batch["clip"].shape == (2, 2, 40, 40, 3)
