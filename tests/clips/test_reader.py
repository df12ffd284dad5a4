import os
import pathlib
import random
import threading

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import clips
from tests.conftest import make_clip, write_dataset


@pytest.fixture(params=["local", "remote"])
def dataset(request, tmp_path):
    """23 clips in 6 shards, in a local folder or in TensorFlow's `ram://`."""
    local = write_dataset(
        tmp_path / "web",
        [make_clip(n, n % 3, frames=1 + n % 4, names="abc") for n in range(23)],
        ["a", "b", "c"],
        num_shards=6,
    )
    if request.param == "local":
        return local
    remote = f"ram:/{local.directory}"
    for name in os.listdir(local.directory):
        tf.io.gfile.copy(f"{local.directory}/{name}", f"{remote}/{name}")
    return clips.ClipDataset(remote)


def shard_path(dataset, row):
    name = dataset.index.shard_names[dataset.index.shard[row]]
    return os.path.join(dataset.directory, name)


def rewrite(path, change):
    with tf.io.gfile.GFile(path, "rb") as file:
        content = bytearray(file.read())
    tf.io.gfile.remove(path)  # ram:// would append to it
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(bytes(change(content)))


def all_records(dataset):
    """What TensorFlow reads, in the order of the index."""
    paths = [f"{dataset.directory}/{name}" for name in dataset.index.shard_names]
    return [record.numpy() for record in tf.data.TFRecordDataset(paths)]


def open_shards(dataset):
    """How many of this process's file descriptors are shards."""
    links = pathlib.Path("/proc/self/fd").iterdir()
    targets = [os.readlink(link) for link in links if link.is_symlink()]
    return sum(target.startswith(f"{dataset.directory}/clips.") for target in targets)


def test_every_row_reads_the_record_that_tensorflow_reads_in_its_place(dataset):
    with dataset.reader() as reader:
        rows = np.random.default_rng(0).permutation(len(dataset))
        found = {int(row): reader.read(row) for row in rows}
    assert [found[row] for row in range(len(dataset))] == all_records(dataset)


@pytest.mark.parametrize("max_open_shards", [0, 1, 2, 64])
def test_threads_read_right_records_whatever_number_of_shards_stays_open(
    dataset, max_open_shards
):
    expected = all_records(dataset)
    wrong = []
    reader = clips.RecordReader(dataset.directory, dataset.index, max_open_shards)

    def read(seed):
        for row in random.Random(seed).choices(range(len(dataset)), k=300):
            try:
                if reader.read(row) != expected[row]:
                    wrong.append(row)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader.close()
    assert wrong == []
    assert open_shards(dataset) == 0


@pytest.mark.parametrize("dataset", ["local"], indirect=True)
def test_only_so_many_shards_stay_open(dataset):
    before = open_shards(dataset)
    reader = clips.RecordReader(dataset.directory, dataset.index, max_open_shards=3)
    for row in range(len(dataset)):
        reader.read(row)
    assert (before, open_shards(dataset)) == (0, 3)
    reader.close()
    assert open_shards(dataset) == 0
    assert reader.read(0) == all_records(dataset)[0]
    del reader
    assert open_shards(dataset) == 0


@pytest.mark.parametrize("dataset", ["local"], indirect=True)
def test_a_shard_that_opens_slowly_holds_up_no_other(dataset):
    slow = shard_path(dataset, 0)
    os.remove(slow)
    os.mkfifo(slow)  # opening it waits for a writer
    errors = []
    with dataset.reader() as reader:

        def read_slowly():
            try:
                reader.read(0)
            except OSError as error:
                errors.append(str(error))

        thread = threading.Thread(target=read_slowly)
        thread.start()
        thread.join(0.1)
        last = len(dataset) - 1
        clips.parse_clip(reader.read(last))
        assert thread.is_alive()
        os.close(os.open(slow, os.O_WRONLY))
        thread.join()
    assert len(errors) == 1
    assert f"{slow}, row 0 at byte 0" in errors[0]


def test_a_missing_shard_is_named_with_what_to_do(dataset):
    tf.io.gfile.remove(shard_path(dataset, 22))
    with (
        dataset.reader() as reader,
        pytest.raises(FileNotFoundError, match=r"00005-of-00006.* row 22.*--validate"),
    ):
        reader.read(22)


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("length", "checksum of the length field is wrong"),
        ("length's checksum", "checksum of the length field is wrong"),
        ("data", "checksum of the data is wrong"),
        ("data's checksum", "checksum of the data is wrong"),
    ],
)
def test_a_flipped_byte_is_found_and_named(dataset, part, fault):
    row = 9
    length = int(dataset.index.length[row])
    places = {"length": 3, "length's checksum": 9, "data": 12 + length // 2}
    place = int(dataset.index.offset[row]) + places.get(part, 12 + length + 1)

    def flip(content):
        content[place] ^= 0x10
        return content

    rewrite(shard_path(dataset, row), flip)
    expected = rf"clips\.tfrecord-\d+-of-00006, row 9 at byte \d+: the {fault}.*--reind"
    with dataset.reader() as reader:
        with pytest.raises(ValueError, match=expected):
            reader.read(row)
        clips.parse_clip(reader.read(row - 1))


@pytest.mark.parametrize("kept", [-50, 0, 5, 100, -1])
def test_a_truncated_record_is_found_and_those_before_it_can_be_read(dataset, kept):
    row = int(np.flatnonzero(dataset.index.shard == 0)[-1])
    offset, length = int(dataset.index.offset[row]), int(dataset.index.length[row])
    size = 12 + length + 4
    end = offset + (kept if kept != -1 else size - 1)
    rewrite(shard_path(dataset, row), lambda content: content[:end])
    found = max(0, end - offset)
    expected = f"row {row} at byte {offset}: the file ends after {found} of .* {size} "
    with dataset.reader() as reader:
        before = reader.read(row - 2)
        for _ in range(2):
            with pytest.raises(ValueError, match=expected):
                reader.read(row)
        assert reader.read(row - 2) == before


def test_an_index_of_other_shards_is_found(dataset):
    dataset.index.length[4] += 1
    found = int(dataset.index.length[4]) - 1
    with (
        dataset.reader() as reader,
        pytest.raises(ValueError, match=f"{found} bytes, the index says {found + 1}"),
    ):
        reader.read(4)
