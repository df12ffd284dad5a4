"""What images and videos of the world with three kinds of web data show.

Classes are scenes and motions as in `world`, and siblings share a scene. But here a
single image tells much of a class, too: each class has a shape and a family of colours
(warm or cool) that its sprites often have, and its sibling has others. The scene lies
behind a pattern of speckles, corners that can be followed from frame to frame while the
camera pans, turns, zooms and tilts; sprites move in the scene, and the camera sees
both. As there, every class is invariant to a left-right flip.

Units: pixels, frames, and intensities of the range [0, 1]; angles in radians.
"""

import dataclasses

import cv2
import ml_collections
import numpy as np

from experiments.synthetic import drawing, world

# Red, green and blue of a warm colour; of a cool one the opposite. Its luma is 0.
_WARMTH = np.array([1.0, 0.0, -1.0], np.float32)
_WARMTH -= _WARMTH @ drawing.LUMA
_SPECKLE_PERIOD = 4  # pixels


@dataclasses.dataclass(frozen=True)
class Sprite:
    """How what acts looks in one image or video.

    Attributes:
        shape: One of `drawing.SHAPES`.
        radius: Pixels from the centre to the edge, without the camera's zoom.
        colour: float32 [3].
    """

    shape: str
    radius: float
    colour: np.ndarray


@dataclasses.dataclass(frozen=True)
class Look:
    """The nuisance that all segments of one video share.

    Attributes:
        scenery: float32 [S, S, 3], what the camera moves over, larger than a frame.
        background: float32 [3], its mean colour.
        actor: Does what the video's class does.
        other: Does what the sibling does.
        passer_by: Does nothing, and looks like any class.
        gain: Factor of all intensities around middle grey.
    """

    scenery: np.ndarray
    background: np.ndarray
    actor: Sprite
    other: Sprite
    passer_by: Sprite
    gain: float


def typical_look(class_index: int) -> tuple[str, int]:
    """Returns shape and warmth (1 or -1) that sprites of a class often have."""
    scene, member = divmod(class_index, 2)
    return drawing.SHAPES[(scene + member) % len(drawing.SHAPES)], 1 - 2 * member


def draw_look(
    rng: np.random.Generator, class_index: int, config: ml_collections.ConfigDict
) -> Look:
    """Draws what all segments of one video have in common.

    Args:
        rng: Source of randomness of this video.
        class_index: The class that the video is really about.
        config: Has `frame_size`, `motions`, `typical_share` and `nuisance`.
    """
    nuisance = config.nuisance
    size = config.frame_size + 2 * _margin(config)
    scene, _ = world.scene_and_motion(class_index, config.motions)
    look = world.draw_look(rng, size, nuisance)
    pattern = world.texture(scene, look, np.zeros((1, 2)), size)[0]
    coarse = rng.standard_normal((-(-size // _SPECKLE_PERIOD) + 1,) * 2)
    speckles = cv2.resize(
        coarse.astype(np.float32),
        (size, size),
        interpolation=cv2.INTER_CUBIC,
    )
    speckles *= rng.uniform(*nuisance.speckle_contrast) / speckles.std()
    actor, other, passer_by = (
        _draw_sprite(rng, index, look, config)
        for index in (
            class_index,
            world.sibling(class_index),
            int(rng.integers(len(world.class_names(config.motions)))),
        )
    )
    return Look(
        scenery=look.background
        + pattern[..., None] * look.texture_colour
        + speckles[..., None],
        background=look.background,
        actor=actor,
        other=other,
        passer_by=passer_by,
        gain=look.gain,
    )


def draw_segment(
    rng: np.random.Generator,
    look: Look,
    class_index: int,
    kind: str,
    config: ml_collections.ConfigDict,
    is_image: bool = False,
) -> np.ndarray:
    """Draws the frames of one segment, or one of them at a random moment.

    Args:
        rng: Source of randomness of this image or video.
        look: What the segments of this video share.
        class_index: The class that it is really about.
        kind: One of `world.SEGMENT_KINDS`.
        config: Has `frames_per_segment` (T), `frame_size` (H = W), `motions` and
            `nuisance`.
        is_image: Whether T is 1.

    Returns:
        uint8 [T, H, W, 3], RGB.
    """
    nuisance, size = config.nuisance, config.frame_size
    time = np.linspace(-0.5, 0.5, config.frames_per_segment)
    if is_image:
        time = rng.uniform(-0.5, 0.5, size=1)
    if kind == world.FILLER:
        canvas = drawing.filler_backdrop(rng, len(time), size, nuisance)
    else:
        camera = _camera_path(rng, time, config)
        canvas = _seen(look.scenery, camera, size)
    for _ in range(nuisance.num_specks):
        drawing.draw_speck(rng, canvas, time, look.background, nuisance)
    acts = kind in (world.ACTION, world.SIBLING)
    if acts or (kind == world.BACKGROUND and rng.random() < 0.5):
        sprite, change = look.passer_by, world.IDLE
        if acts:
            sprite = look.actor if kind == world.ACTION else look.other
            shown = class_index if kind == world.ACTION else world.sibling(class_index)
            _, motion = world.scene_and_motion(shown, config.motions)
            change = world.MOTION_CHANGES[motion]
        direction, growth = change
        relative = drawing.relative_size(rng, time, growth, nuisance)
        path = drawing.sprite_path(rng, time, direction, relative.max(), size, nuisance)
        places, zoom = _places(path, camera, size)
        radius = sprite.radius * relative * zoom
        drawing.blend(canvas, sprite.shape, places, radius, sprite.colour)
    return drawing.expose(rng, canvas, look.gain, nuisance.pixel_noise)


def near_copy(
    rng: np.random.Generator, frames: np.ndarray, config: ml_collections.ConfigDict
) -> np.ndarray:
    """Returns what somebody makes of another's video: a bit cropped, and brighter.

    Args:
        rng: Source of randomness of the copy.
        frames: uint8 [T, H, W, 3].
        config: Has `copy_crop` and `copy_gain`.

    Returns:
        uint8 [T, H, W, 3].
    """
    size = frames.shape[1]
    side = max(1, round(size * (1 - rng.uniform(*config.copy_crop))))
    top, left = rng.integers(size - side + 1, size=2)
    gain = rng.uniform(*config.copy_gain)
    cropped = frames[:, top : top + side, left : left + side]
    scaled = [cv2.resize(np.ascontiguousarray(f), (size, size)) for f in cropped]
    return np.clip(np.stack(scaled) * gain + 0.5, 0, 255).astype(np.uint8)


def _draw_sprite(
    rng: np.random.Generator,
    class_index: int,
    look: world.Look,
    config: ml_collections.ConfigDict,
) -> Sprite:
    """Draws a sprite as it often is in a class."""
    nuisance = config.nuisance
    shape, warmth = typical_look(class_index)
    if rng.random() >= config.typical_share:
        shape = drawing.SHAPES[rng.integers(len(drawing.SHAPES))]
    if rng.random() >= config.typical_share:
        warmth = rng.choice((-1, 1))
    colour = drawing.contrasting_colour(
        rng,
        float(look.background @ drawing.LUMA),
        nuisance.sprite_contrast,
        nuisance.colour_spread,
    )
    return Sprite(
        shape,
        rng.uniform(*nuisance.sprite_size) / 2,
        colour + np.float32(warmth * nuisance.warmth) * _WARMTH,
    )


def _margin(config: ml_collections.ConfigDict) -> int:
    """How much larger the scenery is than a frame, on each side."""
    return config.frame_size // 4


def _camera_path(
    rng: np.random.Generator, time: np.ndarray, config: ml_collections.ConfigDict
) -> np.ndarray:
    """Returns where places of the scene are in the frames of a moving camera.

    Returns:
        float64 [T, 3, 3], of pixels from the middle of the frame.
    """
    nuisance = config.nuisance
    speed = rng.uniform(-1, 1, size=6)
    shake = np.cumsum(rng.normal(0, nuisance.camera_shake, (len(time), 2)), axis=0)
    pan = time[:, None] * speed[:2] * nuisance.camera_pan / np.sqrt(2)
    pan += shake - shake.mean(axis=0)
    zoom = np.exp(time * speed[2] * nuisance.camera_zoom)
    angle = time * speed[3] * nuisance.camera_turn
    tilt = time[:, None] * speed[4:] * nuisance.camera_tilt / (config.frame_size / 2)
    path = np.zeros((len(time), 3, 3))
    path[:, 0, 0] = path[:, 1, 1] = zoom * np.cos(angle)
    path[:, 1, 0] = zoom * np.sin(angle)
    path[:, 0, 1] = -path[:, 1, 0]
    path[:, :2, 2] = pan
    path[:, 2, :2] = tilt
    path[:, 2, 2] = 1
    return path


def _seen(scenery: np.ndarray, camera: np.ndarray, size: int) -> np.ndarray:
    """Returns float32 [T, H, W, 3], the part of the scenery that each frame shows."""
    to_middle = _shift(-(len(scenery) - 1) / 2)
    from_middle = _shift((size - 1) / 2)
    frames = [
        cv2.warpPerspective(
            scenery,
            from_middle @ step @ to_middle,
            (size, size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        for step in camera
    ]
    return np.stack(frames)


def _places(
    path: np.ndarray, camera: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns where a path of the scene is in the frames, [T, 2], and how near, [T]."""
    middle = (size - 1) / 2
    points = np.concatenate([path - middle, np.ones((len(path), 1))], axis=1)
    x, y, depth = np.einsum("tij,tj->it", camera, points)
    zoom = np.hypot(camera[:, 0, 0], camera[:, 1, 0]) / depth
    return np.stack([x / depth, y / depth], axis=1) + middle, zoom


def _shift(offset: float) -> np.ndarray:
    return np.array([[1, 0, offset], [0, 1, offset], [0, 0, 1]], np.float64)
