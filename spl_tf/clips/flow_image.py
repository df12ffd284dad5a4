"""Images of optical flow as they are in records: JPEG or PNG."""

from __future__ import annotations

import cv2
import numpy as np

from spl_tf.clips.jpeg import MAX_PIXELS, BadJpegError, decode_jpeg, jpeg_size

_PNG = b"\x89PNG\r\n\x1a\n"
# Of a PNG: its signature, then length and name of its first chunk, and the two sizes.
_PNG_SIZE = (slice(20, 24), slice(16, 20))


def decode_flow_image(image: bytes, out: np.ndarray | None = None) -> np.ndarray:
    """Decodes an image of flow whose data is whole.

    Args:
        image: The encoded image.
        out: uint8 [H, W, 3] of the image's size, which may be filled.

    Returns:
        `out`, or another array: uint8 [H, W, 3], the channels in the file's order.

    Raises:
        BadJpegError: It is neither JPEG nor PNG, does not decode, or has another size.
    """
    if not image.startswith(_PNG):
        return decode_jpeg(image, out)
    size = flow_image_size(image)
    expected = size if out is None else out.shape[:2]
    if size != expected:
        raise BadJpegError(
            f"is {size[0]} x {size[1]}, expected {expected[0]} x {expected[1]}"
        )
    decoded = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise BadJpegError("does not decode: the PNG is damaged")
    return decoded[..., ::-1]  # OpenCV has blue first


def flow_image_size(image: bytes) -> tuple[int, int]:
    """Rows and columns of an image of flow, from its header.

    Raises:
        BadJpegError: It is neither JPEG nor PNG, or has more than `MAX_PIXELS`.
    """
    if not image.startswith(_PNG):
        return jpeg_size(image)
    height, width = (int.from_bytes(image[part], "big") for part in _PNG_SIZE)
    if height * width > MAX_PIXELS:
        raise BadJpegError(
            f"is {height} x {width}, more than the {MAX_PIXELS:,} pixels that are "
            "decoded"
        )
    return height, width
