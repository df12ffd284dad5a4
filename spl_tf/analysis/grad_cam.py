"""Grad-CAM of clips: where a network looks when it scores a class (Figure 6).

Source: Selvaraju et al., "Grad-CAM" (ICCV 2017), with the mean over space extended to
time as in the paper's section 4.3.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from spl_tf.models.heads import FEATURES

# The axes of [B, t, h, w, C] over which gradients are averaged to weights.
_AVERAGED = {"global": (1, 2, 3), "per_frame": (2, 3)}
WEIGHTS = tuple(_AVERAGED)


def grad_cam(
    model: keras.Model,
    clips: ArrayLike,
    class_ids: ArrayLike | None = None,
    layer: str | None = None,
    weights: str = "global",
) -> np.ndarray:
    """Computes `ReLU(sum_c mean(d logit / d A_c) A_c)` for activations A.

    The map is interpolated linearly to the size of the input and then scaled, clip by
    clip, so that its smallest value is 0 and its largest 1. A map without contrast is
    0 everywhere: the logit falls with all activations, or does not depend on them.

    Args:
        model: A network that `build_model` made.
        clips: float `[B, T, H, W, C]`, what the model takes: pixels in [0, 1] where it
            normalises them itself, as that of a run.
        class_ids: int `[B]`, the output that is explained, one per clip; None for each
            clip's highest.
        layer: Name of the layer whose output is A, `[B, t, h, w, C]`; None for the
            output of the last stage, after its gate. All paths from the input to the
            logits must run through it: stages and cells end with such layers.
        weights: "global" averages gradients over time and space; "per_frame" over
            space only, so that each frame has weights of its own (SlowFast, MMAction2).
            Before a plain mean over time and space, as at the default layer, all
            positions have the same gradient and the two agree.

    Returns:
        float32 `[B, T, H, W]` in [0, 1].

    Raises:
        ValueError: An argument is not as above.
        NotImplementedError: The Keras backend is neither TensorFlow nor JAX.
    """
    clips = np.asarray(clips)
    if clips.ndim != 5:
        raise ValueError(f"clips have shape {clips.shape}, expected [B, T, H, W, C]")
    if weights not in _AVERAGED:
        raise ValueError(
            f"weights is {weights!r}, expected one of {', '.join(WEIGHTS)}"
        )
    body, head = _split(model, layer)
    # In float32 also where the network computes in bfloat16.
    activations = ops.cast(body(clips, training=False), "float32")
    logits = ops.convert_to_numpy(head(activations, training=False))
    chosen = _one_hot(class_ids, logits)
    gradient = _gradient(
        lambda a: ops.sum(head(a, training=False) * chosen), activations
    )
    gradient, activations = map(ops.convert_to_numpy, (gradient, activations))
    alpha = gradient.mean(axis=_AVERAGED[weights], keepdims=True)
    cam = np.maximum((alpha * activations).sum(axis=-1), 0)
    for axis, size in enumerate(clips.shape[1:4], start=1):
        cam = _interpolate(cam, axis, size)
    return _scale(cam)


def _split(model: keras.Model, layer: str | None) -> tuple[keras.Model, keras.Model]:
    """The model up to the layer's output, and from there to the logits."""
    if layer is None:
        middle = model.get_layer(FEATURES).input
    else:
        middle = model.get_layer(layer).output
    if len(middle.shape) != 5:
        raise ValueError(
            f"layer {layer!r} of {model.name} gives {middle.shape}, expected "
            "[B, t, h, w, C]; name a layer before the pooling"
        )
    try:
        head = keras.Model(middle, model.output)
    except ValueError as error:
        raise ValueError(
            f"layer {layer!r} of {model.name} lies on one of several branches; name "
            "the last layer of a cell or stage"
        ) from error
    return keras.Model(model.input, middle), head


def _one_hot(class_ids: ArrayLike | None, logits: np.ndarray) -> np.ndarray:
    """float32 [B, num_classes], one at the class to explain."""
    count, num_classes = logits.shape
    ids = logits.argmax(axis=1) if class_ids is None else np.asarray(class_ids)
    if ids.shape != (count,) or ids.dtype.kind not in "iu":
        raise ValueError(
            f"class_ids are {ids.dtype} {ids.shape}, expected one integer for each of "
            f"{count} clips"
        )
    outside = (ids < 0) | (ids >= num_classes)
    if outside.any():
        raise ValueError(
            f"class_ids hold {ids[outside][0]}, expected 0 to {num_classes - 1}"
        )
    return (ids[:, None] == np.arange(num_classes)).astype(np.float32)


def _gradient(function, x):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)
    if backend == "jax":
        import jax

        return jax.grad(function)(x)
    raise NotImplementedError(
        f"Grad-CAM runs on the Keras backends tensorflow and jax, not on {backend}"
    )


def _interpolate(x: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Resizes one axis linearly; positions are the centres of cells, edges repeat."""
    length = x.shape[axis]
    place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    before = place.astype(np.int64)
    after = np.minimum(before + 1, length - 1)
    shape = [1] * x.ndim
    shape[axis] = size
    share = (place - before).astype(np.float32).reshape(shape)
    low = x.take(before, axis)
    # In this form a constant stays exactly constant, and has no contrast to scale up.
    return low + share * (x.take(after, axis) - low)


def _scale(cam: np.ndarray) -> np.ndarray:
    low = cam.min(axis=(1, 2, 3), keepdims=True)
    contrast = cam.max(axis=(1, 2, 3), keepdims=True) - low
    return (cam - low) / np.where(contrast > 0, contrast, 1)
