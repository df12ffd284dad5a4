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

from experiments.synthetic import drawing

SCENES = (
    "horizontal stripes",
    "vertical stripes",
    "diagonal stripes",
    "checks",
    "lattice",
    "rings",
)
# What a sprite can do: the change of its height and of its size, each -1, 0 or 1.
MOTION_CHANGES = {
    "rise": (-1.0, 0.0),
    "sink": (1.0, 0.0),
    "grow": (0.0, 1.0),
    "shrink": (0.0, -1.0),
}
MOTIONS = tuple(MOTION_CHANGES)
IDLE = (0.0, 0.0)

# What a segment can show, as seen from the class that its video is really about.
ACTION = "action"  # The class itself.
SIBLING = "sibling"  # The scene with the other motion.
BACKGROUND = "background"  # The scene, empty or with a sprite that does nothing.
FILLER = "filler"  # Neither the scene nor the sprite: titles, talk, black frames.
SEGMENT_KINDS = (ACTION, SIBLING, BACKGROUND, FILLER)

# The scenes take turns through pairs of motions.
MotionPairs = Sequence[tuple[str, ...]]
# Every scene with every motion; neighbours are siblings here, too.
ALL_MOTIONS = (MOTIONS,)


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
        sprite_shape: One of `drawing.SHAPES`.
        sprite_radius: Pixels from the sprite's centre to its edge.
        sprite_colour: float32 [3], colour of the sprite.
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
    of_scene = len(motions[0])
    num_classes = of_scene * len(SCENES)
    if not 0 <= class_index < num_classes:
        raise ValueError(
            f"class_index: got {class_index}, expected 0..{num_classes - 1}"
        )
    scene, motion = divmod(class_index, of_scene)
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
        nuisance: Ranges to draw from, as in `settings.default_nuisance`.
    """
    background_luma = rng.uniform(0.38, 0.62)
    contrast = rng.uniform(*nuisance.texture_contrast)
    # Half as much colour as luma: the texture has a tint, yet survives 4:2:0.
    tint = drawing.random_colour(rng, 1.0, 0.5)
    return Look(
        background=drawing.random_colour(rng, background_luma, nuisance.colour_spread),
        texture_colour=contrast * tint,
        texture_period=rng.uniform(*nuisance.texture_period),
        texture_origin=rng.uniform(0, frame_size, size=2),
        texture_tilt=int(rng.choice((-1, 1))),
        sprite_shape=drawing.SHAPES[rng.integers(len(drawing.SHAPES))],
        sprite_radius=rng.uniform(*nuisance.sprite_size) / 2,
        sprite_colour=drawing.contrasting_colour(
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
        kind: What the segment shows, one of `SEGMENT_KINDS`.
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
        canvas = drawing.filler_backdrop(rng, num_frames, frame_size, nuisance)
    else:
        pan = rng.uniform(-1, 1, size=2) * nuisance.camera_pan / np.sqrt(2)
        pattern = texture(scene, look, time[:, None] * pan, frame_size)
        canvas = look.background + pattern[..., None] * look.texture_colour
    for _ in range(nuisance.num_specks):
        drawing.draw_speck(rng, canvas, time, look.background, nuisance)
    acts = kind in (ACTION, SIBLING)
    if acts or (kind == BACKGROUND and rng.random() < 0.5):
        direction, growth = MOTION_CHANGES[motion] if acts else IDLE
        size = drawing.relative_size(rng, time, growth, nuisance)
        path = drawing.sprite_path(
            rng, time, direction, size.max(), frame_size, nuisance
        )
        radius = look.sprite_radius * size
        drawing.blend(canvas, look.sprite_shape, path, radius, look.sprite_colour)

    return drawing.expose(rng, canvas, look.gain, nuisance.pixel_noise)


def texture(scene: str, look: Look, shift: np.ndarray, frame_size: int) -> np.ndarray:
    """Draws the background pattern of a scene under a moving camera.

    Args:
        scene: Which pattern to draw, one of `SCENES`.
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
