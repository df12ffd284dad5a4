"""The size of a frame, of videos and of images."""

from __future__ import annotations

# libjpeg's limit.
_MAX_SIDE = 65_500


class UnencodableFrameError(ValueError):
    """The frame cannot become a JPEG of the size that was asked for."""


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Returns width and height such that the shorter one is `short_side`.

    Args:
        width: Width of the frames, in pixels.
        height: Height of the frames, in pixels.
        short_side: Wanted length of the shorter side, in pixels; 0 keeps the size.

    Raises:
        UnencodableFrameError: A side would be longer than JPEG allows.
    """
    shorter = min(width, height)
    short_side = short_side or shorter
    # Not by a factor, which would be rounded before the sides are.
    scaled = tuple(
        max(1, round(side * short_side / shorter)) for side in (width, height)
    )
    if max(scaled) > _MAX_SIDE:
        raise UnencodableFrameError(
            f"frames of {width}x{height} pixels would become {scaled[0]}x{scaled[1]}, "
            f"and JPEG allows sides of {_MAX_SIDE} at most; leave the file out, or "
            "choose a smaller short side"
        )
    return scaled
