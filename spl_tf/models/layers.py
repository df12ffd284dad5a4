"""Convolution, batch normalisation and feature gating of clips `[B, T, H, W, C]`.

The only module that may know the backend: on TensorFlow, batch normalisation takes the
fused kernel, convolutions over time have a gradient of their own, and dropout knows its
replica.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

BATCH_NORM_MOMENTUM = 0.9  # as NL's configs; the share of the old moving statistics
BATCH_NORM_EPSILON = 1e-5

# A kernel over time and space runs as a 2D convolution over shifted frames put side by
# side as channels, while that many channels are cheap to copy (the stem's are RGB).
_MAX_SHIFTED_CHANNELS = 32


class ClipConv(keras.layers.Layer):
    """Convolution over time and space without bias, zero-padded.

    With stride s it gives ceil(size / s) positions per axis. Padding is symmetric, as
    in PyTorch, or in space TensorFlow's SAME, which at stride 2 is not: weights are
    exchangeable with libraries that pad alike. The
    kernel is `[t, h, w, C, filters]`; where an axis allows it, the work is done by
    faster 2D convolutions over merged axes.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: tuple[int, int, int],
        spatial_stride: int = 1,
        temporal_stride: int = 1,
        kernel_regularizer=None,
        symmetric: bool = True,
        **kwargs,
    ):
        """Describes the layer.

        Args:
            filters: Output channels.
            kernel_size: Odd lengths over (time, rows, columns).
            spatial_stride: Stride over rows and over columns.
            temporal_stride: Stride over time, in frames.
            kernel_regularizer: Penalty on the kernel; None for none.
            symmetric: Whether padding is; False needs a kernel of length 1 in time.
            **kwargs: Further arguments of `keras.layers.Layer`, e.g. `name`.
        """
        super().__init__(**kwargs)
        if any(length % 2 == 0 for length in kernel_size):
            raise ValueError(f"kernel size {kernel_size} has an even length")
        if kernel_size[0] > 1 and not symmetric:
            raise ValueError(f"kernel size {kernel_size} needs symmetric padding")
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.spatial_stride = spatial_stride
        self.temporal_stride = temporal_stride
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.symmetric = symmetric

    def build(self, input_shape):
        """Creates the kernel, with He initialisation."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, input_shape[-1], self.filters),
            initializer=keras.initializers.HeNormal(),
            regularizer=self.kernel_regularizer,
        )

    def call(self, x):
        """Convolves `[B, T, H, W, C]` to `[B, T', H', W', filters]`."""
        return keeping_inputs(self._apply, x, self.kernel)

    def _apply(self, x, kernel):
        length, rows, columns = self.kernel_size
        if length == 1:
            if self.temporal_stride > 1:
                x = x[:, :: self.temporal_stride]
            return self._per_frame(x, ops.squeeze(kernel, 0))
        if self.temporal_stride == 1:
            if rows == columns == 1 and self.spatial_stride == 1:
                return self._per_position(x, kernel)
            if length * x.shape[-1] <= _MAX_SHIFTED_CHANNELS:
                return self._shifted(x, kernel)
        x = ops.pad(x, [(0, 0), *((k // 2, k // 2) for k in self.kernel_size), (0, 0)])
        stride = (self.temporal_stride, self.spatial_stride, self.spatial_stride)
        return ops.conv(x, kernel, stride, "valid", data_format="channels_last")

    def _per_frame(self, x, kernel):
        """A 2D convolution of every frame; kernel `[h, w, C, filters]`."""
        _, t, h, w, c = static_shape(x)
        x = ops.reshape(x, (-1, h, w, c))
        padding = "same"
        if self.spatial_stride > 1 and self.symmetric:
            pad = [(0, 0), *((k // 2, k // 2) for k in self.kernel_size[1:]), (0, 0)]
            x = ops.pad(x, pad)
            padding = "valid"
        x = self._convolve(x, kernel, padding)
        return ops.reshape(x, (-1, t, *ops.shape(x)[1:]))

    def _convolve(self, x, kernel, padding):
        stride = self.spatial_stride
        return ops.conv(x, kernel, stride, padding, data_format="channels_last")

    def _per_position(self, x, kernel):
        """A convolution over time only, on `[B, T, H * W, C]`."""
        _, t, h, w, c = static_shape(x)
        kernel = ops.squeeze(kernel, 1)  # [t, 1, C, filters]
        x = ops.reshape(x, (-1, t, h * w, c))
        if keras.backend.backend() == "tensorflow" and c > self.filters:
            x = _convolve_time(x, kernel)
        else:
            x = ops.conv(x, kernel, 1, "same", data_format="channels_last")
        return ops.reshape(x, (-1, t, h, w, self.filters))

    def _shifted(self, x, kernel):
        length, rows, columns = self.kernel_size
        t = static_shape(x)[1]
        half = length // 2
        padded = ops.pad(x, [(0, 0), (half, half), (0, 0), (0, 0), (0, 0)])
        x = ops.concatenate([padded[:, i : i + t] for i in range(length)], axis=-1)
        kernel = ops.transpose(kernel, (1, 2, 0, 3, 4))
        return self._per_frame(
            x, ops.reshape(kernel, (rows, columns, -1, self.filters))
        )

    def compute_output_shape(self, input_shape):
        """`[B, ceil(T / s_t), ceil(H / s), ceil(W / s), filters]`."""
        b, *sizes, _ = input_shape
        strides = (self.temporal_stride, self.spatial_stride, self.spatial_stride)
        sizes = (
            None if size is None else -(-size // stride)
            for size, stride in zip(sizes, strides, strict=True)
        )
        return (b, *sizes, self.filters)

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "spatial_stride": self.spatial_stride,
            "temporal_stride": self.temporal_stride,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "symmetric": self.symmetric,
        }


class DepthwiseClipConv(ClipConv):
    """A filter of its own for each channel, otherwise as `ClipConv`.

    The kernel is `[t, h, w, C, 1]`. It runs as one 2D depthwise convolution per step of
    its length in time: 3D ones are slow or absent on TensorFlow.
    """

    def __init__(self, kernel_size: tuple[int, int, int], *args, **kwargs):
        """Describes the layer; see `ClipConv`, without `filters`."""
        super().__init__(1, kernel_size, *args, **kwargs)

    def build(self, input_shape):
        """Creates the kernel, with He initialisation by what one filter sees."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, input_shape[-1], 1),
            initializer=keras.initializers.RandomNormal(
                stddev=float(np.sqrt(2 / np.prod(self.kernel_size)))
            ),
            regularizer=self.kernel_regularizer,
        )

    def call(self, x):
        """Convolves `[B, T, H, W, C]` to `[B, T', H', W', C]`."""
        return super().call(x)

    def _apply(self, x, kernel):
        length, half = self.kernel_size[0], self.kernel_size[0] // 2
        frames = static_shape(x)[1]
        padded = ops.pad(x, [(0, 0), (half, half), *[(0, 0)] * 3]) if half else x
        return sum(
            self._per_frame(
                padded[:, tap : tap + frames : self.temporal_stride], kernel[tap]
            )
            for tap in range(length)
        )

    def _convolve(self, x, kernel, padding):
        stride = self.spatial_stride
        return ops.depthwise_conv(
            x, kernel, stride, padding, data_format="channels_last"
        )

    def compute_output_shape(self, input_shape):
        """`[B, ceil(T / s_t), ceil(H / s), ceil(W / s), C]`."""
        return (*super().compute_output_shape(input_shape)[:-1], input_shape[-1])

    def get_config(self):
        """The constructor's arguments."""
        config = super().get_config()
        del config["filters"]
        return config


def keeping_inputs(function, x, *weights):
    """`function(x, *weights)`; in training, TensorFlow keeps its inputs alone.

    Copies that it makes of x, padded or shifted, are made again for the gradients. The
    gradient of x waits for those of weights: computed late, as nothing but the
    optimizer needs them, they would keep the upstream gradients of many layers.

    Args:
        function: Computes the result from its arguments alone.
        x: Clips `[B, T, H, W, C]`.
        *weights: Tensors or variables that `function` takes after x.
    """
    if keras.backend.backend() != "tensorflow":
        return function(x, *weights)
    import tensorflow as tf

    @tf.custom_gradient
    def call(*inputs):
        def gradients(upstream):
            # Else the copies would be taken for the first ones, and these be kept.
            with tf.control_dependencies([upstream]), tf.GradientTape() as tape:
                tape.watch(inputs)
                y = function(*inputs)
            of_x, *of_weights = tape.gradient(y, inputs, upstream)
            with tf.control_dependencies(of_weights):
                return tf.identity(of_x), *of_weights

        return function(*inputs), gradients

    return call(*(tf.convert_to_tensor(value) for value in (x, *weights)))


def _convolve_time(x, kernel):
    """A convolution over time only, for fewer filters than channels, on TensorFlow.

    Its gradients are matrix products with the upstream gradient, shifted once per tap
    of the kernel: oneDNN's gradient of a t x 1 kernel takes several times as long.

    Args:
        x: Frames of P positions each, `[B, T, P, C]`.
        kernel: `[t, 1, C, filters]`.

    Returns:
        `[B, T, P, filters]`.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradients(upstream):
            length, _, channels, filters = kernel.shape
            half, frames = length // 2, static_shape(upstream)[1]
            padded = tf.pad(upstream, [[0, 0], [half, half], [0, 0], [0, 0]])
            # Tap i brings frame s to the result at s - i + half.
            shifted = [padded[:, i : i + frames] for i in reversed(range(length))]
            shifted = tf.reshape(tf.concat(shifted, -1), [-1, length * filters])
            taps = tf.reshape(
                tf.transpose(tf.squeeze(kernel, 1), [1, 0, 2]), [channels, -1]
            )
            of_x = tf.matmul(shifted, taps, transpose_b=True)
            of_taps = tf.matmul(
                tf.reshape(x, [-1, channels]), shifted, transpose_a=True
            )
            of_taps = tf.reshape(of_taps, [channels, length, 1, filters])
            return tf.reshape(of_x, tf.shape(x)), tf.transpose(of_taps, [1, 2, 0, 3])

        return tf.nn.conv2d(x, kernel, 1, "SAME"), gradients

    return convolve(x, kernel)


def static_shape(x) -> tuple:
    """The shape, with sizes that are known only when running as scalars."""
    dynamic = ops.shape(x)
    return tuple(
        dynamic[axis] if size is None else size for axis, size in enumerate(x.shape)
    )


class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation with NL's settings, fused on TensorFlow.

    Momentum 0.9, epsilon 1e-5, no weight decay. Synchronised over replicas it takes
    Keras' own path.
    """

    def __init__(self, synchronized: bool = False, **kwargs):
        """Describes the layer; see `keras.layers.BatchNormalization`."""
        kwargs.setdefault("momentum", BATCH_NORM_MOMENTUM)
        kwargs.setdefault("epsilon", BATCH_NORM_EPSILON)
        super().__init__(synchronized=synchronized, **kwargs)

    def call(self, inputs, training=None, mask=None):
        """Normalises each channel over batch, time and space."""
        if keras.backend.backend() != "tensorflow" or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        return self._fused(inputs, bool(training) and self.trainable)

    def _fused(self, x, training: bool):
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        shape = tf.shape(x)
        image = tf.reshape(x, [shape[0], shape[1] * shape[2], shape[3], x.shape[-1]])
        moving = (
            () if training else (self.moving_mean.value, self.moving_variance.value)
        )
        normalized, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            image,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            *(tf.convert_to_tensor(value) for value in moving),
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            # The kernel's variance is the unbiased one; Keras keeps the biased one.
            count = tf.cast(tf.size(image) // x.shape[-1], variance.dtype)
            variance *= (count - 1.0) / count
            old = self.momentum
            self.moving_mean.assign(self.moving_mean * old + mean * (1.0 - old))
            self.moving_variance.assign(
                self.moving_variance * old + variance * (1.0 - old)
            )
        return tf.reshape(normalized, shape)


class FeatureGating(keras.layers.Layer):
    """S3D-G's self-gating: `y = x * sigmoid(W mean(x) + b)`, one gate per channel.

    The mean is over time and space; W starts as a truncated normal of deviation 0.01,
    so fresh gates are close to one half.
    """

    def __init__(self, use_bias: bool = True, **kwargs):
        """Describes the layer.

        Args:
            use_bias: Whether b is there (Model Garden) or not (TF-Slim's S3D-G).
            **kwargs: Further arguments of `keras.layers.Layer`, e.g. `name`.
        """
        super().__init__(**kwargs)
        self.use_bias = use_bias

    def build(self, input_shape):
        """Creates W, `[C, C]`, and, if it is used, b, `[C]`."""
        channels = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(channels, channels),
            initializer=keras.initializers.TruncatedNormal(stddev=0.01),
        )
        self.bias = (
            self.add_weight(name="bias", shape=(channels,), initializer="zeros")
            if self.use_bias
            else None
        )

    def call(self, x):
        """Gates `[B, T, H, W, C]`."""
        gate = ops.matmul(ops.mean(x, axis=(1, 2, 3)), self.kernel)
        if self.bias is not None:
            gate = gate + self.bias
        return x * ops.sigmoid(gate)[:, None, None, None, :]

    def get_config(self):
        """The constructor's arguments."""
        return super().get_config() | {"use_bias": self.use_bias}


class ReplicaDropout(keras.layers.Dropout):
    """Dropout whose masks differ between replicas, which all have the same seed."""

    def call(self, inputs, training=False):
        """Drops entries of `inputs` in training."""
        if keras.backend.backend() != "tensorflow" or not training or not self.rate:
            return super().call(inputs, training=training)
        import tensorflow as tf

        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.cast(self.seed_generator.next(), tf.int32) + tf.stack([replica, 0])
        noise_shape = self.noise_shape and [
            size or tf.shape(inputs)[axis] for axis, size in enumerate(self.noise_shape)
        ]
        return tf.nn.experimental.stateless_dropout(
            inputs, self.rate, seed, noise_shape=noise_shape
        )
