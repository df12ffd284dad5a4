"""3D residual networks of bottleneck cells with feature gating (paper, Table 7).

There is no temporal down-sampling: T stays the same through the network.
"""

from __future__ import annotations

import dataclasses

import keras

from spl_tf.models.layers import BatchNorm, ClipConv, FeatureGating, SpatialMaxPool

_EXPANSION = 4  # a cell's output has that many times the channels of its middle
# What a network's input is divided by in total, per pooling or strided convolution.
_STRIDE = 2


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """The shape of a network.

    Attributes:
        stem_kernel: Kernel over (time, rows, columns) of the first convolution.
        stem_stride: Its spatial stride.
        stem_filters: Its channels.
        stem_pool: Whether a 1x3x3 max pool of stride 1x2x2 follows it.
        widths: Per stage, channels in the middle of a cell; a cell gives four times as
            many.
        temporal_kernels: Per stage and cell, length of the first convolution in time.
        strides: Per stage, spatial stride of its first cell.
        gating: Whether a gate stands on the output of each stage.
        gating_bias: Whether gates have a bias.
    """

    stem_kernel: tuple[int, int, int]
    stem_stride: int
    stem_filters: int
    stem_pool: bool
    widths: tuple[int, ...]
    temporal_kernels: tuple[tuple[int, ...], ...]
    strides: tuple[int, ...]
    gating: bool = True
    gating_bias: bool = True

    @property
    def total_stride(self) -> int:
        """Input pixels per position of the last stage."""
        stride = self.stem_stride * (_STRIDE if self.stem_pool else 1)
        for stage in self.strides:
            stride *= stage
        return stride


def build_resnet(
    spec: ResNetSpec,
    num_classes: int,
    input_shape: tuple[int | None, int | None, int | None, int],
    dropout: float = 0.5,
    weight_decay: float = 0.0,
    synchronized_batch_norm: bool = False,
    name: str = "resnet",
) -> keras.Model:
    """Builds a network with a classifier.

    Args:
        spec: Its shape.
        num_classes: Classes of the head, 1 or more.
        input_shape: (T, H, W, C); None where it may vary.
        dropout: Rate before the classifier.
        weight_decay: The decay d of `d/2 * sum(w^2)` on convolution kernels and the
            classifier's; not on batch normalisation, biases or gates.
        synchronized_batch_norm: Statistics over all replicas.
        name: Of the model.

    Returns:
        A model from float32 `[B, T, H, W, C]` in [-1, 1] to float32 logits
        `[B, num_classes]`. Its layer `features` gives the pooled features, its layer
        `classifier` the logits.

    Raises:
        ValueError: No class, or an input smaller than the network's stride.
    """
    _check(spec, num_classes, input_shape, name)
    builder = _Builder(spec, weight_decay, synchronized_batch_norm)
    inputs = keras.Input(input_shape, name="clip")
    x = builder.stem(inputs)
    for stage in range(len(spec.widths)):
        x = builder.stage(x, stage)
    x = keras.layers.GlobalAveragePooling3D(name="features")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        kernel_regularizer=builder.regularizer(),
        dtype="float32",
        name="classifier",
    )(x)
    return keras.Model(inputs, logits, name=name)


def _check(spec, num_classes, input_shape, name) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}, expected 1 or more")
    _, height, width, _ = input_shape
    for side in (height, width):
        if side is not None and side < spec.total_stride:
            raise ValueError(
                f"an input of {height} x {width} is too small for {name}, whose total "
                f"stride is {spec.total_stride}"
            )


class _Builder:
    """Adds the parts of a network, with the settings that they share."""

    def __init__(self, spec: ResNetSpec, weight_decay: float, synchronized: bool):
        self._spec = spec
        self._weight_decay = weight_decay
        self._synchronized = synchronized

    def regularizer(self):
        if not self._weight_decay:
            return None
        return keras.regularizers.L2(self._weight_decay / 2)

    def stem(self, x):
        spec = self._spec
        x = self._conv(x, spec.stem_filters, spec.stem_kernel, spec.stem_stride, "stem")
        x = keras.layers.ReLU(name="stem_relu")(self._norm(x, "stem_bn"))
        return SpatialMaxPool(name="stem_pool")(x) if spec.stem_pool else x

    def stage(self, x, stage: int):
        spec = self._spec
        name = f"res{stage + 2}"  # the paper counts the stem as conv1
        for cell, length in enumerate(spec.temporal_kernels[stage]):
            stride = spec.strides[stage] if cell == 0 else 1
            x = self._cell(x, spec.widths[stage], length, stride, f"{name}_{cell}")
        if spec.gating:
            x = FeatureGating(spec.gating_bias, name=f"{name}_gating")(x)
        return x

    def _cell(self, x, width: int, length: int, stride: int, name: str):
        """Bottleneck: [t x 1 x 1, 1 x 3 x 3, 1 x 1 x 1] plus the shortcut."""
        channels = _EXPANSION * width
        shortcut = x
        if stride > 1 or x.shape[-1] != channels:
            shortcut = self._conv(x, channels, (1, 1, 1), stride, f"{name}_shortcut")
            shortcut = self._norm(shortcut, f"{name}_shortcut_bn")
        x = self._conv(x, width, (length, 1, 1), 1, f"{name}_a")
        x = keras.layers.ReLU(name=f"{name}_a_relu")(self._norm(x, f"{name}_a_bn"))
        x = self._conv(x, width, (1, 3, 3), stride, f"{name}_b")
        x = keras.layers.ReLU(name=f"{name}_b_relu")(self._norm(x, f"{name}_b_bn"))
        x = self._conv(x, channels, (1, 1, 1), 1, f"{name}_c")
        # The branch starts at zero, so that a fresh cell hands on its input (NL).
        x = self._norm(x, f"{name}_c_bn", gamma_initializer="zeros")
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def _conv(self, x, filters, kernel_size, stride, name):
        return ClipConv(
            filters,
            kernel_size,
            stride,
            kernel_regularizer=self.regularizer(),
            name=name,
        )(x)

    def _norm(self, x, name, **kwargs):
        return BatchNorm(synchronized=self._synchronized, name=name, **kwargs)(x)
