"""Still images: reading, scaling, JPEG."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

_ORIENTATION = 0x0112  # EXIF
_MAX_SIDE = 65_500  # of libjpeg


class UnreadableImageError(Exception):
    """The bytes are no image that can be decoded; the message says why."""


def to_jpeg(content: bytes, short_side: int, quality: int) -> tuple[bytes, int, int]:
    """Makes a frame out of an image file.

    A JPEG that has the right size already is taken as it is.

    Args:
        content: Of the file, in any format that Pillow reads.
        short_side: Length of the frame's shorter side; 0 keeps the size.
        quality: 1 to 100.

    Returns:
        The JPEG's bytes, its height and its width.

    Raises:
        UnreadableImageError: It cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            fits = not short_side or min(image.size) == short_side
            upright = image.getexif().get(_ORIENTATION, 1) == 1
            if image.format == "JPEG" and image.mode == "RGB" and fits and upright:
                return content, image.height, image.width
            upright_image = ImageOps.exif_transpose(image).convert("RGB")
    # Whatever a decoder of some format raises, only this image is unreadable.
    except Exception as error:
        raise UnreadableImageError(f"cannot be decoded: {error}") from error
    return encode(upright_image, short_side, quality)


def _check_sides(width: int, height: int) -> None:
    if max(width, height) > _MAX_SIDE:
        raise UnreadableImageError(
            f"a frame of {height} x {width} is more than a JPEG holds, {_MAX_SIDE}"
        )


def encode(image: Image.Image, short_side: int, quality: int) -> tuple[bytes, int, int]:
    """Scales an RGB image and encodes it; arguments and result as in `to_jpeg`."""
    shorter = min(image.size)
    if short_side and shorter != short_side:
        width, height = (
            max(1, round(side * short_side / shorter)) for side in image.size
        )
        _check_sides(width, height)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    _check_sides(*image.size)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue(), image.height, image.width
