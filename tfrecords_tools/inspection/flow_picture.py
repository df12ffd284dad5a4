"""Optical flow as colours and arrows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from matplotlib.colors import hsv_to_rgb
from PIL import Image

_ARROWS = 7  # along the longer side
_LEAST_SPEED = 0.15  # of the fastest, for an arrow
_FASTEST_SHARE = 99  # percent of the pixels are slower than the full colour
_SLOWEST_SCALE = 2.0  # pixels: below, noise would look like motion


class Arrows(NamedTuple):
    """The mean flow of some squares of a picture.

    Attributes:
        places: float64 [n, 2], their centres: column and row.
        moves: float64 [n, 2], pixels to the right and down.
        side: Of such a square, in pixels.
    """

    places: np.ndarray
    moves: np.ndarray
    side: int


def full_speed(flow: np.ndarray) -> float:
    """The speed, in pixels, that a picture of this flow shows in full colour."""
    speeds = np.linalg.norm(flow, axis=-1)
    return max(float(np.percentile(speeds, _FASTEST_SHARE)), _SLOWEST_SCALE)


def flow_colors(flow: np.ndarray, fastest: float) -> Image.Image:
    """A picture of flow: the hue is its direction, white is none.

    Args:
        flow: float32 [H, W, 2], pixels to the right and down.
        fastest: Speed, in pixels, that has the full colour.
    """
    hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1
    speed = (np.linalg.norm(flow, axis=-1) / fastest).clip(0, 1)
    colors = hsv_to_rgb(np.stack([hue, speed, np.ones_like(hue)], axis=-1))
    return Image.fromarray((255 * colors).round().astype(np.uint8))


def color_wheel(size: int) -> Image.Image:
    """The colour of each direction and speed, as a disc on white."""
    places = (np.indices((size, size)) + 0.5) / size * 2 - 1
    flow = np.stack([places[1], places[0]], axis=-1)
    flow[np.linalg.norm(flow, axis=-1) > 1] = 0
    return flow_colors(flow, 1.0)


def flow_arrows(flow: np.ndarray, fastest: float) -> Arrows:
    """Some arrows for a picture of flow, where there is any.

    Args:
        flow: float32 [H, W, 2], pixels to the right and down.
        fastest: Speed, in pixels, of the full colour; arrows are for a part of it, or
            more.
    """
    height, width, _ = flow.shape
    side = math.ceil(max(height, width) / _ARROWS)
    rows, columns = max(height // side, 1), max(width // side, 1)
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    top, left = max(top, 0), max(left, 0)
    part = flow[top : top + rows * side, left : left + columns * side]
    places, moves = [], []
    for row in range(rows):
        for column in range(columns):
            square = part[row * side :, column * side :][:side, :side]
            move = square.mean(axis=(0, 1), dtype=np.float64)
            if np.linalg.norm(move) >= _LEAST_SPEED * fastest:
                centre = (column + 0.5) * side + left, (row + 0.5) * side + top
                places.append(np.array(centre) - 0.5)
                moves.append(move)
    return Arrows(np.reshape(places, (-1, 2)), np.reshape(moves, (-1, 2)), side)
