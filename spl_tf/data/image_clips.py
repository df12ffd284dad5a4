"""An image as a clip: which part of it each frame shows (OmniSource, 3.5)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import special

from spl_tf.data.plan import uniform_draws
from spl_tf.data.sampling import Window
from spl_tf.motion import CameraMotion, camera_path
from spl_tf.motion.camera_motion import NUM_PARAMETERS, pixels_to_unit

# How an image moves: not at all, or as one says.
IMAGE_KINDS = ("still", "translate_random", "translate_constant", "perspective")
# Random numbers of a clip, which seed those of its frames.
NUM_MOTION_DRAWS = 2
_DRAW_BITS = 24  # of `uniform_draws`


@dataclasses.dataclass(frozen=True)
class ImageClips:
    """How the images of a source become clips.

    Attributes:
        kind: How an image moves, one of `IMAGE_KINDS`.
        step: Largest step of the window from frame to frame, of the translations, as a
            share of its height and width; the paper names no size.
        motion: The law of the homographies, for perspective.
        by_class: Whether each class has a law of its own.
    """

    kind: str
    step: float = 0.0
    motion: CameraMotion | None = None
    by_class: bool = False

    def warps(
        self,
        num_frames: int,
        frame_size: tuple[int, int],
        window: Window,
        crop_size: tuple[int, int],
        flip: bool,
        draws: np.ndarray,
        label: int,
    ) -> np.ndarray | None:
        """Which place of the image each pixel of each frame shows.

        Args:
            num_frames: T, the number of frames.
            frame_size: Rows and columns of the image.
            window: What the first frame shows of it, in whole pixels.
            crop_size: Rows and columns of the frames.
            flip: Whether frames are mirrored left-right.
            draws: float32 [NUM_MOTION_DRAWS], uniform in [0, 1).
            label: Class of the image, where each has a law of its own.

        Returns:
            float64 [T, 3, 3], from (column, row, 1) of a frame to that of the image;
            None for the window as it is.
        """
        if self.kind == "still":
            return None
        seed = 0
        for draw in draws:
            seed = seed << _DRAW_BITS | int(draw * 2**_DRAW_BITS)
        if self.kind != "perspective":
            path = self._translations(num_frames, frame_size, window, seed)
            return path @ _crop_to_image(window, crop_size, flip)
        law = self.motion.by_class[label] if self.by_class else self.motion.overall
        path = camera_path(law, num_frames, _Normals(seed, num_frames - 1))
        to_unit = pixels_to_unit(frame_size)
        path = np.linalg.inv(to_unit) @ np.linalg.inv(path) @ to_unit
        return path @ _crop_to_image(window, crop_size, flip)

    def _translations(self, num_frames, frame_size, window, seed) -> np.ndarray:
        """A random walk, or constant velocity; at the image's edges it turns back."""
        top, left, height, width = window
        steps = _draws(seed, 0, num_frames, 2)
        steps = self.step * (2.0 * steps - 1) * (width, height)
        if self.kind == "translate_constant":
            steps[:] = steps[0]
        steps[0] = 0
        start = np.array([left, top])
        room = np.array([frame_size[1] - width, frame_size[0] - height])
        moved = start + np.cumsum(steps, axis=0)
        places = room - np.abs(room - moved % np.maximum(2 * room, 1))
        places = np.where(room > 0, places, start)
        path = np.tile(np.eye(3), (num_frames, 1, 1))
        path[:, :2, 2] = places - start
        return path


@dataclasses.dataclass(frozen=True)
class _Normals:
    """Standard normal numbers of a clip's steps, by attempt; a `DrawNormals`."""

    seed: int
    steps: int

    def __call__(self, attempt: int) -> np.ndarray:
        draws = _draws(self.seed, attempt, self.steps, NUM_PARAMETERS)
        # The middle of each draw's interval, so that 0 is no infinite number.
        return special.ndtri(draws + 2.0 ** -(_DRAW_BITS + 1))


def _draws(seed: int, attempt: int, steps: int, count: int) -> np.ndarray:
    """Uniform in [0, 1), float64 [steps, count]."""
    numbers = np.arange(steps)
    return uniform_draws(seed, np.full(steps, attempt), numbers, count).astype(float)


def _crop_to_image(window: Window, crop_size: Sequence[int], flip: bool) -> np.ndarray:
    """From pixels of a crop to those of the image it is cut out of, [3, 3].

    Pixel i covers i - 1/2 to i + 1/2, so that edges fall on edges.
    """
    top, left, height, width = window
    rows, columns = crop_size
    down, right = height / rows, width / columns
    first = left + right / 2 - 0.5
    if flip:
        first, right = left + width - right / 2 - 0.5, -right
    return np.array([[right, 0, first], [0, down, top + down / 2 - 0.5], [0, 0, 1]])
