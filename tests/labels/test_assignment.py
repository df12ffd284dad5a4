import numpy as np
import pytest

from spl_tf.labels import FormatError
from spl_tf.labels.assignment import Assignment


@pytest.mark.parametrize("name", ["folder", "file.npz"])
def test_an_assignment_comes_back_as_it_was(tmp_path, name):
    Assignment(np.array([1, -1, 0]), ("a", "café"), "f" * 64).save(tmp_path / name)
    found = Assignment.load(tmp_path / name)
    assert found.labels.dtype == np.int32
    assert found.labels.tolist() == [1, -1, 0]
    assert (found.label_names, found.fingerprint) == (("a", "café"), "f" * 64)
    assert found.num_labels == 2


def test_labels_without_a_name_are_refused():
    with pytest.raises(ValueError, match="row 1: its label is 2, expected -1 to 1"):
        Assignment(np.array([0, 2, -2]), ("a", "b"), "f")
    with pytest.raises(ValueError, match="expected integers"):
        Assignment(np.array([0.5]), ("a",), "f")


def test_another_dataset_is_refused_with_what_was_found():
    assignment = Assignment(np.array([0, 0]), ("a",), "f" * 64)
    assignment.check("f" * 64, 2, "clusters")
    for fingerprint, rows in (("0" * 64, 2), ("f" * 64, 3)):
        with pytest.raises(ValueError, match=r"clusters.*2 clips.*another dataset"):
            assignment.check(fingerprint, rows, "clusters")


def test_a_damaged_file_is_named(tmp_path):
    Assignment(np.array([0]), ("a",), "f").save(tmp_path / "a.npz")
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=r"a\.npz"):
        Assignment.load(tmp_path / "a.npz")
