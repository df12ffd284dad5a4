"""What a video of the synthetic weakly-labeled world shows, as NumPy arrays.

A class is a scene (the structure of a low-contrast background texture) and a motion
(what a sprite does in front of it). Each scene has two motions, and its two classes are
*siblings*: a search for one of them finds a lot of the other. Everything else (colours,
period, phase and contrast of the texture, the sprite's shape, size, colour and path,
moving specks, camera pan, gain, noise) is nuisance, and every class is invariant to a
left-right flip, so that a random flip is a legal augmentation.

Scene and motion are carried by the luma: 4:2:0 video keeps it at full resolution, while
it would blur a texture that is drawn in colour only.

Units: pixels, frames, and intensities of the range [0, 1]; angles in radians.
"""

import dataclasses
from collections.abc import Sequence

import ml_collections
import numpy as np

SCENES = (
    "horizontal stripes",
    "vertical stripes",
    "diagonal stripes",
    "checks",
    "lattice",
    "rings",
)
# What a sprite can do: the change of its height and of its size, each -1, 0 or 1.
_MOTIONS = {
    "rise": (-1.0, 0.0),
    "sink": (1.0, 0.0),
    "grow": (0.0, 1.0),
    "shrink": (0.0, -1.0),
}
MOTIONS = tuple(_MOTIONS)
_IDLE = (0.0, 0.0)
SHAPES = ("disc", "square", "diamond", "cross")

# What a segment can show, as seen from the class that its video is really about.
ACTION = "action"  # The class itself.
SIBLING = "sibling"  # The scene with the other motion.
BACKGROUND = "background"  # The scene, empty or with a sprite that does nothing.
FILLER = "filler"  # Neither the scene nor the sprite: titles, talk, black frames.
SEGMENT_KINDS = (ACTION, SIBLING, BACKGROUND, FILLER)

# The scenes take turns through pairs of motions.
MotionPairs = Sequence[tuple[str, str]]

# BT.601, which video of this size is coded and shown with.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True)
class Look:
    """The nuisance that all segments of one video share.

    Attributes:
        background: float32 [3], colour of the background.
        texture_colour: float32 [3], change of colour per unit of texture; its luma
            is the root mean square contrast of the texture.
        texture_period: Pixels per period of the texture.
        texture_origin: float64 [2], (x, y) of the texture's phase or centre.
        texture_tilt: +1 or -1, which of the two diagonals a diagonal texture follows.
        sprite_shape: One of `SHAPES`.
        sprite_radius: Pixels from the sprite's centre to its edge.
        sprite_colour: float32 [3].
        gain: Factor of all intensities around middle grey.
    """

    background: np.ndarray
    texture_colour: np.ndarray
    texture_period: float
    texture_origin: np.ndarray
    texture_tilt: int
    sprite_shape: str
    sprite_radius: float
    sprite_colour: np.ndarray
    gain: float


def class_names(motions: MotionPairs) -> list[str]:
    """Returns the names of all classes in index order; siblings are neighbours."""
    return [
        f"{scene} {motion}"
        for number, scene in enumerate(SCENES)
        for motion in motions[number % len(motions)]
    ]


def scene_and_motion(class_index: int, motions: MotionPairs) -> tuple[str, str]:
    """Returns the scene and the motion that make up a class.

    Raises:
        ValueError: If there is no class of this index.
    """
    num_classes = 2 * len(SCENES)
    if not 0 <= class_index < num_classes:
        raise ValueError(
            f"class_index: got {class_index}, expected 0..{num_classes - 1}"
        )
    scene, motion = divmod(class_index, 2)
    return SCENES[scene], motions[scene % len(motions)][motion]


def sibling(class_index: int) -> int:
    """Returns the class of the same scene and the other motion."""
    return class_index ^ 1


def draw_look(
    rng: np.random.Generator, frame_size: int, nuisance: ml_collections.ConfigDict
) -> Look:
    """Draws what all segments of one video have in common.

    Args:
        rng: Source of randomness of this video.
        frame_size: Height and width of a frame in pixels.
        nuisance: Ranges as in `settings.default_nuisance`.
    """
    background_luma = rng.uniform(0.38, 0.62)
    contrast = rng.uniform(*nuisance.texture_contrast)
    # Half as much colour as luma: the texture has a tint, yet survives 4:2:0.
    tint = _colour(rng, 1.0, 0.5)
    return Look(
        background=_colour(rng, background_luma, nuisance.colour_spread),
        texture_colour=contrast * tint,
        texture_period=rng.uniform(*nuisance.texture_period),
        texture_origin=rng.uniform(0, frame_size, size=2),
        texture_tilt=int(rng.choice((-1, 1))),
        sprite_shape=SHAPES[rng.integers(len(SHAPES))],
        sprite_radius=rng.uniform(*nuisance.sprite_size) / 2,
        sprite_colour=_contrasting(
            rng, background_luma, nuisance.sprite_contrast, nuisance.colour_spread
        ),
        gain=rng.uniform(*nuisance.gain),
    )


def draw_segment(
    rng: np.random.Generator,
    look: Look,
    class_index: int,
    kind: str,
    config: ml_collections.ConfigDict,
) -> np.ndarray:
    """Draws the frames of one segment.

    Args:
        rng: Source of randomness of this video.
        look: What the segments of this video share.
        class_index: The class that the video is really about.
        kind: One of `SEGMENT_KINDS`.
        config: Has `frames_per_segment` (T), `frame_size` (H = W), `motions` and
            `nuisance`.

    Returns:
        uint8 [T, H, W, 3], RGB.

    Raises:
        ValueError: If the class or the kind is unknown.
    """
    if kind not in SEGMENT_KINDS:
        raise ValueError(f"kind: got {kind!r}, expected one of {SEGMENT_KINDS}")
    shown = sibling(class_index) if kind == SIBLING else class_index
    scene, motion = scene_and_motion(shown, config.motions)
    num_frames, frame_size = config.frames_per_segment, config.frame_size
    nuisance = config.nuisance
    time = np.linspace(-0.5, 0.5, num_frames)

    if kind == FILLER:
        canvas = _filler_backdrop(rng, num_frames, frame_size, nuisance)
    else:
        pan = rng.uniform(-1, 1, size=2) * nuisance.camera_pan / np.sqrt(2)
        pattern = texture(scene, look, time[:, None] * pan, frame_size)
        canvas = look.background + pattern[..., None] * look.texture_colour
    for _ in range(nuisance.num_specks):
        _draw_speck(rng, canvas, time, look, nuisance)
    acts = kind in (ACTION, SIBLING)
    if acts or (kind == BACKGROUND and rng.random() < 0.5):
        direction, growth = _MOTIONS[motion] if acts else _IDLE
        size = _relative_size(rng, time, growth, nuisance)
        path = _path(rng, time, direction, size.max(), frame_size, nuisance)
        radius = look.sprite_radius * size
        _blend(canvas, look.sprite_shape, path, radius, look.sprite_colour)

    canvas = (canvas - 0.5) * look.gain + 0.5
    noise = rng.standard_normal(canvas.shape[:3], dtype=np.float32)
    canvas += nuisance.pixel_noise * noise[..., None]
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)


def texture(scene: str, look: Look, shift: np.ndarray, frame_size: int) -> np.ndarray:
    """Draws the background pattern of a scene under a moving camera.

    Args:
        scene: One of `SCENES`.
        look: Gives period, origin and tilt of the pattern.
        shift: float [T, 2], (x, y) in pixels by which the pattern is moved.
        frame_size: Height and width of a frame in pixels.

    Returns:
        float32 [T, H, W] of root mean square about 1.
    """
    grid = np.arange(frame_size, dtype=np.float32)
    origin = (look.texture_origin + shift).astype(np.float32)
    frequency = np.float32(2 * np.pi / look.texture_period)
    x = frequency * (grid[None, None, :] - origin[:, 0, None, None])
    y = frequency * (grid[None, :, None] - origin[:, 1, None, None])
    root2 = np.float32(np.sqrt(2))
    if scene == "horizontal stripes":
        pattern = root2 * np.cos(y)
    elif scene == "vertical stripes":
        pattern = root2 * np.cos(x)
    elif scene == "diagonal stripes":
        # Both diagonals are the same scene, else a flip would change the class.
        pattern = root2 * np.cos((x + look.texture_tilt * y) / root2)
    elif scene == "checks":
        pattern = 2 * np.cos(x / root2) * np.cos(y / root2)
    elif scene == "lattice":
        pattern = np.cos(x) + np.cos(y)
    elif scene == "rings":
        pattern = root2 * np.cos(np.hypot(x, y))
    else:
        raise ValueError(f"scene: got {scene!r}, expected one of {SCENES}")
    shape = (len(shift), frame_size, frame_size)
    return np.broadcast_to(pattern, shape)


def _colour(rng: np.random.Generator, luma: float, spread: float) -> np.ndarray:
    """Returns float32 [3], a random colour of exactly this luma (not clipped)."""
    offset = rng.normal(0, spread, size=3).astype(np.float32)
    return (luma + offset - offset @ _LUMA).astype(np.float32)


def _contrasting(
    rng: np.random.Generator, luma: float, contrast: tuple[float, float], spread: float
) -> np.ndarray:
    """Returns float32 [3], a colour that is lighter or darker than `luma`."""
    sign = rng.choice((-1, 1))
    return _colour(rng, luma + sign * rng.uniform(*contrast), spread)


def _relative_size(
    rng: np.random.Generator,
    time: np.ndarray,
    growth: float,
    nuisance: ml_collections.ConfigDict,
) -> np.ndarray:
    """Returns float64 [T], a sprite's size over time, with a geometric mean of 1."""
    if not growth:
        return np.ones(len(time))
    return rng.uniform(*nuisance.growth) ** (growth * time)


def _path(
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


def _draw_speck(
    rng: np.random.Generator,
    canvas: np.ndarray,
    time: np.ndarray,
    look: Look,
    nuisance: ml_collections.ConfigDict,
) -> None:
    """Draws a small disc that moves in any direction into `canvas`, in place."""
    frame_size = canvas.shape[1]
    travel = rng.normal(0, nuisance.speck_travel, size=2)
    path = rng.uniform(0, frame_size, size=2) + time[:, None] * travel
    luma = float(look.background @ _LUMA)
    colour = _contrasting(rng, luma, nuisance.speck_contrast, nuisance.colour_spread)
    radius = np.full(len(time), rng.uniform(*nuisance.speck_radius))
    _blend(canvas, "disc", path, radius, colour)


def _blend(
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


def _filler_backdrop(
    rng: np.random.Generator,
    num_frames: int,
    frame_size: int,
    nuisance: ml_collections.ConfigDict,
) -> np.ndarray:
    """Returns float32 [T, H, W, 3]: a smooth change from one colour to another."""
    ends = [
        _colour(rng, rng.uniform(0.2, 0.8), nuisance.colour_spread) for _ in range(2)
    ]
    angle = rng.uniform(0, 2 * np.pi)
    grid = np.linspace(-0.5, 0.5, frame_size, dtype=np.float32)
    ramp = np.cos(angle) * grid[None, :] + np.sin(angle) * grid[:, None]
    weight = np.clip(ramp + 0.5, 0, 1).astype(np.float32)[..., None]
    frame = ends[0] + weight * (ends[1] - ends[0])
    return np.repeat(frame[None], num_frames, axis=0)
