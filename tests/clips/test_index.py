import dataclasses
import hashlib

import numpy as np
import pytest

from spl_tf import clips
from tests.conftest import make_clip, without_added_columns, write_dataset

SUMMARIES = [
    clips.ShardSummary("first", [100, 7], [8, 1], [2, 0], [1, -1]),
    clips.ShardSummary("empty", [], [], [], []),
    clips.ShardSummary("last", [5], [3], [1], [2]),
]


def test_rows_follow_the_shards_and_count_the_framing():
    index = clips.ClipIndex.from_shards(SUMMARIES)
    assert len(index) == 3
    assert index.shard.tolist() == [0, 0, 2]
    assert index.offset.tolist() == [0, 8 + 4 + 100 + 4, 0]
    assert index.length.tolist() == [100, 7, 5]
    assert index.frames.tolist() == [8, 1, 3]
    assert index.label.tolist() == [2, 0, 1]
    assert index.teacher.tolist() == [1, -1, 2]


def test_an_index_is_read_as_it_was_written(tmp_path):
    index = clips.ClipIndex.from_shards(SUMMARIES)
    index.save(tmp_path)
    again = clips.ClipIndex.load(tmp_path)
    assert again.shard_names == ("first", "empty", "last")
    for name in ("shard", "offset", "length", "frames", "label", "teacher"):
        np.testing.assert_array_equal(getattr(again, name), getattr(index, name))
        assert getattr(again, name).dtype == getattr(index, name).dtype


def test_a_folder_without_an_index_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.npz does not .*--reindex"):
        clips.ClipIndex.load(tmp_path)


def test_a_damaged_index_is_refused(tmp_path):
    clips.ClipIndex.from_shards(SUMMARIES).save(tmp_path)
    path = tmp_path / "index.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"index\.npz is damaged"):
        clips.ClipIndex.load(tmp_path)


def test_an_index_of_another_version_is_refused(tmp_path):
    clips.ClipIndex.from_shards(SUMMARIES).save(tmp_path)
    with np.load(tmp_path / "index.npz") as arrays:
        changed = {**arrays, "version": np.int32(99)}
    np.savez(tmp_path / "index.npz", **changed)
    with pytest.raises(ValueError, match="version 99, expected 1"):
        clips.ClipIndex.load(tmp_path)


@pytest.fixture
def tagged(tmp_path):
    """Three clips with one, three and two labels, the last one not predicted."""
    first, second, last = (
        make_clip(0, 2, teacher=[1, 2]),
        make_clip(1, 0),
        make_clip(2, 1),
    )
    second = dataclasses.replace(
        second,
        teacher_index=(2, 1),
        teacher_confidence=(0.25, 0.125),
        more_labels=((2, "c"), (1, "b")),
    )
    last = dataclasses.replace(last, media_id="", more_labels=((2, "c"),))
    return write_dataset(tmp_path / "tagged", [first, second, last], "abc", 1)


def test_a_written_shard_tells_confidence_group_and_all_labels(tagged):
    index = tagged.index
    assert index.label.tolist() == [2, 0, 1]
    assert index.confidence.tolist() == [1.0, 0.25, -1.0]
    assert index.label_confidence.tolist() == [0.5, 0.25, -1.0]
    digests = [hashlib.sha256(name).digest() for name in (b"video0", b"video1")]
    groups = [int.from_bytes(digest[:8], "little") // 2 for digest in digests]
    assert index.group.tolist() == [*groups, -1]
    assert index.labels.tolist() == [2, 0, 2, 1, 1, 2]
    assert index.label_splits.tolist() == [0, 1, 4, 6]
    assert index.labels_of(1).tolist() == [0, 2, 1]
    dtypes = {name: index.column(name).dtype.name for name in index.added}
    assert dtypes == {
        "confidence": "float32",
        "group": "int64",
        "labels": "int32",
        "label_splits": "int64",
        "label_confidence": "float32",
    }


@pytest.mark.parametrize("name", ["confidence", "group", "labels", "label_splits"])
def test_an_older_folder_opens_and_says_how_to_get_what_it_lacks(tagged, name):
    without_added_columns(tagged.directory)
    index = clips.ClipDataset(tagged.directory).index
    assert index.label.tolist() == [2, 0, 1]
    command = f"inspect_records {tagged.directory} --reindex --overwrite"
    for ask in (lambda: index.column(name), lambda: getattr(index, name)):
        with pytest.raises(ValueError, match=f"{tagged.directory}.*{name!r}") as error:
            ask()
        assert command in str(error.value)


def test_shards_that_an_older_version_summarized_give_an_older_index(tagged):
    with pytest.raises(ValueError, match="no column 'group'"):
        clips.ClipIndex.from_shards(SUMMARIES).column("group")
    index = tagged.index
    length = int(index.length[0])
    new = clips.ShardSummary("new", [length], [8], [0], [0], [0.5], [7], [1], [0])
    assert clips.ClipIndex.from_shards([new]).group.tolist() == [7]
    assert not clips.ClipIndex.from_shards([*SUMMARIES, new]).added
    # Those of before the last column lack that one alone.
    with pytest.raises(ValueError, match="no column 'label_confidence'"):
        clips.ClipIndex.from_shards([new]).column("label_confidence")


def test_an_index_with_some_of_the_columns_is_damaged(tagged):
    path = f"{tagged.directory}/index.npz"
    with np.load(path) as arrays:
        changed = {name: arrays[name] for name in arrays.files if name != "labels"}
    np.savez(path, **changed)
    with pytest.raises(ValueError, match=r"index\.npz is damaged.*labels"):
        clips.ClipIndex.load(tagged.directory)
