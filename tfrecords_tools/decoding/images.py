"""Still images: reading, scaling, JPEG."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from PIL import Image

from spl_tf.clips.jpeg import MAX_PIXELS, BadJpegError, decode_jpeg, jpeg_size
from tfrecords_tools.decoding.scaling import (
    Scale,
    UnencodableFrameError,
    scaled_size,
)

_MAX_16_BIT = 2**16 - 1

# What shows an image upright that EXIF says is stored in another orientation.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Formats whose pixels in Pillow's modes "I;16" and "I" are known to end at 65,535.
_DEEP_FORMATS = {"I": ("PNG", "PPM"), "I;16": ("PNG", "PPM", "TIFF", "JPEG2000")}
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags
_WHITE_IS_ZERO = 0


class UnreadableImageError(Exception):
    """The bytes are no image that can be decoded; the message says why."""


def to_jpeg(
    content: bytes, scale: Scale, quality: int, name: str = ""
) -> tuple[bytes, int, int]:
    """Makes a frame out of an image file.

    A JPEG that has the right size already is taken as it is, if it decodes in training.
    What is damaged, but not to Pillow or TensorFlow, is encoded anew from what they
    read.

    Args:
        content: The file's bytes, in any format that Pillow reads; of an animation, the
            first image is taken. Transparency is ignored.
        scale: What the frame is scaled to.
        quality: Quality of a frame that is encoded, 1 to 100.
        name: What messages call the file.

    Returns:
        The JPEG's bytes, its height and its width.

    Raises:
        UnreadableImageError: The file cannot be decoded, or is too large.
    """
    try:
        with _images_of_any_size(), Image.open(_File(content, name)) as image:
            _check_pixels(image.height, image.width)
            if _is_frame(image, content, scale):
                return content, image.height, image.width
            image.load()
            upright = _UPRIGHT.get(_orientation(image))
            image = _to_rgb(image)
            if upright is not None:
                image = image.transpose(upright)
    except UnreadableImageError:
        raise
    # Whatever a decoder of some format raises, only this image is unreadable.
    except Exception as error:
        image = _read_by_tensorflow(content)
        if image is None:
            reason = str(error) or repr(error)
            raise UnreadableImageError(f"cannot be decoded: {reason}") from error
    return encode(image, scale, quality)


class _File(io.BytesIO):
    """A file's content, which Pillow's messages call by name, not by its address."""

    def __init__(self, content: bytes, file_name: str):
        super().__init__(content)
        self._file_name = file_name

    def __repr__(self) -> str:
        return repr(self._file_name)


@contextlib.contextmanager
def _images_of_any_size() -> Iterator[None]:
    """Lets Pillow open what it takes for an attack by its size."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _check_pixels(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise UnreadableImageError(
            f"{height} x {width} pixels are more than the {MAX_PIXELS:,} that are "
            "decoded; scale the image down first"
        )


def _is_frame(image: Image.Image, content: bytes, scale: Scale) -> bool:
    """Whether a file, opened, can be taken as it is."""
    if (
        (image.format, image.mode) != ("JPEG", "RGB")
        or not _is_scaled(image, scale)
        or _orientation(image) in _UPRIGHT
    ):
        return False
    try:
        return decode_jpeg(content).shape[1::-1] == image.size
    except BadJpegError:
        return False


def _is_scaled(image: Image.Image, scale: Scale) -> bool:
    if isinstance(scale, int):
        return not scale or min(image.size) == scale
    return (image.height, image.width) == tuple(scale)


def _orientation(image: Image.Image) -> int | None:
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # EXIF that cannot be parsed does not say that it is turned
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image, which is loaded, to mode RGB, scaled to its 8 bits.

    Raises:
        UnreadableImageError: It is not known which value is white.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_deep(image)
    if image.mode in ("La", "RGBa"):  # multiplied with their alpha
        image = image.convert(image.mode.upper())
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Scales one channel of integers of 16 bits; Pillow would cut them off at 255."""
    mode = image.mode[:4]  # behind it, for some, the order of the bytes
    if image.format not in _DEEP_FORMATS.get(mode, ()):
        raise UnreadableImageError(
            f"a {image.format} file with pixels of Pillow's mode {image.mode!r} does "
            "not say which value is white; store it with 8 or 16 bits per channel"
        )
    white, values = _MAX_16_BIT, np.asarray(image)
    if image.format == "TIFF":
        white = 2 ** image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0] - 1
        if image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            values = white - values
    return Image.fromarray(to_8_bits(values, white)).convert("RGB")


def to_8_bits(values: np.ndarray, white: int = _MAX_16_BIT) -> np.ndarray:
    """Scales integers of 0 to `white`, of any shape, to uint8, rounded."""
    scaled = values.astype(np.float32) * (255 / white)
    return np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8)


def _read_by_tensorflow(content: bytes) -> Image.Image | None:
    """Reads a JPEG that Pillow does not, or gives None."""
    try:
        _check_pixels(*jpeg_size(content))
        # In a session without GPUs: eagerly, every worker would start them all.
        no_gpu = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
        with tf.Graph().as_default(), tf.compat.v1.Session(config=no_gpu) as session:
            pixels = session.run(tf.io.decode_jpeg(content, channels=3))
    except (BadJpegError, UnreadableImageError, tf.errors.OpError):
        return None
    return Image.fromarray(pixels)


def encode(image: Image.Image, scale: Scale, quality: int) -> tuple[bytes, int, int]:
    """Scales an RGB image and encodes it; arguments and result as in `to_jpeg`."""
    try:
        size = scaled_size(*image.size, scale)
    except UnencodableFrameError as error:
        raise UnreadableImageError(str(error)) from error
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue(), image.height, image.width
