"""Which frames of a clip are looked at, and which part of them. NumPy only."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from spl_tf.clips.frame_shape import CropSize, height_and_width

# (top, left, height, width), in pixels.
Window = tuple[int, int, int, int]

# How frames are taken: a run of them, or one of each segment (TSN).
SAMPLINGS = ("consecutive", "segments")

# Numbers of crops that a frame is looked at with: the middle, three along the longer
# side, or the corners and the middle, each as it is and mirrored.
TEN_CROPS = 10
NUM_CROPS = (1, 3, TEN_CROPS)


@dataclasses.dataclass(frozen=True)
class ClipSampling:
    """A run of frames at a fixed stride; a clip that is too short is wrapped around.

    The paper trains on 16 frames at stride 4 (section 4.2) and, like NL's code, starts
    uniformly in `[0, n - frames * stride]`, or at 0 where the clip is shorter, and
    takes frame indices modulo n.

    Attributes:
        num_frames: Number of frames to take.
        stride: Distance between them, in frames of the clip.
        segments: Instead, one frame of each of `num_frames` equal parts of the clip, at
            random in training and the middle one in testing (TSN, section 3.1).
        strides: Of random frames, what their stride is one of, drawn uniformly; () for
            the stride above (the temporal granularity of MotionFit, our own design).
    """

    num_frames: int
    stride: int
    segments: bool = False
    strides: tuple[int, ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ClipSampling:
        """How a run's `config.data` takes frames."""
        segments = settings.get("sampling", SAMPLINGS[0]) == "segments"
        strides = tuple(settings.get("strides", ()))
        return cls(settings.num_frames, settings.stride, segments, strides)

    def __post_init__(self):
        for name in ("num_frames", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if self.strides and (self.segments or min(self.strides) < 1):
            raise ValueError(
                f"strides are {self.strides}, expected 1 or more each, and frames that "
                "are not of segments"
            )

    @property
    def span(self) -> int:
        """Frames of the clip from the first to behind the last one taken."""
        return self.num_frames * self.stride

    @property
    def num_draws(self) -> int:
        """How many random numbers `random_frames` takes."""
        return self.num_frames if self.segments else 1 + bool(self.strides)

    def random_frames(self, length: int, draws: np.ndarray) -> np.ndarray:
        """Frame indices from a random start, or at random in each segment.

        Args:
            length: Frames of the clip, 1 or more.
            draws: float32 [num_draws], uniform in [0, 1).

        Returns:
            int64 [num_frames], frame indices below `length`.
        """
        if self.segments:
            return self._in_segments(length, draws)
        if self.strides:
            stride = self.strides[scale_draw(draws[1], len(self.strides))]
            return ClipSampling(self.num_frames, stride).random_frames(length, draws)
        return self._from(scale_draw(draws[0], max(length - self.span, 0) + 1), length)

    def central_frames(self, length: int) -> np.ndarray:
        """Frame indices, int64 [num_frames], from the middle of clip or segments."""
        if self.segments:
            return self._in_segments(length, np.full(self.num_frames, 0.5, np.float32))
        return self._from(max(length - self.span, 0) // 2, length)

    def uniform_frames(self, length: int, num_clips: int) -> np.ndarray:
        """Frame indices of several runs, spread evenly over a clip.

        One run is from the middle; of more, run j starts at `int(length / num_clips *
        j)`, as NL's test protocol has it. Of segments, run j has what is at the share
        (j + 1/2) / num_clips of each.

        Returns:
            int64 [num_clips, num_frames], frame indices below `length`.
        """
        if num_clips == 1:
            return self.central_frames(length)[None]
        if self.segments:
            shares = (np.arange(num_clips, dtype=np.float32) + 0.5) / num_clips
            return np.stack(
                [
                    self._in_segments(length, share.repeat(self.num_frames))
                    for share in shares
                ]
            )
        starts = [length * j // num_clips for j in range(num_clips)]
        return np.stack([self._from(start, length) for start in starts])

    def _in_segments(self, length: int, shares: np.ndarray) -> np.ndarray:
        """What is at shares [num_frames] in [0, 1) of the segments."""
        places = (np.arange(self.num_frames) + shares) * (length / self.num_frames)
        return np.minimum(places.astype(np.int64), length - 1)

    def _from(self, start: int, length: int) -> np.ndarray:
        return (start + self.stride * np.arange(self.num_frames)) % length


# The paper's test protocol, section 4.2: one run over the whole of a ten-second clip.
PAPER_EVALUATION = ClipSampling(num_frames=64, stride=4)


def scale_draw(draw: np.float32, choices: int) -> int:
    """Turns a uniform draw in [0, 1) into an integer in [0, choices)."""
    scaled = int(np.float32(draw) * np.float32(choices))
    return min(scaled, choices - 1)  # a product can round up to `choices`


def random_window(height: int, width: int, size: CropSize, draws: np.ndarray) -> Window:
    """A random crop, as (top, left, height, width).

    Args:
        height: Rows of the frames, at least those of the crop.
        width: Columns of the frames, at least those of the crop.
        size: Size of the crop: a square's side, or (height, width).
        draws: float32 [2], uniform in [0, 1).
    """
    rows, columns = height_and_width(size)
    top = scale_draw(draws[0], height - rows + 1)
    left = scale_draw(draws[1], width - columns + 1)
    return top, left, rows, columns


def central_windows(
    height: int, width: int, size: CropSize, num_crops: int = 1
) -> list[Window]:
    """Crops in the middle of the frames' shorter side, as (top, left, height, width).

    Args:
        height: Rows of the frames, at least those of the crops.
        width: Columns of the frames, at least those of the crops.
        size: Size of the crops: a square's side, or (height, width).
        num_crops: 1 is the middle of the longer side too; 3 are its start, middle and
            end. 10 are the four corners and the middle (TSN's 25 frames x 10 crops):
            five windows, of which their mirror images make ten.
    """
    rows, columns = height_and_width(size)
    top, left = (height - rows) // 2, (width - columns) // 2
    places = [(top, left)]
    if num_crops == TEN_CROPS:
        ends = itertools.product((0, height - rows), (0, width - columns))
        places = [*ends, (top, left)]
    elif num_crops > 1 and height > width:
        places = [(place, left) for place in (0, top, height - rows)]
    elif num_crops > 1:
        places = [(top, place) for place in (0, left, width - columns)]
    return [(*place, rows, columns) for place in places]


def scored_windows(
    height: int, width: int, size: CropSize, short_side: int = 0, num_crops: int = 1
) -> list[Window]:
    """As `central_windows`, of frames that are scaled first, in stored pixels.

    Args:
        height: Rows of the stored frames.
        width: Columns of the stored frames.
        size: Size of the crops after scaling: a square's side, or (height, width).
        short_side: What the frames' shorter side is scaled to; 0 for no scaling.
        num_crops: Number of crops, as in `central_windows`.
    """
    if short_side:
        size = jittered_size(size, height, width, (short_side, short_side), 0.0)
    return central_windows(height, width, size, num_crops)


def jittered_size(
    crop_size: CropSize,
    height: int,
    width: int,
    side_range: tuple[int, int],
    draw: np.float32,
) -> tuple[int, int]:
    """Rows and columns of the crop in stored pixels, for a random scale.

    Cutting this out and scaling it to `crop_size` is scaling the frames to a short side
    that is uniform in `side_range`, or to the least that holds the crop, and cutting
    `crop_size` out (NL's short-side jitter).

    Args:
        crop_size: Size of the crop after scaling: a square's side, or (height, width).
        height: Rows of the stored frames.
        width: Columns of the stored frames.
        side_range: Smallest and largest short side, both included.
        draw: Random number, uniform in [0, 1), which decides the scale.
    """
    low, high = side_range
    short_side, stored_side = low + scale_draw(draw, high - low + 1), min(height, width)
    sides = tuple(zip(height_and_width(crop_size), (height, width), strict=True))
    least = (-(-crop * stored_side // stored) for crop, stored in sides)
    short_side = max(short_side, *least)
    rows, columns = (
        min(round(crop * stored_side / short_side), stored) for crop, stored in sides
    )
    return rows, columns
