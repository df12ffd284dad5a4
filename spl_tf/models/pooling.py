"""Layers of clips `[B, T, H, W, C]` that pool, or weigh by what they have pooled."""

from __future__ import annotations

import functools

import keras
from keras import ops

from spl_tf.models.layers import keeping_inputs, static_shape


class MaxPool(keras.layers.Layer):
    """Max pooling over time and space, as PyTorch's networks of clips have it.

    A kernel of odd length is padded by half of it with zeros, so a ReLU must come
    before; one of even length is not padded.
    """

    def __init__(
        self, size: tuple[int, int, int], strides: tuple[int, int, int], **kwargs
    ):
        """Describes the layer.

        Args:
            size: Lengths of the kernel over (time, rows, columns).
            strides: Strides over (time, rows, columns).
            **kwargs: Further arguments of `keras.layers.Layer`, e.g. `name`.
        """
        super().__init__(**kwargs)
        self.size = tuple(size)
        self.strides = tuple(strides)
        self._pads = tuple(length // 2 if length % 2 else 0 for length in self.size)

    def call(self, x):
        """Pools `[B, T, H, W, C]` to `[B, T', H', W', C]`."""
        return keeping_inputs(self._pool, x)

    def _pool(self, x):
        _, t, h, w, c = static_shape(x)
        _, rows, columns = self._pads
        x = ops.reshape(x, (-1, h, w, c))
        x = ops.pad(x, [(0, 0), (rows, rows), (columns, columns), (0, 0)])
        x = ops.max_pool(
            x, self.size[1:], self.strides[1:], "valid", data_format="channels_last"
        )
        x = ops.reshape(x, (-1, t, *ops.shape(x)[1:]))
        return self._over_time(x, t) if self.size[0] > 1 else x

    def _over_time(self, x, frames):
        pad, stride = self._pads[0], self.strides[0]
        x = ops.pad(x, [(0, 0), (pad, pad), *[(0, 0)] * 3])
        span = (self._pooled(frames, 0) - 1) * stride + 1
        taps = [x[:, i : i + span : stride] for i in range(self.size[0])]
        return functools.reduce(ops.maximum, taps)

    def _pooled(self, size, axis: int):
        """Positions of an axis after pooling."""
        padded = size + 2 * self._pads[axis]
        return (padded - self.size[axis]) // self.strides[axis] + 1

    def compute_output_shape(self, input_shape):
        """`[B, T', H', W', C]`, with None where an input's size is unknown."""
        b, *sizes, c = input_shape
        sizes = (
            None if size is None else self._pooled(size, axis)
            for axis, size in enumerate(sizes)
        )
        return (b, *sizes, c)

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {"size": self.size, "strides": self.strides}


class EndsHalved(keras.layers.Layer):
    """Gives first and last frame half the weight of others in a mean over time.

    The mean is then that of the means of neighbours: S3D averages over windows of two
    frames before it averages over time. A single frame stays as it is.
    """

    def call(self, x):
        """Weighs the frames of `[B, T, H, W, C]`."""
        t = static_shape(x)[1]
        frame = ops.arange(t)
        neighbours = ops.cast(frame > 0, "float32") + ops.cast(frame < t - 1, "float32")
        mean = ops.mean(neighbours)
        # A single frame has no neighbours.
        share = ops.where(mean > 0, neighbours / ops.maximum(mean, 1e-6), 1.0)
        return x * ops.cast(share, x.dtype)[:, None, None, None]


class SqueezeExcite(keras.layers.Layer):
    """EfficientNet's gates, of each frame: `x * sigmoid(V swish(W mean(x) + b) + c)`.

    The mean is over space.
    """

    def __init__(self, reduced: int, **kwargs):
        """Describes the layer.

        Args:
            reduced: Channels after W, before V.
            **kwargs: Further arguments of `keras.layers.Layer`, e.g. `name`.
        """
        super().__init__(**kwargs)
        self.reduced = reduced

    def build(self, input_shape):
        """Creates W, b, V and c."""
        channels = input_shape[-1]
        self.reduce_kernel = self._kernel("reduce_kernel", channels, self.reduced)
        self.reduce_bias = self._bias("reduce_bias", self.reduced)
        self.kernel = self._kernel("kernel", self.reduced, channels)
        self.bias = self._bias("bias", channels)

    def _kernel(self, name, inputs, outputs):
        shape, initializer = (inputs, outputs), keras.initializers.HeNormal()
        return self.add_weight(name=name, shape=shape, initializer=initializer)

    def _bias(self, name, size):
        return self.add_weight(name=name, shape=(size,), initializer="zeros")

    def call(self, x):
        """Gates `[B, T, H, W, C]`."""
        mean = ops.mean(x, axis=(2, 3), keepdims=True)
        reduced = ops.silu(ops.matmul(mean, self.reduce_kernel) + self.reduce_bias)
        return x * ops.sigmoid(ops.matmul(reduced, self.kernel) + self.bias)

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {"reduced": self.reduced}
