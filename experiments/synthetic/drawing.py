"""What all rendered worlds are drawn with: colours, sprites, specks, fillers.

Units: pixels, frames, and intensities of the range [0, 1]; angles in radians.
"""

import ml_collections
import numpy as np

SHAPES = ("disc", "square", "diamond", "cross")

# BT.601, which video of this size is coded and shown with.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def random_colour(rng: np.random.Generator, luma: float, spread: float) -> np.ndarray:
    """Returns float32 [3], a random colour of exactly this luma (not clipped)."""
    offset = rng.normal(0, spread, size=3).astype(np.float32)
    return (luma + offset - offset @ LUMA).astype(np.float32)


def contrasting_colour(
    rng: np.random.Generator, luma: float, contrast: tuple[float, float], spread: float
) -> np.ndarray:
    """Returns float32 [3], a colour that is lighter or darker than `luma`."""
    sign = rng.choice((-1, 1))
    return random_colour(rng, luma + sign * rng.uniform(*contrast), spread)


def relative_size(
    rng: np.random.Generator,
    time: np.ndarray,
    growth: float,
    nuisance: ml_collections.ConfigDict,
) -> np.ndarray:
    """Returns float64 [T], a sprite's size over time, with a geometric mean of 1."""
    if not growth:
        return np.ones(len(time))
    return rng.uniform(*nuisance.growth) ** (growth * time)


def sprite_path(
    rng: np.random.Generator,
    time: np.ndarray,
    direction: float,
    largest: float,
    frame_size: int,
    nuisance: ml_collections.ConfigDict,
) -> np.ndarray:
    """Returns float64 [T, 2], (x, y) of a sprite that moves by `direction` in y."""
    length = direction * rng.uniform(*nuisance.path_length)
    # Far enough from the border that the whole path and the whole sprite are seen.
    size = nuisance.sprite_size[1] * largest
    margin = min(abs(length) / 2 + size / 2, frame_size / 2)
    side = min(size, frame_size / 2)
    middle = np.array(
        [rng.uniform(side, frame_size - side), rng.uniform(margin, frame_size - margin)]
    )
    drift = rng.normal(0, nuisance.hand_drift, size=2)
    path = middle + time[:, None] * drift
    path[:, 1] += time * length
    return path


def draw_speck(
    rng: np.random.Generator,
    canvas: np.ndarray,
    time: np.ndarray,
    background: np.ndarray,
    nuisance: ml_collections.ConfigDict,
) -> None:
    """Draws a small disc that moves in any direction into `canvas`, in place."""
    frame_size = canvas.shape[1]
    travel = rng.normal(0, nuisance.speck_travel, size=2)
    path = rng.uniform(0, frame_size, size=2) + time[:, None] * travel
    luma = float(background @ LUMA)
    colour = contrasting_colour(
        rng, luma, nuisance.speck_contrast, nuisance.colour_spread
    )
    radius = np.full(len(time), rng.uniform(*nuisance.speck_radius))
    blend(canvas, "disc", path, radius, colour)


def blend(
    canvas: np.ndarray,
    shape: str,
    path: np.ndarray,
    radius: np.ndarray,
    colour: np.ndarray,
) -> None:
    """Draws a shape with soft edges along a path into `canvas`, in place.

    Args:
        canvas: float32 [T, H, W, 3].
        shape: One of `SHAPES`.
        path: float [T, 2], (x, y) of the centre in pixels.
        radius: float [T], pixels from the centre to the edge.
        colour: float32 [3].
    """
    grid = np.arange(canvas.shape[1], dtype=np.float32)
    path = path.astype(np.float32)
    radius = radius.astype(np.float32)[:, None, None]
    dx = np.abs(grid[None, None, :] - path[:, 0, None, None])
    dy = np.abs(grid[None, :, None] - path[:, 1, None, None])
    if shape == "disc":
        distance = np.hypot(dx, dy)
    elif shape == "square":
        distance = np.maximum(dx, dy)
    elif shape == "diamond":
        distance = (dx + dy) / np.float32(1.3)
    else:
        # A bar in each direction, a third as thick as long.
        thick = radius * np.float32(2 / 3)
        bar = np.maximum(dx, dy + thick), np.maximum(dx + thick, dy)
        distance = np.minimum(*bar)
    alpha = np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    canvas += alpha * (colour - canvas)


def filler_backdrop(
    rng: np.random.Generator,
    num_frames: int,
    frame_size: int,
    nuisance: ml_collections.ConfigDict,
) -> np.ndarray:
    """Returns float32 [T, H, W, 3]: a smooth change from one colour to another."""
    ends = [
        random_colour(rng, rng.uniform(0.2, 0.8), nuisance.colour_spread)
        for _ in range(2)
    ]
    angle = rng.uniform(0, 2 * np.pi)
    grid = np.linspace(-0.5, 0.5, frame_size, dtype=np.float32)
    ramp = np.cos(angle) * grid[None, :] + np.sin(angle) * grid[:, None]
    weight = np.clip(ramp + 0.5, 0, 1).astype(np.float32)[..., None]
    frame = ends[0] + weight * (ends[1] - ends[0])
    return np.repeat(frame[None], num_frames, axis=0)


def expose(
    rng: np.random.Generator, canvas: np.ndarray, gain: float, noise: float
) -> np.ndarray:
    """Returns uint8 [T, H, W, 3], as a camera sees float32 `canvas`.

    Args:
        rng: Source of randomness of this video.
        canvas: float32 [T, H, W, 3]; not changed.
        gain: Factor of all intensities around middle grey.
        noise: Deviation of the grey noise of a pixel.
    """
    seen = (canvas - 0.5) * gain + 0.5
    grain = rng.standard_normal(canvas.shape[:3], dtype=np.float32)
    seen += noise * grain[..., None]
    return (np.clip(seen, 0, 1) * 255 + 0.5).astype(np.uint8)
