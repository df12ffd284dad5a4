import dataclasses
import json
import os

import pytest

from spl_tf import clips
from tests.conftest import make_clip, write_dataset


def test_shard_names_are_those_of_tensorflow():
    assert clips.shard_name(3, 16) == "clips.tfrecord-00003-of-00016"
    with pytest.raises(ValueError, match="shard 16 is not in"):
        clips.shard_name(16, 16)


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


def test_class_names_of_an_older_dataset_are_composed(tmp_path):
    write_dataset(tmp_path, [make_clip(0, 0)], ["a", "b"], 1)
    path = tmp_path / "dataset.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"class_names": ["cre\u0302pes", "b"]}))
    assert clips.DatasetInfo.load(tmp_path).class_names == ["cr\u00eapes", "b"]


OUTSIDE = ["../victim/file", "..", "", "/etc/passwd", "sub/file", "a\\b", 7, None]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_description_that_names_a_file_elsewhere_is_refused(web_dataset, name):
    path = os.path.join(web_dataset.directory, "dataset.json")
    with open(path) as file:
        content = json.load(file)
    content["shards"][1]["name"] = name
    with open(path, "w") as file:
        json.dump(content, file)
    with pytest.raises(ValueError, match=r"dataset\.json names the file .*plain"):
        clips.DatasetInfo.load(web_dataset.directory)


@pytest.mark.parametrize("name", [each for each in OUTSIDE if isinstance(each, str)])
def test_an_index_that_names_a_file_elsewhere_is_refused(web_dataset, name):
    index = web_dataset.index
    names = (index.shard_names[0], name)
    dataclasses.replace(index, shard_names=names).save(web_dataset.directory)
    with pytest.raises(ValueError, match=r"index\.npz names the file .*plain"):
        clips.ClipIndex.load(web_dataset.directory)


def test_no_shard_is_written_elsewhere(tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="victim', expected a plain file name"):
        clips.write_shard(tmp_path / "out", "../victim", [])
    assert (tmp_path / "victim").read_bytes() == b"precious"
