"""The networks in PyTorch, rivals of `benchmarks.model_step`; run by it.

Layers, and their names, are those of `spl_tf.models`. Eager on a CPU, where its clips
and weights are `channels_last_3d`; through `torch.compile` on a GPU.
"""

from __future__ import annotations

import dataclasses
import re
import sys

import numpy as np
import torch
from torch import nn

from benchmarks.worker import peak_bytes, serve, timed

_CELLS = (3, 4, 6, 3)
_CLASSES = 400
_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Picks the fastest kernels of the GPU's library, as XLA does.
torch.backends.cudnn.benchmark = True


@dataclasses.dataclass(frozen=True)
class Spec:
    """The shape of a network.

    Attributes:
        lengths: Per stage, the lengths in time of its cells' kernels, in turn.
        stem_length: Length in time of the stem's kernel.
        gating: Whether a gate ends each stage.
        factorised: Whether cells are R(2+1)D's, else bottlenecks.
        epsilon: What batch normalisation adds to variances.
    """

    lengths: tuple[tuple[int, ...], ...]
    stem_length: int = 1
    gating: bool = False
    factorised: bool = False
    epsilon: float = 1e-5

    @property
    def expansion(self) -> int:
        """Channels of a cell's output, per channel of its width."""
        return 1 if self.factorised else 4


_SPECS = {
    "r3d_50_g": Spec(((3,), (3, 1), (3, 1), (3, 1)), stem_length=5, gating=True),
    "r2plus1d_34": Spec(((3,),) * 4, stem_length=3, factorised=True, epsilon=1e-3),
    "slow_only_50": Spec(((1,), (1,), (3,), (3,))),
}


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
    """Convolution and batch normalisation; `stride` is (temporal, spatial)."""

    def __init__(self, channels: int, filters: int, kernel, stride, spec: Spec):
        time, space = stride
        super().__init__(
            nn.Conv3d(
                channels,
                filters,
                kernel,
                (time, space, space),
                [length // 2 for length in kernel],
                bias=False,
            ),
            nn.BatchNorm3d(filters, spec.epsilon),
        )


class Factorised(nn.Module):
    """A convolution over space, then one over time."""

    def __init__(
        self, channels: int, filters: int, middle: int, size: int, stride, spec: Spec
    ):
        super().__init__()
        time, space = stride
        self.space = ConvNorm(channels, middle, (1, size, size), (1, space), spec)
        self.relu = nn.ReLU(inplace=True)
        self.time = ConvNorm(middle, filters, (3, 1, 1), (time, 1), spec)

    def forward(self, x):
        """Convolves `[B, C, T, H, W]` to `[B, filters, T', H', W']`."""
        return self.time(self.relu(self.space(x)))


class Cell(nn.Module):
    """A residual branch plus the shortcut, rectified."""

    def __init__(self, channels: int, width: int, length: int, stride, spec: Spec):
        super().__init__()
        time, space = stride
        filters = spec.expansion * width
        if spec.factorised:
            self.a = self._factorised(channels, width, stride, spec)
            self.b = self._factorised(width, width, (1, 1), spec)
            self.branch = ("a", "b")
        else:
            self.a = ConvNorm(channels, width, (length, 1, 1), (time, 1), spec)
            self.b = ConvNorm(width, width, (1, 3, 3), (1, space), spec)
            self.c = ConvNorm(width, filters, (1, 1, 1), (1, 1), spec)
            self.branch = ("a", "b", "c")
        self.shortcut = None
        if stride != (1, 1) or channels != filters:
            self.shortcut = ConvNorm(channels, filters, (1, 1, 1), stride, spec)
        self.relu = nn.ReLU(inplace=True)

    def _factorised(self, channels, filters, stride, spec):
        # As many weights as in 3 x 3 x 3.
        middle = 27 * channels * filters // (9 * channels + 3 * filters)
        return Factorised(channels, filters, middle, 3, stride, spec)

    def forward(self, x):
        """From `[B, C, T, H, W]` to `[B, filters, T', H', W']`."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        for part in self.branch[:-1]:
            x = self.relu(getattr(self, part)(x))
        return self.relu(getattr(self, self.branch[-1])(x) + shortcut)


class Network(nn.Module):
    """A network of `_SPECS`: stem, stages and classifier, from clips to logits."""

    def __init__(self, spec: Spec):
        super().__init__()
        if spec.factorised:
            self.stem = Factorised(3, 64, 45, 7, (1, 2), spec)
        else:
            self.stem = ConvNorm(3, 64, (spec.stem_length, 7, 7), (1, 2), spec)
        self.relu = nn.ReLU(inplace=True)
        # R(2+1)D has none, and halves time with space instead.
        self.pool = None
        if not spec.factorised:
            self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        channels = 64
        for stage, count in enumerate(_CELLS):
            width = 64 << stage
            for cell in range(count):
                lengths = spec.lengths[stage]
                length = lengths[cell % len(lengths)]
                space = 2 if stage > 0 and cell == 0 else 1
                stride = (space if spec.factorised else 1, space)
                name = f"res{stage + 2}_{cell}"
                self.add_module(name, Cell(channels, width, length, stride, spec))
                channels = spec.expansion * width
            if spec.gating:
                self.add_module(f"res{stage + 2}_gating", Gating(channels))
        self.classifier = nn.Linear(channels, _CLASSES)

    def forward(self, x):
        """From `[B, 3, T, H, W]` to float32 logits `[B, 400]`."""
        x = self.relu(self.stem(x))
        if self.pool is not None:
            x = self.pool(x)
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


def _find(model: Network, key: str) -> torch.Tensor:
    layer, weight = key.split("/")
    name = layer.removesuffix("_bn")
    in_space = name.endswith("_space")
    # A cell's part: `res2_0_a` is `res2_0.a`.
    path = re.sub(r"^(res\d_\d)_", r"\1.", name.removesuffix("_space"))
    part = model.get_submodule(path)
    if isinstance(part, Factorised):
        part = part.space if in_space else part.time
    if isinstance(part, ConvNorm):
        part = part[1 if layer.endswith("_bn") else 0]
    elif isinstance(part, Gating):
        part = part.project
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

    def __init__(self, network: str, dtype: str, path: str):
        self._bfloat16 = dtype == "bfloat16"
        model = Network(_SPECS[network])
        model = model.to(_DEVICE, memory_format=torch.channels_last_3d)
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

    def train(self, steps: int) -> tuple[tuple[float, float], list[float]]:
        """Seconds of some training steps, and their losses."""
        self.model.train()

        def work():
            losses = [self._step() for _ in range(steps)]
            return [loss.item() for loss in losses]

        return timed(work)

    def _step(self) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(self._logits(), self._labels)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def infer(self, steps: int) -> tuple[tuple[float, float], list[float]]:
        """Seconds of some forward passes, and the first clip's logits."""
        self.model.eval()

        def work():
            for _ in range(steps):
                logits = self._logits()
            return logits[0].tolist()

        return timed(work)

    def _logits(self) -> torch.Tensor:
        with torch.autocast(_DEVICE, torch.bfloat16, enabled=self._bfloat16):
            return self._run(self._clip)

    def peak(self) -> int:
        """Bytes of the device, or of the process on a CPU."""
        return torch.cuda.max_memory_allocated() if _DEVICE == "cuda" else peak_bytes()


def main(network: str, dtype: str, path: str) -> None:
    """Serves `benchmarks.model_step` with a network of PyTorch."""
    contender = Contender(network, dtype, path)
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
