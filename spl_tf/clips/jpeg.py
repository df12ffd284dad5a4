"""The one decoder of frames: conversion, validation and loading ask it alike."""

from __future__ import annotations

import numpy as np
import simplejpeg

from spl_tf.clips.frame_shape import RGB_CHANNELS

# Of a file that is decoded at all: 1.5 GB as RGB. A damaged header may state 4 * 10^9.
MAX_PIXELS = 500_000_000


class BadJpegError(ValueError):
    """A frame that does not decode; the message goes on after the frame's name."""


def decode_jpeg(jpeg: bytes, out: np.ndarray | None = None) -> np.ndarray:
    """Decodes a frame whose data is whole.

    Damage that other decoders paint over, with a warning at most, is an error: a clip
    of it would be trained on without a word.

    Args:
        jpeg: The encoded frame.
        out: uint8 [H, W, 3] of the frame's size, to be filled.

    Returns:
        `out`, or an array of its own: RGB.

    Raises:
        BadJpegError: It does not decode without a warning, or has another size.
    """
    if out is None:
        out = np.empty((*jpeg_size(jpeg), RGB_CHANNELS), np.uint8)
    try:
        found = simplejpeg.decode_jpeg(jpeg, "RGB", buffer=out).shape
    except ValueError as error:
        raise BadJpegError(f"does not decode: {error}") from error
    if found != out.shape:
        raise BadJpegError(
            f"is {found[0]} x {found[1]}, expected {out.shape[0]} x {out.shape[1]}"
        )
    return out


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Rows and columns of a JPEG, from its frame header (ITU-T T.81, B.2.2).

    Raises:
        BadJpegError: There is no such header, or more than `MAX_PIXELS`.
    """
    place = frame_header(jpeg)
    height = int.from_bytes(jpeg[place + 5 : place + 7], "big")
    width = int.from_bytes(jpeg[place + 7 : place + 9], "big")
    if height * width > MAX_PIXELS:
        raise BadJpegError(
            f"is {height} x {width}, more than the {MAX_PIXELS:,} pixels that are "
            "decoded"
        )
    return height, width


def frame_header(jpeg: bytes) -> int:
    """Byte at which the frame header of a JPEG starts.

    Raises:
        BadJpegError: The data is no JPEG, or has no such header.
    """
    if jpeg[:2] != b"\xff\xd8":
        raise BadJpegError(
            f"is no JPEG, it starts with {jpeg[:8].hex(' ') or 'nothing'}"
        )
    place, end = 2, len(jpeg) - 9
    while place < end and jpeg[place] == 0xFF:
        marker = jpeg[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return place
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these have no length
            place += 2
        else:
            place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    raise BadJpegError(f"is a JPEG of {len(jpeg)} bytes without a frame header")
