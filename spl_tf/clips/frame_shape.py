"""The shape of frames: their channels, and crops of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RGB_CHANNELS = 3
# What a network sees of a clip, and how many channels that has: its frames, or the
# optical flow from each frame to the next, horizontal and vertical.
RGB, FLOW = "rgb", "flow"
CHANNELS = {RGB: RGB_CHANNELS, FLOW: 2}

# The side of a square in pixels, or (height, width).
CropSize = int | Sequence[int]


def height_and_width(size: CropSize) -> tuple[int, int]:
    """Rows and columns of a crop.

    Args:
        size: The side of a square in pixels, or (height, width).

    Raises:
        ValueError: The size is neither.
    """
    sides = (size, size) if isinstance(size, int) else size
    is_pair = isinstance(sides, Sequence) and len(sides) == 2
    if not is_pair or not all(isinstance(n, int) and n >= 1 for n in sides):
        raise ValueError(
            f"is {size!r}, expected the side of a square in pixels, 1 or more, or "
            "(height, width)"
        )
    height, width = sides
    return height, width


def crop_text(size: CropSize, between: str = " x ") -> str:
    """The crop in words: the side of a square, else height and width."""
    height, width = height_and_width(size)
    return f"{height}" if height == width else f"{height}{between}{width}"


def modality_of(settings: Mapping[str, Any]) -> str:
    """What a run sees by its `config.data`; one from before there was flow, frames."""
    return settings.get("modality", RGB)
