"""Residual networks of clips, with feature gating (paper, Table 7).

One cell serves 2D and 3D networks: a 2D network's kernels have length 1 in time, so it
looks at each frame alone and averages the frames' features. An image is a clip of one
frame.
"""

from __future__ import annotations

import dataclasses

import keras

from spl_tf.models.blocks import Blocks
from spl_tf.models.layers import BATCH_NORM_EPSILON
from spl_tf.models.network import check_factors, scale
from spl_tf.models.pooling import MaxPool

GATINGS = ("none", "stage", "branch", "cell")
CELLS = (
    "bottleneck",
    "basic",
    "separable",
    "factorised",
    "factorised_bottleneck",
    "channel_separated",
)
_BOTTLENECKS = ("bottleneck", "factorised_bottleneck", "channel_separated")
_EXPANSION = 4  # a bottleneck's output has that many times the channels of its middle
_POOL_STRIDE = 2


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """The shape of a network.

    Attributes:
        stem_kernel: Kernel over (time, rows, columns) of the first convolution.
        stem_stride: Spatial stride of that convolution.
        stem_filters: Channels that it gives.
        stem_pool: Whether a 1x3x3 max pool of stride 1x2x2 follows it.
        widths: Per stage, channels of a cell; a bottleneck gives four times as many.
        cells: Per stage, number of cells.
        temporal_kernels: Per stage, the lengths in time that its cells take in turn.
        strides: Per stage, (temporal, spatial) stride of its first cell.
        stem_middle: Channels between a stem's convolution over space and the one over
            time; 0 where it is one convolution.
        cell: "bottleneck", [t x 1 x 1, 1 x 3 x 3, 1 x 1 x 1]; "basic", two
            convolutions t x 3 x 3; "separable", [1 x 3 x 3, t x 1 x 1] (S3D's).
            R(2+1)D's: "factorised", twice [1 x 3 x 3, t x 1 x 1] with as many channels
            in the middle as give t x 3 x 3 its size; "factorised_bottleneck", one of
            these between two 1 x 1 x 1. "channel_separated" (ir-CSN): a depthwise
            t x 3 x 3 between two 1 x 1 x 1.
        shared_middle: Whether both convolutions of a "factorised" cell have the middle
            channels of the first (torchvision; VMZ computes them for each).
        batch_norm_epsilon: What each batch normalisation adds to variances.
        zero_init_residual: Whether a fresh cell hands on its shortcut alone, as the
            last batch normalisation of its branch starts at zero (NL).
        gating: Where gates stand: "none"; "stage", on the output of each stage;
            "branch", on the residual branch of each stage's last cell, before the
            addition (Model Garden); "cell", on the output of each cell.
        gating_bias: Whether gates have a bias.
    """

    stem_kernel: tuple[int, int, int]
    stem_stride: int
    stem_filters: int
    stem_pool: bool
    widths: tuple[int, ...]
    cells: tuple[int, ...]
    temporal_kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, int], ...]
    stem_middle: int = 0
    cell: str = "bottleneck"
    shared_middle: bool = False
    batch_norm_epsilon: float = BATCH_NORM_EPSILON
    zero_init_residual: bool = True
    gating: str = "none"
    gating_bias: bool = True

    def __post_init__(self):
        for name, known in (("gating", GATINGS), ("cell", CELLS)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(
                    f"unknown {name} {value!r}; known are {', '.join(known)}"
                )
        if self.shared_middle and self.cell != "factorised":
            raise ValueError(
                f"shared_middle is for factorised cells, not for {self.cell} ones"
            )

    @property
    def total_strides(self) -> tuple[int, int]:
        """Input frames, and pixels, per position of the last stage."""
        time, space = 1, self.stem_stride * (_POOL_STRIDE if self.stem_pool else 1)
        for stage_time, stage_space in self.strides:
            time, space = time * stage_time, space * stage_space
        return time, space

    def scaled(self, width: float, depth: float) -> ResNetSpec:
        """A network of `width` times the channels, `depth` times the cells per stage.

        Both are rounded, to 1 at least.

        Raises:
            ValueError: A factor is not above 0.
        """
        check_factors(width, depth)
        return dataclasses.replace(
            self,
            stem_filters=scale(self.stem_filters, width),
            stem_middle=self.stem_middle and scale(self.stem_middle, width),
            widths=tuple(scale(size, width) for size in self.widths),
            cells=tuple(scale(count, depth) for count in self.cells),
        )

    def body(self, blocks: Blocks, x):
        """Adds stem and stages to clips `[B, T, H, W, C]`."""
        x = self._stem(blocks, x)
        for stage in range(len(self.widths)):
            x = self._stage(blocks, x, stage)
        return x

    def _stem(self, blocks, x):
        stride = (1, self.stem_stride)
        shape = (self.stem_filters, self.stem_kernel, stride, "stem")
        if self.stem_middle:
            x = blocks.factorised(x, self.stem_middle, *shape)
        else:
            x = blocks.conv(x, *shape)
        x = keras.layers.ReLU(name="stem_relu")(x)
        x = (
            MaxPool((1, 3, 3), (1, _POOL_STRIDE, _POOL_STRIDE), name="stem_pool")(x)
            if self.stem_pool
            else x
        )
        blocks.borders.append(x)
        return x

    def _stage(self, blocks, x, stage: int):
        name = f"res{stage + 2}"  # the paper counts the stem as conv1
        lengths = self.temporal_kernels[stage]
        count = self.cells[stage]
        for cell in range(count):
            x = self._cell(
                blocks,
                x,
                self.widths[stage],
                lengths[cell % len(lengths)],
                self.strides[stage] if cell == 0 else (1, 1),
                f"{name}_{cell}",
                is_last=cell == count - 1,
            )
            blocks.borders.append(x)
        return self._gate(blocks, x, name) if self.gating == "stage" else x

    def _cell(self, blocks, x, width, length, stride, name, is_last: bool):
        """The residual branch plus the shortcut, rectified."""
        channels = width * (_EXPANSION if self.cell in _BOTTLENECKS else 1)
        shortcut = x
        if stride != (1, 1) or x.shape[-1] != channels:
            shortcut = blocks.conv(x, channels, (1, 1, 1), stride, f"{name}_shortcut")
        x = self._branch(blocks, x, width, length, stride, name)
        if self.gating == "branch" and is_last:
            x = self._gate(blocks, x, f"{name}_branch")
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
        return self._gate(blocks, x, name) if self.gating == "cell" else x

    def _branch(self, blocks, x, width, length, stride, name):
        gamma = "zeros" if self.zero_init_residual else "ones"
        middle = None
        *steps, last = self._steps(width, length, stride)
        for part, filters, kernel, stride_of_part in steps:
            shape = (filters, kernel, stride_of_part, f"{name}_{part}")
            if self._is_factorised(kernel):
                middle = self._middle(x, filters, length)
                x = blocks.factorised(x, middle, *shape)
            else:
                x = blocks.conv(x, *shape)
            x = keras.layers.ReLU(name=f"{name}_{part}_relu")(x)
        part, filters, kernel, stride_of_part = last
        shape = (filters, kernel, stride_of_part, f"{name}_{part}", gamma)
        if not self._is_factorised(kernel):
            return blocks.conv(x, *shape)
        if not self.shared_middle:
            middle = self._middle(x, filters, length)
        return blocks.factorised(x, middle, *shape)

    def _steps(self, width, length, stride):
        """Per convolution of a branch: part, filters, kernel, stride."""
        time, space = stride
        whole, point, still = (length, 3, 3), (1, 1, 1), (1, 1)
        last = ("c", _EXPANSION * width, point, still)
        if self.cell == "bottleneck":
            return (
                ("a", width, (length, 1, 1), (time, 1)),
                ("b", width, (1, 3, 3), (1, space)),
                last,
            )
        if self.cell in _BOTTLENECKS:
            filters = None if self.cell == "channel_separated" else width
            return ("a", width, point, still), ("b", filters, whole, stride), last
        if self.cell == "separable":
            return (
                ("a", width, (1, 3, 3), (1, space)),
                ("b", width, (length, 1, 1), (time, 1)),
            )
        return ("a", width, whole, stride), ("b", width, whole, still)

    def _is_factorised(self, kernel) -> bool:
        return self.cell.startswith("factorised") and kernel != (1, 1, 1)

    def _middle(self, x, filters: int, length: int) -> int:
        """Channels between space and time that keep the size of the 3D kernel."""
        channels = x.shape[-1]
        whole = 9 * length * channels * filters
        return max(1, whole // (9 * channels + length * filters))

    def _gate(self, blocks, x, name):
        return blocks.gate(x, name, self.gating_bias)
