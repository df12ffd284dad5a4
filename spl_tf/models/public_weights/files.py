"""The tensors of a checkpoint file, by name, as NumPy arrays."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

ENDINGS = (".pth", ".pt", ".safetensors", ".npz")
# Under which keys projects put a network's tensors beside other things.
_NESTED = ("state_dict", "model_state", "model", "module")


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads a checkpoint; nothing in it is executed.

    Args:
        path: A file of PyTorch (`.pth`, `.pt`: needs the extra `torch`, and is read as
            weights alone), of safetensors, or of NumPy (`.npz`).

    Returns:
        float32 and integer arrays by name. A prefix `module.`, which PyTorch's
        wrappers for several devices add to all names, is left out.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: A file of PyTorch, and PyTorch is not installed.
        ValueError: The file is damaged, of another kind, or holds no tensors.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} does not exist: no checkpoint to read")
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise ValueError(f"{path}: expected a file that ends in {', '.join(ENDINGS)}")
    if ending == ".safetensors":
        tensors = _read_safetensors(path)
    else:
        tensors = _read_npz(path) if ending == ".npz" else _read_torch(path)
    if not tensors:
        raise ValueError(f"{path} holds no tensors")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name[len("module.") :]: each for name, each in tensors.items()}
    return {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array
        for name, array in tensors.items()
    }


def _read_npz(path: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged or no .npz file: {error}") from error


def _read_safetensors(path: str) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, KeyError) as error:
        raise ValueError(f"{path} is damaged or no safetensors: {error}") from error


def _read_torch(path: str) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path} is a file of PyTorch, which is not installed: `pip install "
            "'spl_tf[torch]'`, or convert it to .safetensors elsewhere"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever its unpickler meets
        raise ValueError(
            f"{path} is damaged, or holds more than weights, which are all that is "
            f"read of such a file: {error}"
        ) from error
    return {
        name: tensor.detach().float().numpy()
        if tensor.is_floating_point()
        else tensor.numpy()
        for name, tensor in _tensors_in(content, torch.Tensor).items()
    }


def _tensors_in(content: Any, kind: type) -> dict[str, Any]:
    """The tensors of a checkpoint, or of the part of it that is a network's."""
    if not isinstance(content, Mapping):
        return {}
    for key in _NESTED:
        if isinstance(content.get(key), Mapping):
            return _tensors_in(content[key], kind)
    return {name: each for name, each in content.items() if isinstance(each, kind)}
