"""R3D-50-G in PyTorch, the rival of `benchmarks.model_step`; run by it.

Layers, and their names, are those of `spl_tf.models`. Eager on a CPU, where its clips
and weights are `channels_last_3d`; through `torch.compile` on a GPU.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from torch import nn

from benchmarks.worker import peak_bytes, serve

_CELLS = (3, 4, 6, 3)
_CLASSES = 400
_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Gating(nn.Module):
    """One gate per channel, from the mean of all."""

    def __init__(self, channels: int):
        super().__init__()
        self.project = nn.Linear(channels, channels)

    def forward(self, x):
        """Gates `[B, C, T, H, W]`."""
        gate = torch.sigmoid(self.project(x.mean((2, 3, 4))))
        return x * gate[:, :, None, None, None]


class ConvNorm(nn.Sequential):
    """Convolution and batch normalisation."""

    def __init__(self, channels: int, filters: int, kernel, stride: int = 1):
        super().__init__(
            nn.Conv3d(
                channels,
                filters,
                kernel,
                (1, stride, stride),
                [length // 2 for length in kernel],
                bias=False,
            ),
            nn.BatchNorm3d(filters),
        )


class Cell(nn.Module):
    """A bottleneck: t x 1 x 1, 1 x 3 x 3, 1 x 1 x 1."""

    def __init__(self, channels: int, width: int, length: int, stride: int):
        super().__init__()
        self.a = ConvNorm(channels, width, (length, 1, 1))
        self.b = ConvNorm(width, width, (1, 3, 3), stride)
        self.c = ConvNorm(width, 4 * width, (1, 1, 1))
        nn.init.zeros_(self.c[1].weight)
        self.shortcut = None
        if stride != 1 or channels != 4 * width:
            self.shortcut = ConvNorm(channels, 4 * width, (1, 1, 1), stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        """The residual branch plus the shortcut, rectified."""
        branch = self.c(self.relu(self.b(self.relu(self.a(x)))))
        return self.relu(branch + (x if self.shortcut is None else self.shortcut(x)))


class R3D50G(nn.Module):
    """The paper's Table 7."""

    def __init__(self):
        super().__init__()
        self.stem = ConvNorm(3, 64, (5, 7, 7), 2)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        channels = 64
        for stage, count in enumerate(_CELLS):
            width = 64 << stage
            for cell in range(count):
                length = 3 if stage == 0 or cell % 2 == 0 else 1
                stride = 2 if stage > 0 and cell == 0 else 1
                name = f"res{stage + 2}_{cell}"
                self.add_module(name, Cell(channels, width, length, stride))
                channels = 4 * width
            self.add_module(f"res{stage + 2}_gating", Gating(channels))
        self.classifier = nn.Linear(channels, _CLASSES)

    def forward(self, x):
        """From `[B, 3, T, H, W]` to float32 logits `[B, 400]`."""
        x = self.pool(self.relu(self.stem(x)))
        for name, layer in self.named_children():
            if name.startswith("res"):
                x = layer(x)
        features = x.mean((2, 3, 4), dtype=torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            return self.classifier(features)

    def load(self, path: str) -> None:
        """Takes the weights of the Keras model, an array per `<layer>/<weight>`."""
        with np.load(path) as arrays, torch.no_grad():
            for key, array in arrays.items():
                _find(self, key).copy_(torch.from_numpy(_to_torch(array)))


def _find(model: R3D50G, key: str) -> torch.Tensor:
    layer, weight = key.split("/")
    first, *rest = layer.removesuffix("_bn").split("_")
    if layer.endswith("gating"):
        part = getattr(model, layer).project
    elif layer == "classifier":
        part = model.classifier
    else:
        part = model.stem if first == "stem" else getattr(model, f"{first}_{rest[0]}")
        part = part if first == "stem" else getattr(part, rest[1])
        part = part[1 if layer.endswith("_bn") else 0]
    names = {
        "kernel": "weight",
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }
    return getattr(part, names.get(weight, weight))


def _to_torch(array: np.ndarray) -> np.ndarray:
    """Output channels first: a kernel of Keras has them last."""
    if array.ndim == 1:
        return array
    return np.moveaxis(array, (-1, -2), (0, 1)).copy()


class Contender:
    """The network, an optimizer and one batch."""

    def __init__(self, dtype: str, path: str):
        self._bfloat16 = dtype == "bfloat16"
        model = R3D50G().to(_DEVICE, memory_format=torch.channels_last_3d)
        self.model = model
        self._run = torch.compile(model) if _DEVICE == "cuda" else model
        self._optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        with np.load(path) as batch:
            clip = torch.from_numpy(batch["clip"]).permute(0, 4, 1, 2, 3)
            self._labels = torch.from_numpy(batch["labels"]).long().to(_DEVICE)
        self._clip = clip.to(_DEVICE, memory_format=torch.channels_last_3d)

    def count(self) -> tuple[int, int]:
        """Trained parameters, and the statistics of batch normalisation."""
        statistics = sum(b.numel() for b in self.model.buffers() if b.ndim)
        return sum(p.numel() for p in self.model.parameters()), statistics

    def train(self, steps: int) -> tuple[float, list[float]]:
        """Seconds of some training steps, and their losses."""
        self.model.train()
        start = time.perf_counter()
        losses = [self._step() for _ in range(steps)]
        losses = [loss.item() for loss in losses]
        return time.perf_counter() - start, losses

    def _step(self) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(self._logits(), self._labels)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def infer(self, steps: int) -> tuple[float, list[float]]:
        """Seconds of some forward passes, and the first clip's logits."""
        self.model.eval()
        start = time.perf_counter()
        for _ in range(steps):
            logits = self._logits()
        logits = logits[0].tolist()
        return time.perf_counter() - start, logits

    def _logits(self) -> torch.Tensor:
        with torch.autocast(_DEVICE, torch.bfloat16, enabled=self._bfloat16):
            return self._run(self._clip)

    def peak(self) -> int:
        """Bytes of the device, or of the process on a CPU."""
        return torch.cuda.max_memory_allocated() if _DEVICE == "cuda" else peak_bytes()


def main(dtype: str, path: str) -> None:
    """Serves `benchmarks.model_step`."""
    contender = Contender(dtype, path)
    serve(
        {
            "describe": lambda: f"PyTorch {torch.__version__} on {_DEVICE}",
            "load": contender.model.load,
            "count": contender.count,
            "train": contender.train,
            "infer": contender.infer,
            "peak": contender.peak,
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
