"""Clips as moving thumbnails: one picture of all frames, moved by the style sheet.

A row of the picture is a clip and a column a point in time. Against an animated WebP
per clip this saves the headers, and a reader, or a page for print, can stop it.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

_LARGEST_SIDE = 16383  # that WebP can hold


@dataclasses.dataclass(frozen=True)
class Sprite:
    """Frames of some clips in one WebP picture.

    Attributes:
        webp: The picture, `frames` columns and `clips` rows.
        frames: Number of frames per clip.
        clips: Number of clips.
        width: Width of one frame, in pixels.
        height: Height of one frame, in pixels.
    """

    webp: bytes
    frames: int
    clips: int
    width: int
    height: int


def make_sprite(
    clips: Sequence[Sequence[bytes | np.ndarray]],
    frames: int = 8,
    side: int = 56,
    quality: int = 55,
) -> Sprite:
    """Puts clips into one picture, all in the size of the first one's frames.

    Args:
        clips: The frames of each clip, at least one: JPEGs, or uint8 [H, W, 3].
        frames: How many are shown of each, evenly spread; a clip that has fewer
            repeats some.
        side: Largest size of a frame's shorter side; smaller ones stay as they are.
        quality: Quality of the WebP, up to 100.

    Raises:
        ValueError: No clips, too many for a picture, or a frame cannot be decoded.
    """
    if not clips:
        raise ValueError("a sprite needs at least one clip")
    width, height = _thumbnail_size(clips[0][0], side)
    if max(frames * width, len(clips) * height) > _LARGEST_SIDE:
        raise ValueError(
            f"{len(clips)} clips of {frames} frames of {width} x {height} pixels do "
            f"not fit into a picture of {_LARGEST_SIDE} x {_LARGEST_SIDE}"
        )
    sheet = Image.new("RGB", (frames * width, len(clips) * height))
    for row, encoded in enumerate(clips):
        for column, place in enumerate(spread(len(encoded), frames)):
            frame = _fitted(encoded[place], width, height)
            sheet.paste(frame, (column * width, row * height))
    return Sprite(encode_webp(sheet, quality), frames, len(clips), width, height)


def spread(count: int, shown: int) -> np.ndarray:
    """Places of `shown` of `count` frames, int64, evenly spread from the first on."""
    return np.arange(shown) * count // shown


def encode_webp(picture: Image.Image, quality: int) -> bytes:
    """The bytes of a WebP file, of a quality up to 100."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def _thumbnail_size(frame: bytes | np.ndarray, side: int) -> tuple[int, int]:
    with _opened(frame) as image:
        factor = min(1.0, side / min(image.size))
        width, height = (max(1, round(length * factor)) for length in image.size)
    # A panorama must not fill the picture.
    return min(width, 3 * side), min(height, 3 * side)


def _fitted(frame: bytes | np.ndarray, width: int, height: int) -> Image.Image:
    """The frame in this size; what is too wide or too high is cut off evenly."""
    with _opened(frame) as image:
        # Lets the decoder skip detail that would be thrown away.
        image.draft("RGB", (width, height))
        try:
            image = image.convert("RGB")
        except OSError as error:
            raise ValueError(f"a frame cannot be decoded: {error}") from error
    if image.size == (width, height):
        return image
    factor = max(width / image.width, height / image.height)
    crop = width / factor, height / factor
    left, top = (image.width - crop[0]) / 2, (image.height - crop[1]) / 2
    box = (left, top, left + crop[0], top + crop[1])
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def _opened(frame: bytes | np.ndarray) -> Image.Image:
    if isinstance(frame, np.ndarray):
        return Image.fromarray(frame)
    try:
        return Image.open(io.BytesIO(frame))
    except OSError as error:
        raise ValueError(f"a frame cannot be decoded: {error}") from error
