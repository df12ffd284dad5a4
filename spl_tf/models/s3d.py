"""S3D and S3D-G: Inception V1 with separable convolutions of clips.

Source: Xie et al., "Rethinking Spatiotemporal Feature Learning" (ECCV 2018).
"""

from __future__ import annotations

import dataclasses

import keras

from spl_tf.models.blocks import Blocks
from spl_tf.models.network import check_factors, scale
from spl_tf.models.pooling import EndsHalved, MaxPool

# Per stage and cell: channels of the 1x1x1 branch; before and after the two separable
# convolutions; after the pooling (Inception V1's).
_CELLS = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
# Before each stage: kernel, and stride, over (time, rows, columns).
_POOLS = (((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)))
_STILL = (1, 1)
S3D_GATINGS = ("none", "temporal")


@dataclasses.dataclass(frozen=True)
class S3DSpec:
    """The shape of a network.

    Attributes:
        gating: Where gates stand: "none"; "temporal", after every convolution over time
            (S3D-G).
        gating_bias: Whether gates have a bias.
        stem_widths: Channels of the stem's three convolutions.
        cells: Per stage and cell, channels of its branches.
        batch_norm_epsilon: What each batch normalisation adds to variances.
    """

    gating: str = "none"
    gating_bias: bool = True
    stem_widths: tuple[int, ...] = (64, 64, 192)
    cells: tuple[tuple[tuple[int, ...], ...], ...] = _CELLS
    batch_norm_epsilon: float = 1e-3

    total_strides = (8, 32)

    def __post_init__(self):
        if self.gating not in S3D_GATINGS:
            raise ValueError(
                f"unknown gating {self.gating!r}; known are {', '.join(S3D_GATINGS)}"
            )

    def scaled(self, width: float, depth: float) -> S3DSpec:
        """A network of `width` times the channels, `depth` times the cells per stage.

        Both are rounded, to 1 at least; a deeper stage repeats its last cell.

        Raises:
            ValueError: A factor is not above 0.
        """
        check_factors(width, depth)
        cells = (
            (stage[min(i, len(stage) - 1)] for i in range(scale(len(stage), depth)))
            for stage in self.cells
        )
        return dataclasses.replace(
            self,
            stem_widths=tuple(scale(size, width) for size in self.stem_widths),
            cells=tuple(
                tuple(tuple(scale(size, width) for size in cell) for cell in stage)
                for stage in cells
            ),
        )

    def body(self, blocks: Blocks, x):
        """Adds stem and stages to clips `[B, T, H, W, C]`."""
        first, second, third = self.stem_widths
        x = self._separable(blocks, x, first, 7, (2, 2), "stem")
        x = MaxPool((1, 3, 3), (1, 2, 2), name="stem_pool")(x)
        x = blocks.conv_relu(x, second, (1, 1, 1), _STILL, "stem_2b")
        x = self._separable(blocks, x, third, 3, _STILL, "stem_2c")
        for stage, cells in enumerate(self.cells):
            name = f"mixed{stage + 3}"  # as Inception V1 counts
            x = MaxPool(*_POOLS[stage], name=f"{name}_pool")(x)
            for cell, widths in enumerate(cells):
                blocks.borders.append(x)
                x = self._cell(blocks, x, widths, f"{name}_{cell}")
        x = EndsHalved(name=f"{name}_ends")(x)
        blocks.borders.append(x)
        return x

    def _cell(self, blocks, x, widths, name):
        point, reduce_1, branch_1, reduce_2, branch_2, pooled = widths
        one = ((1, 1, 1), _STILL)
        branches = [blocks.conv_relu(x, point, *one, f"{name}_branch0")]
        for i, (reduced, filters) in enumerate(
            ((reduce_1, branch_1), (reduce_2, branch_2)), start=1
        ):
            y = blocks.conv_relu(x, reduced, *one, f"{name}_branch{i}_reduce")
            branches.append(
                self._separable(blocks, y, filters, 3, _STILL, f"{name}_branch{i}")
            )
        y = MaxPool((3, 3, 3), (1, 1, 1), name=f"{name}_pool")(x)
        branches.append(blocks.conv_relu(y, pooled, *one, f"{name}_branch3"))
        return keras.layers.Concatenate(name=f"{name}_concat")(branches)

    def _separable(self, blocks, x, filters, size, stride, name):
        """Convolutions over space and over time, each rectified; and the gate."""
        x = blocks.factorised(x, filters, filters, (size, size, size), stride, name)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
        if self.gating == "none":
            return x
        return blocks.gate(x, name, self.gating_bias)
