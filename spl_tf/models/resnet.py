"""Residual networks of clips, with feature gating (paper, Table 7).

One cell serves 2D and 3D networks: a 2D network's kernels have length 1 in time, so it
looks at each frame alone and averages the frames' features. An image is a clip of one
frame.
"""

from __future__ import annotations

import dataclasses

import keras

from spl_tf.models.heads import add_head
from spl_tf.models.layers import BatchNorm, ClipConv, FeatureGating, SpatialMaxPool

GATINGS = ("none", "stage", "branch", "cell")
CELLS = ("bottleneck", "basic", "separable")
_EXPANSION = 4  # a bottleneck's output has that many times the channels of its middle
_POOL_STRIDE = 2


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """The shape of a network.

    Attributes:
        stem_kernel: Kernel over (time, rows, columns) of the first convolution.
        stem_stride: Its spatial stride.
        stem_filters: Its channels.
        stem_pool: Whether a 1x3x3 max pool of stride 1x2x2 follows it.
        widths: Per stage, channels of a cell; a bottleneck gives four times as many.
        cells: Per stage, how many.
        temporal_kernels: Per stage, the lengths in time that its cells take in turn.
        strides: Per stage, (temporal, spatial) stride of its first cell.
        cell: "bottleneck", [t x 1 x 1, 1 x 3 x 3, 1 x 1 x 1]; "basic", two
            convolutions t x 3 x 3; "separable", [1 x 3 x 3, t x 1 x 1] (S3D's).
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
    cell: str = "bottleneck"
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
        for name, factor in (("width", width), ("depth", depth)):
            if not factor > 0:
                raise ValueError(f"{name} is {factor}, expected a factor above 0")
        return dataclasses.replace(
            self,
            stem_filters=max(1, round(self.stem_filters * width)),
            widths=tuple(max(1, round(size * width)) for size in self.widths),
            cells=tuple(max(1, round(count * depth)) for count in self.cells),
        )


def build_resnet(
    spec: ResNetSpec,
    num_classes: int,
    input_shape: tuple[int | None, int | None, int | None, int],
    dropout: float = 0.5,
    projection_dim: int = 0,
    weight_decay: float = 0.0,
    synchronized_batch_norm: bool = False,
    name: str = "resnet",
) -> keras.Model:
    """Builds a network with a classifier.

    Args:
        spec: Its shape.
        num_classes: Classes of the head, 1 or more.
        input_shape: (T, H, W, C); None where it may vary.
        dropout: Rate on the pooled features.
        projection_dim: Width of a linear layer before the classifier; 0 for none.
        weight_decay: The decay d of `d/2 * sum(w^2)` on the kernels of convolutions
            and of the head; not on batch normalisation, biases or gates.
        synchronized_batch_norm: Statistics over all replicas (on TensorFlow).
        name: Of the model.

    Returns:
        A model from `[B, T, H, W, C]` in [-1, 1] to float32 logits `[B, num_classes]`.
        Its layer `features` gives the pooled features, `classifier` the logits.

    Raises:
        ValueError: A setting is impossible, or the input is smaller than the network's
            stride.
    """
    _check(spec, num_classes, input_shape, projection_dim, name)
    regularizer = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
    builder = _Builder(spec, regularizer, synchronized_batch_norm)
    inputs = keras.Input(input_shape, name="clip")
    x = builder.stem(inputs)
    for stage in range(len(spec.widths)):
        x = builder.stage(x, stage)
    logits = add_head(x, num_classes, dropout, projection_dim, regularizer)
    return keras.Model(inputs, logits, name=name)


def _check(spec, num_classes, input_shape, projection_dim, name) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}, expected 1 or more")
    if projection_dim < 0:
        raise ValueError(f"projection_dim is {projection_dim}, expected 0 or more")
    if len(input_shape) != 4 or not input_shape[3] or input_shape[3] < 1:
        raise ValueError(
            f"input_shape is {tuple(input_shape)}, expected (T, H, W, C) with C known; "
            "an image is a clip of one frame"
        )
    frames, height, width, _ = input_shape
    time, space = spec.total_strides
    sizes = ((frames, time), (height, space), (width, space))
    if any(size is not None and size < stride for size, stride in sizes):
        raise ValueError(
            f"an input of {frames} x {height} x {width} is too small for {name}, whose "
            f"total stride is {time} x {space} x {space}"
        )


class _Builder:
    """Adds the parts of a network, with the settings that they share."""

    def __init__(self, spec: ResNetSpec, regularizer, synchronized: bool):
        self._spec = spec
        self._regularizer = regularizer
        self._synchronized = synchronized

    def stem(self, x):
        spec = self._spec
        stride = (1, spec.stem_stride)
        x = self._conv_relu(x, spec.stem_filters, spec.stem_kernel, stride, "stem")
        return SpatialMaxPool(name="stem_pool")(x) if spec.stem_pool else x

    def stage(self, x, stage: int):
        spec = self._spec
        name = f"res{stage + 2}"  # the paper counts the stem as conv1
        lengths = spec.temporal_kernels[stage]
        count = spec.cells[stage]
        for cell in range(count):
            x = self._cell(
                x,
                spec.widths[stage],
                lengths[cell % len(lengths)],
                spec.strides[stage] if cell == 0 else (1, 1),
                f"{name}_{cell}",
                is_last=cell == count - 1,
            )
        return self._gate(x, name) if spec.gating == "stage" else x

    def _cell(self, x, width, length, stride, name, is_last: bool):
        """The residual branch plus the shortcut, rectified."""
        channels = width * (_EXPANSION if self._spec.cell == "bottleneck" else 1)
        shortcut = x
        if stride != (1, 1) or x.shape[-1] != channels:
            shortcut = self._conv(x, channels, (1, 1, 1), stride, f"{name}_shortcut")
        x = self._branch(x, width, length, stride, name)
        if self._spec.gating == "branch" and is_last:
            x = self._gate(x, f"{name}_branch")
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
        return self._gate(x, name) if self._spec.gating == "cell" else x

    def _branch(self, x, width, length, stride, name):
        time, space = stride
        if self._spec.cell == "bottleneck":
            x = self._conv_relu(x, width, (length, 1, 1), (time, 1), f"{name}_a")
            x = self._conv_relu(x, width, (1, 3, 3), (1, space), f"{name}_b")
            last = (_EXPANSION * width, (1, 1, 1), (1, 1), f"{name}_c")
        elif self._spec.cell == "basic":
            x = self._conv_relu(x, width, (length, 3, 3), stride, f"{name}_a")
            last = (width, (length, 3, 3), (1, 1), f"{name}_b")
        else:
            x = self._conv_relu(x, width, (1, 3, 3), (1, space), f"{name}_a")
            last = (width, (length, 1, 1), (time, 1), f"{name}_b")
        gamma = "zeros" if self._spec.zero_init_residual else "ones"
        return self._conv(x, *last, gamma)

    def _conv_relu(self, x, filters, kernel_size, stride, name):
        x = self._conv(x, filters, kernel_size, stride, name)
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def _conv(self, x, filters, kernel_size, stride, name, gamma="ones"):
        """Convolution and batch normalisation."""
        time, space = stride
        x = ClipConv(
            filters,
            kernel_size,
            spatial_stride=space,
            temporal_stride=time,
            kernel_regularizer=self._regularizer,
            name=name,
        )(x)
        return BatchNorm(
            synchronized=self._synchronized,
            gamma_initializer=gamma,
            name=f"{name}_bn",
        )(x)

    def _gate(self, x, name):
        return FeatureGating(self._spec.gating_bias, name=f"{name}_gating")(x)
