"""Which frames of a clip are looked at, and which part of them."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class ClipSampling:
    """A run of frames at a fixed stride; a clip that is too short is wrapped around.

    The paper trains on 16 frames at stride 4 (section 4.2) and, like NL's code, starts
    uniformly in `[0, n - frames * stride]`, or at 0 where the clip is shorter, and
    takes frame indices modulo n.

    Attributes:
        num_frames: Frames to take.
        stride: Distance between them, in frames of the clip.
    """

    num_frames: int
    stride: int

    def __post_init__(self):
        for name in ("num_frames", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more")

    @property
    def span(self) -> int:
        """Frames of the clip from the first to behind the last one taken."""
        return self.num_frames * self.stride

    def random_frames(self, length: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        """Frame indices from a random start.

        Args:
            length: int32 scalar, frames of the clip, 1 or more.
            draw: float32 scalar, uniform in [0, 1).

        Returns:
            int32 [num_frames].
        """
        starts = tf.maximum(length - self.span, 0) + 1
        return self._from(scale_draw(draw, starts), length)

    def central_frames(self, length: tf.Tensor) -> tf.Tensor:
        """Frame indices, int32 [num_frames], from the middle of a clip."""
        return self._from(tf.maximum(length - self.span, 0) // 2, length)

    def _from(self, start: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        return (start + self.stride * tf.range(self.num_frames)) % length


def scale_draw(draw: tf.Tensor, choices: tf.Tensor) -> tf.Tensor:
    """Turns a uniform draw in [0, 1) into an int32 in [0, choices)."""
    scaled = tf.cast(draw * tf.cast(choices, tf.float32), tf.int32)
    return tf.minimum(scaled, choices - 1)  # a product can round up to `choices`


def random_window(
    height: tf.Tensor, width: tf.Tensor, size: int, draws: tf.Tensor
) -> tf.Tensor:
    """A random square crop, as `[top, left, height, width]`, int32 [4].

    Args:
        height: int32 scalar, rows of the frames, at least `size`.
        width: int32 scalar, columns of the frames, at least `size`.
        size: Side of the crop in pixels.
        draws: float32 [2], uniform in [0, 1).
    """
    top = scale_draw(draws[0], height - size + 1)
    left = scale_draw(draws[1], width - size + 1)
    return tf.stack([top, left, size, size])


def central_window(height: tf.Tensor, width: tf.Tensor, size: int) -> tf.Tensor:
    """The central square crop, as `[top, left, height, width]`, int32 [4]."""
    return tf.stack([(height - size) // 2, (width - size) // 2, size, size])
