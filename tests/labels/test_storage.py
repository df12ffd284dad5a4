import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spl_tf.labels import (
    ConfusionMatrix,
    FormatError,
    LabelMap,
    build_label_map,
    storage,
)


@pytest.fixture
def confusion():
    confusion = ConfusionMatrix(["a", "b ü", "c"])
    confusion.update([0, 0, 1, 2], [0, 1, 1, 0])
    return confusion


def counts(confusion):
    return confusion.counts.toarray().tolist()


@pytest.mark.parametrize("place", ["matrix.npz", "deep/matrix.npz", "folder", "a/b"])
def test_a_saved_matrix_comes_back(tmp_path, confusion, place):
    confusion.save(str(tmp_path / place))
    loaded = ConfusionMatrix.load(tmp_path / place)
    assert counts(loaded) == counts(confusion)
    assert loaded.class_names == ("a", "b ü", "c")
    loaded.update([0], [1])
    assert loaded.total == 5


def test_the_folder_holds_readable_json_and_one_data_file(tmp_path, confusion):
    for _ in range(3):
        confusion.update([1], [2])
        confusion.save(tmp_path)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 2
    header = json.loads((tmp_path / "confusion_matrix.json").read_text("utf-8"))
    assert header["class_names"] == ["a", "b ü", "c"]
    assert (header["format"], header["version"]) == ("spl_tf.confusion_matrix", 1)
    assert header["data"] in files
    assert counts(ConfusionMatrix.load(tmp_path))[1] == [0, 1, 3]


def test_objects_of_two_kinds_share_a_folder(tmp_path, confusion):
    build_label_map(confusion, "spl_b").save(tmp_path)
    confusion.save(tmp_path)
    build_label_map(confusion, "spl").save(tmp_path)
    assert LabelMap.load(tmp_path).strategy == "spl"
    assert counts(ConfusionMatrix.load(tmp_path)) == counts(confusion)


@pytest.mark.parametrize("place", ["matrix.npz", "folder"])
@pytest.mark.parametrize("call", ["replace", "savez", "fsync"])
def test_a_save_that_dies_at_any_step_leaves_the_old_version(
    tmp_path, confusion, monkeypatch, place, call
):
    confusion.save(tmp_path / place)
    old = counts(confusion)
    confusion.update([2], [2])
    module = np if call == "savez" else os
    original = getattr(module, call)
    for survived in range(3):
        calls = []

        def dies(*args, survived=survived, calls=calls, **kwargs):
            calls.append(args)
            if len(calls) > survived:
                raise KeyboardInterrupt
            return original(*args, **kwargs)

        monkeypatch.setattr(module, call, dies)
        try:
            confusion.save(tmp_path / place)
        except KeyboardInterrupt:
            assert counts(ConfusionMatrix.load(tmp_path / place)) == old
        else:
            assert survived >= 1
            assert counts(ConfusionMatrix.load(tmp_path / place)) == counts(confusion)
            break
        finally:
            monkeypatch.setattr(module, call, original)
        assert not list(tmp_path.rglob("*.tmp"))
    else:
        pytest.fail("the save never got through")


def test_every_file_that_is_cut_short_is_refused_by_name(tmp_path, confusion):
    confusion.save(tmp_path / "one.npz")
    confusion.save(tmp_path / "folder")
    json_file = tmp_path / "folder" / "confusion_matrix.json"
    (data,) = (tmp_path / "folder").glob("*.npz")
    for cut, loaded in (
        (tmp_path / "one.npz", tmp_path / "one.npz"),
        (json_file, tmp_path / "folder"),
        (data, tmp_path / "folder"),
    ):
        whole = cut.read_bytes()
        for length in {0, 1, 10, len(whole) // 2, len(whole) - 1}:
            cut.write_bytes(whole[:length])
            with pytest.raises(FormatError, match=cut.name):
                ConfusionMatrix.load(loaded)
        cut.write_bytes(whole)
        assert counts(ConfusionMatrix.load(loaded)) == counts(confusion)


def test_a_flipped_bit_is_noticed(tmp_path, confusion):
    confusion.save(tmp_path / "one.npz")
    confusion.save(tmp_path / "folder")
    (data,) = (tmp_path / "folder").glob("*.npz")
    for changed, loaded in ((data, tmp_path / "folder"), (tmp_path / "one.npz",) * 2):
        content = bytearray(changed.read_bytes())
        # Inside the values of an array: the rest of the file stays well-formed.
        place = content.index(b"NUMPY") + 130
        content[place] ^= 1
        changed.write_bytes(content)
        with pytest.raises(FormatError, match=changed.name):
            ConfusionMatrix.load(loaded)


def test_another_kind_another_version_and_foreign_files_are_refused(
    tmp_path, confusion
):
    confusion.save(tmp_path / "one.npz")
    with pytest.raises(FormatError, match=r"one\.npz.*spl_tf\.confusion_matrix"):
        LabelMap.load(tmp_path / "one.npz")
    np.savez(tmp_path / "foreign.npz", counts=np.eye(3))
    with pytest.raises(FormatError, match=r"foreign\.npz has no header"):
        ConfusionMatrix.load(tmp_path / "foreign.npz")
    storage.save(tmp_path / "new.npz", "confusion_matrix", 2, {}, {})
    with pytest.raises(FormatError, match=r"new\.npz.*version 2.*reads version 1"):
        ConfusionMatrix.load(tmp_path / "new.npz")
    (tmp_path / "file").write_text("text")
    with pytest.raises(FormatError, match="file is a file"):
        ConfusionMatrix.load(tmp_path / "file")
    for missing in ("none", "none.npz"):
        with pytest.raises(FileNotFoundError):
            ConfusionMatrix.load(tmp_path / missing)


def test_pickled_arrays_are_never_unpickled(tmp_path, confusion):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    confusion.save(tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as archive:
        arrays = dict(archive)
    arrays["weak"] = np.array([Bomb()], object)
    np.savez(tmp_path / "one.npz", **arrays)
    with pytest.raises(FormatError, match=r"one\.npz"):
        ConfusionMatrix.load(tmp_path / "one.npz")
    assert not (tmp_path / "exploded").exists()


def test_matrices_whose_parts_disagree_are_refused(tmp_path, confusion):
    header = {"class_names": ["a", "b"], "total": 3}
    good = {"weak": np.array([0]), "teacher": np.array([1]), "counts": np.array([3])}
    for change in (
        {"weak": np.array([2])},
        {"counts": np.array([4])},
        {"counts": np.array([-3])},
        {"teacher": np.array([0, 1])},
    ):
        storage.save(tmp_path, "confusion_matrix", 1, header, {**good, **change})
        with pytest.raises(FormatError):
            ConfusionMatrix.load(tmp_path)
    storage.save(tmp_path, "confusion_matrix", 1, header, good)
    assert ConfusionMatrix.load(tmp_path).total == 3


@pytest.mark.skipif(os.name != "posix", reason="umask is of POSIX")
def test_files_and_folders_follow_the_umask(tmp_path):
    code = (
        "import os, sys\n"
        "from spl_tf.labels import ConfusionMatrix\n"
        "os.umask(0o027)\n"
        "c = ConfusionMatrix(['a'])\n"
        "c.save(sys.argv[1] + '/folder')\n"
        "c.save(sys.argv[1] + '/one.npz')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750
    files = [*(tmp_path / "folder").iterdir(), tmp_path / "one.npz"]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o640] * 3
