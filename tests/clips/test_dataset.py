import json
import os
import threading

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import clips
from tests.conftest import make_clip


def test_shard_names_are_those_of_tensorflow():
    assert clips.shard_name(3, 16) == "clips.tfrecord-00003-of-00016"
    with pytest.raises(ValueError, match="shard 16 is not in"):
        clips.shard_name(16, 16)


def test_every_row_reads_the_record_that_tensorflow_reads_in_its_place(web_dataset):
    paths = [
        os.path.join(web_dataset.directory, name)
        for name in web_dataset.index.shard_names
    ]
    in_order = [r.numpy() for r in tf.data.TFRecordDataset(paths)]
    with web_dataset.reader() as reader:
        assert [reader.read(row) for row in range(len(web_dataset))] == in_order
    parsed = [clips.parse_clip(record) for record in in_order]
    index = web_dataset.index
    assert index.label.tolist() == [clip.label_index for clip in parsed]
    assert index.teacher.tolist() == [clip.teacher_index[0] for clip in parsed]
    assert index.frames.tolist() == [len(clip.frames) for clip in parsed]


def test_the_index_survives_the_round_trip(web_dataset):
    again = clips.ClipIndex.load(web_dataset.directory)
    assert again.shard_names == web_dataset.index.shard_names
    np.testing.assert_array_equal(again.offset, web_dataset.index.offset)
    np.testing.assert_array_equal(again.length, web_dataset.index.length)


def test_threads_read_the_same_records(web_dataset):
    with web_dataset.reader() as reader:
        expected = [reader.read(row) for row in range(len(web_dataset))]
    results = {}
    with web_dataset.reader() as shared:

        def read_all(name):
            results[name] = [shared.read(row) for row in range(len(web_dataset))]

        threads = [threading.Thread(target=read_all, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(records == expected for records in results.values())
    assert len(results) == 4


@pytest.mark.parametrize(
    ("place", "fault"),
    [(3, "length field is wrong"), (200, "checksum of the data is wrong")],
)
def test_a_flipped_byte_is_found_and_named(web_dataset, place, fault):
    shard = os.path.join(web_dataset.directory, web_dataset.index.shard_names[1])
    row = int(np.flatnonzero(web_dataset.index.shard == 1)[2])
    with open(shard, "r+b") as file:
        position = int(web_dataset.index.offset[row]) + place
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x10]))
    with (
        web_dataset.reader() as reader,
        pytest.raises(ValueError, match=rf"00001-of-00002, row {row} .*{fault}"),
    ):
        reader.read(row)


def test_a_truncated_shard_is_found_and_named(web_dataset):
    shard = os.path.join(web_dataset.directory, web_dataset.index.shard_names[1])
    os.truncate(shard, os.path.getsize(shard) - 10)
    last = len(web_dataset) - 1
    with (
        web_dataset.reader() as reader,
        pytest.raises(ValueError, match=rf"row {last} .*the file ends after"),
    ):
        reader.read(last)


def test_a_shard_that_fails_leaves_nothing_behind(tmp_path):
    def records():
        yield clips.encode_clip(make_clip(0, 0)), 8, 0, -1
        raise RuntimeError("no more")

    name = clips.shard_name(0, 1)
    with pytest.raises(RuntimeError, match="no more"):
        clips.write_shard(tmp_path, name, records())
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    clips.write_atomically(path, b"old")
    clips.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(TypeError):
        clips.write_atomically(path, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"new"


def test_an_unfinished_folder_is_no_dataset(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dataset\.json does not exist"):
        clips.ClipDataset(tmp_path)


def test_damaged_and_foreign_files_are_refused_by_name(web_dataset):
    path = os.path.join(web_dataset.directory, "dataset.json")
    with open(path) as file:
        content = json.load(file)
    for damaged, message in [
        (json.dumps(content)[:-5], r"dataset\.json is damaged"),
        (json.dumps(content | {"version": 99}), "version 99, expected"),
        (json.dumps({**content, "shards": []}), "of different conversions"),
    ]:
        with open(path, "w") as file:
            file.write(damaged)
        with pytest.raises(ValueError, match=message):
            clips.ClipDataset(web_dataset.directory)
    index = os.path.join(web_dataset.directory, "index.npz")
    os.truncate(index, 100)
    with pytest.raises(ValueError, match=r"index\.npz is damaged"):
        clips.ClipIndex.load(web_dataset.directory)
