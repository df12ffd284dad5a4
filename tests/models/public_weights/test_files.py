"""Checkpoint files of other projects."""

import sys

import numpy as np
import pytest
import safetensors.numpy

from spl_tf.models.public_weights.files import read_tensors

TENSORS = {
    "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bn.num_batches_tracked": np.array(7, np.int64),
}


def assert_read(path, expected=TENSORS):
    found = read_tensors(path)
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_safetensors_and_npz_are_read(tmp_path):
    safetensors.numpy.save_file(TENSORS, tmp_path / "a.safetensors")
    assert_read(tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **TENSORS)
    assert_read(tmp_path / "a.npz")


def test_a_prefix_of_all_names_goes_and_halves_become_float32(tmp_path):
    halves = {f"module.{k}": v for k, v in TENSORS.items()}
    halves["module.fc.weight"] = halves["module.fc.weight"].astype(np.float16)
    safetensors.numpy.save_file(halves, tmp_path / "a.safetensors")
    assert_read(tmp_path / "a.safetensors")


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_damage_and_absence_are_told(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_tensors(path)
    path.write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(ValueError, match="is damaged or no"):
        read_tensors(path)
    (tmp_path / "a.ckpt").touch()
    with pytest.raises(ValueError, match=r"expected a file that ends in \.pth"):
        read_tensors(tmp_path / "a.ckpt")


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", fc=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match=r"is damaged or no \.npz"):
        read_tensors(tmp_path / "a.npz")


def test_a_file_of_pytorch_says_how_to_get_it_read(tmp_path, monkeypatch):
    (tmp_path / "a.pth").write_bytes(b"PK")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'spl_tf\[torch\]'"):
        read_tensors(tmp_path / "a.pth")


def test_a_file_of_pytorch_is_read_as_weights_alone(tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(array) for name, array in TENSORS.items()}
    torch.save(state, tmp_path / "a.pth")
    assert_read(tmp_path / "a.pth")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "b.pt")
    assert_read(tmp_path / "b.pt")
    torch.save({"state_dict": state, "path": tmp_path}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match="holds more than weights"):
        read_tensors(tmp_path / "c.pth")
