"""Decoded video frames to upright, scaled JPEG files."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image

from tfrecords_tools.decoding.scaling import Scale, scaled_size


class JpegEncoder:
    """Scales, turns upright and encodes the frames of one clip.

    Every frame gets the size of the first one: a stream may change its resolution, a
    clip may not.
    """

    def __init__(self, scale: Scale, quality: int):
        """Creates an encoder.

        Args:
            scale: What frames, turned upright, are scaled to.
            quality: Quality on libjpeg's scale, 1 to 100.
        """
        self._scale = scale
        self._quality = quality
        self._size: tuple[int, int] | None = None
        # They keep swscale's tables from one frame to the next.
        self._scaler = VideoReformatter()
        self._converter = VideoReformatter()

    def encode(
        self, frame: av.VideoFrame, pixel_aspect: Fraction | int = 1
    ) -> tuple[bytes, int, int]:
        """Returns the JPEG (4:2:0, full range BT.601), its height and its width.

        Args:
            frame: A decoded frame, of any pixel format.
            pixel_aspect: Width of its pixels by their height; those of the JPEG are
                square.

        Raises:
            UnencodableFrameError: A side would be longer than JPEG allows.
        """
        if self._size is None:
            width = max(1, round(frame.width * pixel_aspect))
            scale = self._scale
            if not isinstance(scale, int) and _swaps_axes(_matrix(frame)):
                scale = scale[::-1]
            self._size = scaled_size(width, frame.height, scale)
        image = self._upright_rgb(frame)
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=self._quality)
        return buffer.getvalue(), image.shape[0], image.shape[1]

    def _upright_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame at the clip's size, turned upright: uint8 [H, W, 3], RGB."""
        width, height = self._size
        if frame.format.name.startswith("yuv"):
            # Scaling planes and converting the few pixels left is 4 times faster than
            # scaling to RGB.
            frame = self._scaler.reformat(
                frame, width, height, interpolation="AREA", threads=1
            )
        frame = self._converter.reformat(
            frame, width, height, "rgb24", interpolation="AREA", threads=1
        )
        return np.ascontiguousarray(turn_upright(frame.to_ndarray(), _matrix(frame)))


def turn_upright(image: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Turns and mirrors an image the way a display matrix says.

    Args:
        image: Pixels [H, W, C].
        matrix: [3, 3] of FFmpeg's `libavutil/display.h`: pixel (x, y) of the image
            belongs at (x, y) * matrix of the display. Only multiples of 90 degrees
            occur in practice; others are rounded to one. None changes nothing.

    Returns:
        [H, W, C] or [W, H, C], a view of `image`.
    """
    if matrix is None:
        return image
    (a, b), (c, d) = matrix[:2, :2]
    flip_x, flip_y = a < 0, d < 0
    if _swaps_axes(matrix):
        image = image.swapaxes(0, 1)
        flip_x, flip_y = c < 0, b < 0
    return image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _swaps_axes(matrix: np.ndarray | None) -> bool:
    if matrix is None:
        return False
    (a, b), (c, d) = matrix[:2, :2]
    return bool(abs(a) + abs(d) < abs(b) + abs(c))


def _matrix(frame: av.VideoFrame) -> np.ndarray | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(data, np.int32).reshape(3, 3)
