import numpy as np
import pytest

from spl_tf import clips

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
