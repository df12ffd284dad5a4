import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from spl_tf.clips.array_file import load_arrays, save_arrays

COUNT = 300_000
ARRAYS = {
    "version": np.int32(1),
    "names": np.array(["one", "fünf"]),
    "wide": np.arange(COUNT, dtype=np.int64) ** 2,
    "narrow": np.arange(COUNT, dtype=np.float32) / 7,
    "bytes": np.arange(COUNT).astype(np.uint8),
    "table": np.asfortranarray(np.arange(12).reshape(3, 4)),
}
ROOT = pathlib.Path(__file__).parents[2]


def same(found, expected=ARRAYS):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.fixture
def path(tmp_path):
    save_arrays(tmp_path / "a.npz", ARRAYS)
    return str(tmp_path / "a.npz")


def mapped(array):
    """Whether an array is in memory that is mapped from a file of the name."""
    place = array.ctypes.data
    for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(number, 16) for number in line.split()[0].split("-"))
        if first <= place < last:
            return line.endswith(".npz")
    raise AssertionError("no memory")


def test_large_arrays_are_mapped_where_they_are_aligned(path):
    found = load_arrays(path)
    same(found)
    for array in found.values():
        assert mapped(array)
        assert array.ctypes.data % 64 == 0
        assert array.flags.aligned


def test_numpy_reads_the_file_and_equal_arrays_give_equal_bytes(path, tmp_path):
    with np.load(path) as arrays:
        same(dict(arrays))
    save_arrays(tmp_path / "b.npz", ARRAYS)
    assert (tmp_path / "b.npz").read_bytes() == pathlib.Path(path).read_bytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_that_numpy_wrote_are_read(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    found = load_arrays(str(tmp_path / "a.npz"))
    same(found)
    assert mapped(found["wide"]) == (save is np.savez)


def test_small_files_are_read_and_may_be_overwritten(tmp_path):
    path = tmp_path / "a.npz"
    small = {"few": np.arange(5)}
    save_arrays(path, small)
    found = load_arrays(str(path))
    path.write_bytes(b"")
    same(found, small)


def test_a_change_stays_in_the_process(path):
    changed = load_arrays(path)["wide"]
    changed[:] = 0
    same(load_arrays(path))


def test_arrays_outlive_the_file_that_replaces_theirs(path):
    found = load_arrays(path)
    save_arrays(path, {"wide": np.zeros(COUNT)})
    same(found)


def test_a_changed_byte_is_noticed_anywhere(path):
    content = bytearray(pathlib.Path(path).read_bytes())
    with zipfile.ZipFile(path) as archive:
        places = [member.header_offset + 400 for member in archive.infolist()[2:5]]
    for place in places:
        damaged = content.copy()
        damaged[place] ^= 1
        pathlib.Path(path).write_bytes(damaged)
        with pytest.raises(Exception, match=r"checksum|Bad CRC"):
            load_arrays(path)
    pathlib.Path(path).write_bytes(content[: len(content) // 2])
    with pytest.raises(zipfile.BadZipFile):
        load_arrays(path)


def test_a_pickle_in_it_is_refused(tmp_path):
    objects = np.array([{"a": 1}] * COUNT)
    np.savez(tmp_path / "a.npz", objects=objects, fill=np.zeros(COUNT))
    with pytest.raises(ValueError, match="OBJECT array"):
        load_arrays(str(tmp_path / "a.npz"))


LOOK = """
import sys
from spl_tf.clips.array_file import load_arrays

def private():
    with open("/proc/self/smaps_rollup") as file:
        lines = [line.split() for line in file if line.startswith("Private")]
    return sum(int(line[1]) for line in lines) * 1024

before = private()
arrays = load_arrays(sys.argv[1])
total = int(arrays["wide"].sum())
print(total, private() - before)
"""


def test_a_second_process_takes_no_memory_of_its_own(tmp_path):
    path = str(tmp_path / "a.npz")
    wide = np.arange(5_000_000)
    save_arrays(path, {"wide": wide})
    found = load_arrays(path)["wide"]
    assert found.sum() == wide.sum()
    looked = subprocess.run(
        [sys.executable, "-c", LOOK, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    total, taken = map(int, looked.stdout.split())
    assert total == wide.sum()
    assert taken < wide.nbytes / 4
