import concurrent.futures
import importlib.util
import pathlib

import pytest
import tensorflow as tf

from spl_tf import clips
from tests.conftest import make_clip

without_tensorflow_io = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_io") is not None,
    reason="tensorflow-io is installed",
)


def shard_records(all_clips):
    for clip in all_clips:
        yield clips.encode_clip(clip), len(clip.frames), clip.label_index, -1


def test_a_dataset_is_written_to_a_remote_path_and_read_by_many_threads(tmp_path):
    directory = f"ram:/{tmp_path}/web"
    expected = [make_clip(n, n % 2, frames=2, names="ab") for n in range(10)]
    summaries = [
        clips.write_shard(
            directory, clips.shard_name(shard, 2), shard_records(expected[start:stop])
        )
        for shard, (start, stop) in enumerate([(0, 6), (6, 10)])
    ]
    clips.finish_dataset(directory, summaries, ["a", "b"], "weak", {"tool": "test"})
    assert sorted(tf.io.gfile.listdir(directory)) == [
        "clips.tfrecord-00000-of-00002",
        "clips.tfrecord-00001-of-00002",
        "dataset.json",
        "index.npz",
    ]
    dataset = clips.ClipDataset(directory)
    rows = list(range(10)) * 20
    with dataset.reader() as reader, concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(reader.read, rows))
    assert [clips.parse_clip(record) for record in found] == expected * 20


def test_a_remote_shard_that_fails_leaves_nothing_behind(tmp_path):
    directory = f"ram:/{tmp_path}"

    def records():
        yield from shard_records([make_clip(0, 0)])
        raise RuntimeError("no more")

    tf.io.gfile.makedirs(directory)
    with pytest.raises(RuntimeError, match="no more"):
        clips.write_shard(directory, "clips", records())
    assert tf.io.gfile.listdir(directory) == []


@pytest.mark.parametrize("path", ["clips/web", "/c:/d", "gs://b/web", "ram://web"])
def test_paths_that_tensorflow_opens_by_itself_pass(path):
    assert clips.usable_path(path) == path


def test_a_path_object_becomes_text():
    assert clips.usable_path(pathlib.Path("clips") / "web") == "clips/web"


@without_tensorflow_io
@pytest.mark.parametrize(
    "use",
    [
        clips.usable_path,
        clips.ClipIndex.load,
        lambda path: clips.RecordReader(path, None),
        lambda path: clips.write_atomically(path, b""),
        lambda path: clips.write_shard(path, "clips", []),
    ],
    ids=["path", "index", "reader", "file", "shard"],
)
def test_an_s3_path_without_tensorflow_io_names_the_extra(use):
    expected = r"s3://bucket/web.*: .*pip install 'spl_tf\[tfio\]'.*Python 3\.11"
    with pytest.raises(ValueError, match=expected):
        use("s3://bucket/web")


def test_an_unknown_scheme_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"for nosuch://, only .*gs://.*: that scheme"):
        clips.usable_path("nosuch://web")
