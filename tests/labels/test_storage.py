"""Files of matrices and maps: what comes back, and what is refused."""

import json
import os

import numpy as np
import pytest

from spl_tf.labels import (
    STRATEGIES,
    ConfusionMatrix,
    FormatError,
    LabelMap,
    build_label_map,
    storage,
)

NAMES = ["baking cookies", "making cr\u00eapes", "other"]


@pytest.fixture
def confusion():
    matrix = ConfusionMatrix(NAMES)
    matrix.update([0, 0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0, 2])
    return matrix


@pytest.fixture(params=["folder", "file.npz"])
def path(request, tmp_path):
    return tmp_path / "deep" / request.param


def assert_equal_maps(ours, theirs):
    fields = (
        "class_names strategy num_labels requested_num_labels total num_diagonal "
        "num_covered num_kept sample_cover_ratio kept_ratio noise_ratio needs_teacher"
    )
    for field in fields.split():
        assert getattr(ours, field) == getattr(theirs, field), field
    assert list(ours.label_names) == list(theirs.label_names)
    assert ours.label_counts.tolist() == theirs.label_counts.tolist()
    table = ours.dense_table()
    assert table.dtype == np.int32
    np.testing.assert_array_equal(table, theirs.dense_table())
    weak, teacher = np.divmod(np.arange(table.size), len(table))
    np.testing.assert_array_equal(ours.lookup(weak, teacher), table.reshape(-1))


def data_file(path):
    return path if path.is_file() else next(path.glob("*.npz"))


def test_a_matrix_comes_back(confusion, path):
    confusion.save(path)
    loaded = ConfusionMatrix.load(str(path))
    assert loaded.class_names == tuple(NAMES)
    assert loaded.total == 7
    np.testing.assert_array_equal(
        loaded.counts.toarray(), [[1, 2, 0], [0, 1, 1], [1, 0, 1]]
    )
    loaded.update([1], [2])
    assert loaded.total == 8


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_map_comes_back(confusion, path, strategy):
    label_map = build_label_map(confusion, strategy)
    label_map.save(path)
    assert_equal_maps(LabelMap.load(str(path)), label_map)


def test_an_empty_matrix_and_its_map_come_back(path):
    empty = ConfusionMatrix(NAMES)
    empty.save(path)
    assert ConfusionMatrix.load(path).total == 0
    label_map = build_label_map(empty, "agreement")
    label_map.save(path.with_name("map.npz"))
    assert_equal_maps(LabelMap.load(path.with_name("map.npz")), label_map)


def test_a_matrix_and_a_map_share_one_folder(confusion, tmp_path):
    confusion.save(tmp_path)
    build_label_map(confusion, "spl_b").save(tmp_path)
    assert ConfusionMatrix.load(tmp_path).total == 7
    assert LabelMap.load(tmp_path).strategy == "spl_b"


def test_the_header_of_a_folder_is_json_for_people(confusion, tmp_path):
    build_label_map(confusion, "spl_m", 4).save(tmp_path)
    header = json.loads((tmp_path / "label_map.json").read_text(encoding="utf-8"))
    assert header["class_names"] == NAMES
    assert header["strategy"] == "spl_m"
    assert header["num_labels"] == 4
    assert header["version"] == 1


def test_saving_again_replaces_and_leaves_nothing_behind(confusion, path):
    build_label_map(confusion, "spl_m").save(path)
    build_label_map(confusion, "spl_d", 4).save(path)
    assert LabelMap.load(path).strategy == "spl_d"
    assert len(list(path.parent.iterdir())) == 1
    if path.is_dir():
        assert len(list(path.iterdir())) == 2


@pytest.mark.parametrize("kept", [0, 1, 10, 0.3, 0.7, 0.999])
def test_a_file_cut_short_is_refused(confusion, path, kept):
    confusion.save(path)
    target = data_file(path)
    content = target.read_bytes()
    size = int(len(content) * kept) if isinstance(kept, float) else kept
    target.write_bytes(content[:size])
    with pytest.raises(FormatError, match=target.name):
        ConfusionMatrix.load(path)


def test_json_cut_short_is_refused(confusion, tmp_path):
    confusion.save(tmp_path)
    header = tmp_path / "confusion_matrix.json"
    header.write_bytes(header.read_bytes()[:-20])
    with pytest.raises(FormatError, match="no valid JSON, cut short"):
        ConfusionMatrix.load(tmp_path)


def test_damage_inside_of_a_file_is_refused(confusion, path):
    confusion.save(path)
    target = data_file(path)
    content = bytearray(target.read_bytes())
    content[len(content) // 3] ^= 0xFF
    target.write_bytes(content)
    with pytest.raises(FormatError):
        ConfusionMatrix.load(path)


def test_data_of_another_save_is_refused(confusion, tmp_path):
    confusion.save(tmp_path / "one")
    confusion.update([0], [2])
    confusion.save(tmp_path / "two")
    data_file(tmp_path / "two").replace(data_file(tmp_path / "one"))
    with pytest.raises(FormatError, match="its checksum is not the one in"):
        ConfusionMatrix.load(tmp_path / "one")


def test_another_version_is_refused(confusion, tmp_path):
    build_label_map(confusion, "spl_b").save(tmp_path)
    header = tmp_path / "label_map.json"
    header.write_text(header.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(FormatError, match=r"format version 2, but .* reads version 1"):
        LabelMap.load(tmp_path)


def test_another_kind_is_refused(confusion, tmp_path):
    confusion.save(tmp_path / "it.npz")
    with pytest.raises(FormatError, match=r"expected 'spl_tf\.label_map'"):
        LabelMap.load(tmp_path / "it.npz")
    np.savez(tmp_path / "foreign.npz", weights=np.zeros(3))
    with pytest.raises(FormatError, match="no header"):
        LabelMap.load(tmp_path / "foreign.npz")


def test_pickled_objects_are_refused(confusion, tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "was executed"),))

    path = tmp_path / "it.npz"
    confusion.save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["counts"] = np.array([Evil()], object)
    np.savez(path, **arrays)
    with pytest.raises(FormatError):
        ConfusionMatrix.load(path)
    assert not (tmp_path / "was executed").exists()


def test_what_is_not_there_is_no_format_error(tmp_path):
    for path in (tmp_path / "no.npz", tmp_path / "no"):
        with pytest.raises(FileNotFoundError):
            LabelMap.load(path)


def test_missing_data_beside_the_json_is_named(confusion, tmp_path):
    confusion.save(tmp_path)
    data_file(tmp_path).unlink()
    with pytest.raises(FormatError, match=r"confusion_matrix-.*npz is missing"):
        ConfusionMatrix.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cell_ids", np.array([7, 9], np.int32)),
        ("cells", np.array([3, 1], np.int64)),
        ("cells", np.array([1, 99], np.int64)),
        ("used_labels", np.array([0, 77], np.int32)),
        ("used_label_counts", np.array([1], np.int64)),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(
    confusion, tmp_path, name, value
):
    path = tmp_path / "it.npz"
    build_label_map(confusion, "spl_m", 5).save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    assert name in arrays
    arrays[name] = value
    np.savez(path, **arrays)
    with pytest.raises(FormatError, match="not a valid label map"):
        LabelMap.load(path)


def test_a_failed_save_leaves_the_old_files(confusion, path, monkeypatch):
    build_label_map(confusion, "spl_m").save(path)

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(storage.np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        build_label_map(confusion, "spl_d").save(path)
    monkeypatch.undo()
    assert LabelMap.load(path).strategy == "spl_m"
    assert len(list(path.parent.iterdir())) == 1
    if path.is_dir():
        assert len(list(path.iterdir())) == 2
