"""EfficientNet on the frames of clips, as `keras.applications` has it.

Source: Tan and Le, "EfficientNet" (ICML 2019), Table 1 and section 3.3. The rescaling
and normalisation of pixels that `keras.applications` builds in are left out.
"""

from __future__ import annotations

import dataclasses
import math

import keras

from spl_tf.models.blocks import Blocks
from spl_tf.models.layers import ReplicaDropout
from spl_tf.models.network import check_factors
from spl_tf.models.pooling import SqueezeExcite

# Of B0, per stage: kernel, cells, channels, expansion, stride.
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)
_STEM, _TOP = 32, 1280
_UNIT = 8  # channels are multiples of it
_SQUEEZE = 0.25


@dataclasses.dataclass(frozen=True)
class EfficientNetSpec:
    """The shape of a network.

    Attributes:
        width: Factor on B0's channels.
        depth: Factor on B0's cells per stage, rounded up.
        drop_cells: Rate at which the last cell's branch is dropped in training; it
            grows linearly from 0 at the first.
        batch_norm_epsilon: What each batch normalisation adds to variances.
    """

    width: float
    depth: float
    drop_cells: float = 0.2
    batch_norm_epsilon: float = 1e-3

    total_strides = (1, 32)

    def scaled(self, width: float, depth: float) -> EfficientNetSpec:
        """A network of `width` times the channels, `depth` times the cells per stage.

        Raises:
            ValueError: A factor is not above 0.
        """
        check_factors(width, depth)
        return dataclasses.replace(
            self, width=self.width * width, depth=self.depth * depth
        )

    def body(self, blocks: Blocks, x):
        """Adds stem, stages and top to clips `[B, T, H, W, C]`."""
        x = self._conv(blocks, x, self._channels(_STEM), 3, 2, "stem")
        counts = [math.ceil(cells * self.depth) for _, cells, *_ in _STAGES]
        done = 0
        for stage, (size, _, channels, expansion, stride) in enumerate(_STAGES):
            for cell in range(counts[stage]):
                blocks.borders.append(x)
                x = self._cell(
                    blocks,
                    x,
                    (size, self._channels(channels), expansion),
                    1 if cell else stride,
                    self.drop_cells * done / sum(counts),
                    f"block{stage + 1}_{cell}",
                )
                done += 1
        x = self._conv(blocks, x, self._channels(_TOP), 1, 1, "top")
        blocks.borders.append(x)
        return x

    def _cell(self, blocks, x, shape, stride, drop, name):
        size, channels, expansion = shape
        shortcut, before = x, x.shape[-1]
        if expansion > 1:
            x = self._conv(blocks, x, before * expansion, 1, 1, f"{name}_expand")
        x = self._conv(blocks, x, None, size, stride, f"{name}_depthwise")
        reduced = max(1, int(before * _SQUEEZE))
        x = SqueezeExcite(reduced, name=f"{name}_excite")(x)
        x = blocks.conv(x, channels, (1, 1, 1), (1, 1), f"{name}_project")
        if stride > 1 or channels != before:
            return x
        if drop:
            noise = (None, 1, 1, 1, 1)
            x = ReplicaDropout(drop, noise, name=f"{name}_drop")(x)
        return keras.layers.Add(name=f"{name}_add")([x, shortcut])

    @staticmethod
    def _conv(blocks, x, filters, size, stride, name):
        """A convolution of frames with TensorFlow's padding, normalised, and swish."""
        kernel = (1, size, size)
        x = blocks.conv(x, filters, kernel, (1, stride), name, symmetric=False)
        return keras.layers.Activation("silu", name=f"{name}_silu")(x)

    def _channels(self, channels: int) -> int:
        """B0's channels times the width, to a multiple of 8 not much below."""
        exact = channels * self.width
        rounded = max(_UNIT, int(exact + _UNIT / 2) // _UNIT * _UNIT)
        return rounded + _UNIT if rounded < 0.9 * exact else rounded
