"""What networks are made of: convolutions with batch normalisation, and gates."""

from __future__ import annotations

import keras

from spl_tf.models.layers import (
    BatchNorm,
    ClipConv,
    DepthwiseClipConv,
    FeatureGating,
)


class Blocks:
    """Adds parts to a network, with the settings that they share.

    Attributes:
        borders: Outputs between which activations can be recomputed, in order; those
            who add parts append to it.
    """

    def __init__(
        self,
        epsilon: float,
        regularizer: keras.Regularizer | None = None,
        synchronized: bool = False,
    ):
        """Takes the settings.

        Args:
            epsilon: What batch normalisation adds to variances.
            regularizer: Penalty on the kernels of convolutions; None for none.
            synchronized: Whether batch normalisation is, over replicas.
        """
        self._norm = {"epsilon": epsilon, "synchronized": synchronized}
        self._regularizer = regularizer
        self.borders: list = []

    def conv(
        self,
        x,
        filters: int | None,
        kernel_size: tuple[int, int, int],
        stride: tuple[int, int],
        name: str,
        gamma: str = "ones",
        **options,
    ):
        """Convolution `name` and batch normalisation `<name>_bn`.

        Args:
            x: Clips `[B, T, H, W, C]`.
            filters: Output channels; None for one filter per channel of its own
                (depthwise).
            kernel_size: Lengths over (time, rows, columns).
            stride: Steps in (time, space); rows and columns share theirs.
            name: Name of the convolution's layer.
            gamma: Initial scale of the normalisation, "ones" or "zeros".
            **options: Further arguments of `ClipConv` or `DepthwiseClipConv`.
        """
        time, space = stride
        options = {
            "spatial_stride": space,
            "temporal_stride": time,
            "kernel_regularizer": self._regularizer,
            "name": name,
            **options,
        }
        if filters is None:
            x = DepthwiseClipConv(kernel_size, **options)(x)
        else:
            x = ClipConv(filters, kernel_size, **options)(x)
        return BatchNorm(gamma_initializer=gamma, name=f"{name}_bn", **self._norm)(x)

    def conv_relu(self, x, filters, kernel_size, stride, name):
        """`conv`, then the ReLU `<name>_relu`."""
        x = self.conv(x, filters, kernel_size, stride, name)
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def factorised(
        self, x, middle, filters, kernel_size, stride, name, gamma: str = "ones"
    ):
        """A convolution over space, `<name>_space`, then one over time, `name`.

        Both have batch normalisation; between them is a ReLU. As `conv`, but for
        `middle`, the channels between them.
        """
        length, *space = kernel_size
        time_stride, space_stride = stride
        spatial = (1, *space), (1, space_stride), f"{name}_space"
        x = self.conv_relu(x, middle, *spatial)
        return self.conv(x, filters, (length, 1, 1), (time_stride, 1), name, gamma)

    def gate(self, x, name: str, use_bias: bool):
        """Adds feature gating, `<name>_gating`, to `[B, T, H, W, C]`."""
        return FeatureGating(use_bias, name=f"{name}_gating")(x)
