"""Optical flow as images: DMVR's convention, which training and other tools read."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from spl_tf.clips.jpeg import MAX_PIXELS, BadJpegError, decode_jpeg

MAX_FLOW = 20.0  # pixels; what is faster is clipped
FORMATS = ("jpeg", "png")

_ZERO = 128  # of the third channel
_PNG_MAGIC = b"\x89PNG"


def encode_flow(flow: np.ndarray) -> np.ndarray:
    """Flow as the pixels of an image.

    Args:
        flow: float32 [H, W, 2], pixels to the right and down.

    Returns:
        uint8 [H, W, 3]: both, where 0 is -`MAX_FLOW` and 255 `MAX_FLOW`, and nothing.
    """
    pixels = np.full((*flow.shape[:2], 3), _ZERO, np.uint8)
    scaled = (np.clip(flow / MAX_FLOW, -1, 1) + 1) / 2 * 255
    pixels[..., :2] = np.rint(scaled)
    return pixels


def decode_flow(pixels: np.ndarray) -> np.ndarray:
    """The flow that an image's pixels stand for.

    Args:
        pixels: uint8 [..., 2 or more], as `encode_flow` gives them.

    Returns:
        float32 [..., 2], pixels to the right and down. No flow is read as half a step,
        0.08 pixels: DMVR's scale has no zero.
    """
    return (pixels[..., :2].astype(np.float32) / 255 * 2 - 1) * MAX_FLOW


def to_image_file(pixels: np.ndarray, image_format: str, quality: int) -> bytes:
    """Writes a flow image.

    A JPEG has the three channels as they are: from red, green and blue to brightness
    and colour and back costs twice the error of the encoding, at any quality.

    Args:
        pixels: uint8 [H, W, 3].
        image_format: "jpeg" or "png", which loses nothing.
        quality: Of a JPEG, 1 to 100.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if image_format == "png":
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=quality, keep_rgb=True, subsampling=0)
    return buffer.getvalue()


def from_image_file(data: bytes) -> np.ndarray:
    """Reads a flow image, JPEG or PNG: uint8 [H, W, 3].

    Raises:
        BadJpegError: It is neither, damaged, or has more than `MAX_PIXELS`.
    """
    if not data.startswith(_PNG_MAGIC):
        return decode_jpeg(data)
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        if image.width * image.height > MAX_PIXELS:
            raise BadJpegError(f"has more than {MAX_PIXELS:,} pixels")
        return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadJpegError(f"does not decode: {error}") from error
