"""The size of a frame, of videos and of images."""

from __future__ import annotations

from collections.abc import Sequence

# Length of the shorter side in pixels, 0 to keep the size; or (height, width), which
# every frame gets whatever its aspect.
Scale = int | Sequence[int]

# libjpeg's limit.
_MAX_SIDE = 65_500


class UnencodableFrameError(ValueError):
    """The frame cannot become a JPEG of the size that was asked for."""


def scaled_size(width: int, height: int, scale: Scale) -> tuple[int, int]:
    """Returns the width and height of frames that are scaled.

    Args:
        width: Width of the frames, in pixels.
        height: Height of the frames, in pixels.
        scale: What they are scaled to.

    Raises:
        UnencodableFrameError: A side would be longer than JPEG allows.
    """
    if isinstance(scale, int):
        shorter = min(width, height)
        short_side = scale or shorter
        # Not by a factor, which would be rounded before the sides are.
        scaled = tuple(
            max(1, round(side * short_side / shorter)) for side in (width, height)
        )
    else:
        scaled = scale[1], scale[0]
    if max(scaled) > _MAX_SIDE:
        raise UnencodableFrameError(
            f"frames of {width}x{height} pixels would become {scaled[0]}x{scaled[1]}, "
            f"and JPEG allows sides of {_MAX_SIDE} at most; leave the file out, or "
            "choose a smaller short side"
        )
    return scaled
