"""The law of camera motion: homographies H_i ~ N(mu, Sigma) (OmniSource, eq. 2).

A homography takes places in one frame to places in the next. It has 8 parameters, row
by row, the ninth is 1; places are in [-1, 1] from edge to edge of the frame, so that
the law holds at any resolution. NumPy only.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np

from spl_tf.labels import storage

NUM_PARAMETERS = 8
# Pairs of frames that a law needs: with fewer, its covariance is singular.
LEAST_PAIRS = NUM_PARAMETERS + 1
_KIND, _VERSION = "camera_motion", 1
_IDENTITY = np.eye(3).ravel()[:NUM_PARAMETERS]
_CORNERS = np.array([[-1, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]], np.float64).T
# After so many draws in vain the camera stands still for a frame: a path may drift to
# where nearly any further step leaves the frame.
_ATTEMPTS = 20

# Number of the attempt -> float64 [n, NUM_PARAMETERS], standard normal.
DrawNormals = Callable[[int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class MotionLaw:
    """A normal distribution of homographies.

    Attributes:
        mean: float64 [8], the homography's entries row by row; the ninth is 1.
        covariance: float64 [8, 8], symmetric, positive semidefinite; of these entries.
    """

    mean: np.ndarray
    covariance: np.ndarray

    def __post_init__(self):
        if self.mean.shape != (NUM_PARAMETERS,) or self.covariance.shape != (
            NUM_PARAMETERS,
            NUM_PARAMETERS,
        ):
            raise ValueError(
                f"mean and covariance of shapes {self.mean.shape} and "
                f"{self.covariance.shape}, expected (8,) and (8, 8)"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise ValueError("mean or covariance has numbers that are not finite")
        values, vectors = np.linalg.eigh(self.covariance)
        tolerance = 1e-9 * max(values.max(), 1e-12)
        if values.min() < -tolerance or not np.allclose(
            self.covariance, self.covariance.T, rtol=1e-6, atol=tolerance
        ):
            raise ValueError(
                f"a covariance with eigenvalue {values.min():.3g}, expected a "
                "symmetric matrix without negative ones"
            )
        # A square root, also of a singular covariance, which Cholesky's is not.
        root = vectors * np.sqrt(values.clip(0))
        object.__setattr__(self, "_root", root)

    @classmethod
    def fit(cls, homographies: np.ndarray) -> MotionLaw:
        """The most likely law of some homographies, float64 [n, 8]; n >= 1."""
        mean = homographies.mean(axis=0)
        centred = homographies - mean
        return cls(mean, centred.T @ centred / len(homographies))

    def homographies(self, normals: np.ndarray) -> np.ndarray:
        """Draws, float64 [n, 3, 3], from standard normal numbers, [n, 8]."""
        found = np.ones((len(normals), NUM_PARAMETERS + 1))
        found[:, :NUM_PARAMETERS] = self.mean + normals @ self._root.T
        return found.reshape(-1, 3, 3)


@dataclasses.dataclass(frozen=True)
class CameraMotion:
    """The laws of a dataset's camera motion, over all and by class.

    Attributes:
        overall: The law of all clips.
        by_class: The law of each class; of one with fewer than `LEAST_PAIRS` pairs,
            `overall`.
        class_names: Names of the C classes, in order of `by_class`.
        pairs: int64 [C], pairs of frames that were measured in each class.
        stride: Frames of the videos from one frame of a pair to the other.
        frame_rate: Frames per second of the videos; 0 where they do not say.
        size: Rows and columns of most of the videos.
        num_frames: Frames that were looked at in each clip.
    """

    overall: MotionLaw
    by_class: Sequence[MotionLaw]
    class_names: Sequence[str]
    pairs: np.ndarray
    stride: int
    frame_rate: float
    size: tuple[int, int]
    num_frames: int

    def save(self, path: str | os.PathLike) -> None:
        """Writes the file, a `.npz`, whole or not at all."""
        laws = [self.overall, *self.by_class]
        header = {
            "class_names": list(self.class_names),
            "stride": self.stride,
            "frame_rate": self.frame_rate,
            "size": list(self.size),
            "num_frames": self.num_frames,
        }
        arrays = {
            "mean": np.stack([law.mean for law in laws]),
            "covariance": np.stack([law.covariance for law in laws]),
            "pairs": np.asarray(self.pairs, np.int64),
        }
        storage.save(path, _KIND, _VERSION, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> CameraMotion:
        """Reads the file.

        Raises:
            FileNotFoundError: Nothing is at the path.
            ValueError: It is damaged, or what it holds is no law.
        """
        header, arrays = storage.load(path, _KIND, _VERSION)
        try:
            pairs = zip(arrays["mean"], arrays["covariance"], strict=True)
            overall, *by_class = (MotionLaw(*pair) for pair in pairs)
            if len(by_class) != len(header["class_names"]):
                raise ValueError(
                    f"{len(by_class)} laws for {len(header['class_names'])} classes"
                )
            return cls(
                overall,
                by_class,
                header["class_names"],
                arrays["pairs"],
                int(header["stride"]),
                float(header["frame_rate"]),
                (int(header["size"][0]), int(header["size"][1])),
                int(header["num_frames"]),
            )
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{path}: {error}; make it again with `python -m "
                "experiments.fit_camera_motion`"
            ) from error


def pixels_to_unit(size: tuple[int, int]) -> np.ndarray:
    """From (column, row, 1) to places in [-1, 1], float64 [3, 3].

    Pixel i covers i - 1/2 to i + 1/2; the edges of the frame are -1 and 1.
    """
    height, width = size
    return np.array(
        [[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]]
    )


def stay_in_frame(homographies: np.ndarray) -> np.ndarray:
    """Whether no place of either frame is mirrored or beyond the other's horizon.

    Args:
        homographies: float64 [n, 3, 3], of places in [-1, 1].

    Returns:
        bool [n], True for those that are usable.
    """
    upright = np.linalg.det(homographies) > 0
    inverses = np.linalg.inv(np.where(upright[:, None, None], homographies, np.eye(3)))
    ahead = (homographies[:, 2] @ _CORNERS > 0) & (inverses[:, 2] @ _CORNERS > 0)
    return upright & ahead.all(axis=1)


def camera_path(law: MotionLaw, num_frames: int, draw: DrawNormals) -> np.ndarray:
    """Where a still camera's places are in the frames of a moving one.

    `G_1 = I`, `G_i = H_i G_{i-1}` (OmniSource, eq. 2). A draw whose H_i or G_i does not
    stay in the frame is made anew.

    Args:
        law: The law that each step H_i is drawn from.
        num_frames: T, number of frames; 1 or more.
        draw: Gives the normal numbers of all steps; asked again, with the number of
            the attempt, where some are made anew.

    Returns:
        float64 [T, 3, 3], the G_i, for places in [-1, 1].
    """
    steps = law.homographies(draw(0))
    path = np.empty((num_frames, 3, 3))
    path[0] = np.eye(3)
    for frame, step in enumerate(steps, start=1):
        path[frame] = step @ path[frame - 1]
    if not stay_in_frame(np.concatenate([steps, path])).all():
        _draw_again(law, path, {0: steps}, draw)
    return path


def _draw_again(
    law: MotionLaw, path: np.ndarray, tries: dict[int, np.ndarray], draw: DrawNormals
) -> None:
    """Makes the path anew, frame by frame, from the first draws that stay in it."""
    for frame in range(1, len(path)):
        path[frame] = path[frame - 1]
        for attempt in range(_ATTEMPTS):
            if attempt not in tries:
                tries[attempt] = law.homographies(draw(attempt))
            step = tries[attempt][frame - 1]
            place = step @ path[frame - 1]
            if stay_in_frame(np.stack([step, place])).all():
                path[frame] = place
                break
