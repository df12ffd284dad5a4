"""From a network's shape to a Keras model: input, body, head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import keras

from spl_tf.models.blocks import Blocks
from spl_tf.models.heads import add_head
from spl_tf.models.normalization import NORMALIZATION, PixelNormalization
from spl_tf.models.recomputation import RecomputingModel


class NetworkSpec(Protocol):
    """What the shape of a network gives.

    Attributes:
        total_strides: Input frames, and pixels, per position of the last stage.
        batch_norm_epsilon: What each batch normalisation adds to variances.
    """

    total_strides: tuple[int, int]
    batch_norm_epsilon: float

    def body(self, blocks: Blocks, x):
        """Adds everything from clips to the output of the last stage."""


def build_network(
    spec: NetworkSpec,
    num_classes: int,
    input_shape: tuple[int | None, int | None, int | None, int],
    dropout: float = 0.5,
    projection_dim: int = 0,
    weight_decay: float = 0.0,
    synchronized_batch_norm: bool = False,
    recompute: bool = False,
    normalization: str | Sequence[Sequence[float]] | None = None,
    name: str = "network",
) -> keras.Model:
    """Builds a network with a classifier.

    Args:
        spec: Widths, cells and kernels of the network.
        num_classes: Classes of the head, 1 or more.
        input_shape: (T, H, W, C); None where it may vary.
        dropout: Share of the pooled features dropped in training, in [0, 1].
        projection_dim: Width of a linear layer before the classifier; 0 for none.
        weight_decay: The decay d of `d/2 * sum(w^2)` on the kernels of convolutions
            and of the head; not on batch normalisation, biases or gates.
        synchronized_batch_norm: Statistics over all replicas (on TensorFlow).
        recompute: Whether a training step keeps the outputs of cells alone and computes
            what lies between them a second time: less memory, more time, same results.
        normalization: Mean and deviation by which the layer `stem_normalization`
            normalises pixels in [0, 1], see `pixel_statistics`; None for a model
            without that layer, which takes what is normalised already.
        name: The Keras model's name.

    Returns:
        A model from `[B, T, H, W, C]` to float32 logits `[B, num_classes]`.
        Its layer `features` gives the pooled features, `classifier` the logits.

    Raises:
        ValueError: A setting is impossible, or the input is smaller than the network's
            stride.
    """
    _check(spec, num_classes, input_shape, projection_dim, name)
    regularizer = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
    blocks = Blocks(spec.batch_norm_epsilon, regularizer, synchronized_batch_norm)
    inputs = keras.Input(input_shape, name="clip")
    x = inputs
    if normalization is not None:
        x = PixelNormalization(normalization, name=NORMALIZATION)(x)
    x = spec.body(blocks, x)
    logits = add_head(x, num_classes, dropout, projection_dim, regularizer)
    if recompute:
        return RecomputingModel.between([inputs, *blocks.borders, logits], name)
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


def scale(size: int, factor: float) -> int:
    """`factor` times the size, rounded, 1 at least."""
    return max(1, round(size * factor))


def check_factors(width: float, depth: float) -> None:
    """Refuses factors on channels and cells that are not above 0.

    Raises:
        ValueError: One is not; the message names it.
    """
    for name, factor in (("width", width), ("depth", depth)):
        if not factor > 0:
            raise ValueError(f"{name} is {factor}, expected a factor above 0")
