"""Homographies between frames of videos, measured, and the law that they follow."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools

import cv2
import numpy as np
from absl import logging

from spl_tf import clips
from spl_tf.clips.jpeg import decode_jpeg
from spl_tf.cores import usable_cores
from spl_tf.motion.camera_motion import (
    LEAST_PAIRS,
    NUM_PARAMETERS,
    CameraMotion,
    MotionLaw,
    pixels_to_unit,
    stay_in_frame,
)
from spl_tf.progress import Progress

_MOST_CORNERS = 500
_CORNER_QUALITY = 0.01
_CORNER_DISTANCE = 7  # pixels
_PYRAMID = {"winSize": (21, 21), "maxLevel": 4}
_LARGEST_RETURN = 0.5  # pixels from where a corner was, followed there and back
_INLIER_DISTANCE = 1.5  # pixels
_LEAST_INLIERS = 20
_LEAST_INLIER_SHARE = 0.5
# Of each side that the inliers must span: beyond, a homography is a guess.
_LEAST_SPAN = 0.5


def measure_homography(
    previous: np.ndarray, following: np.ndarray
) -> np.ndarray | None:
    """Where the places of one frame are in the next.

    Corners are followed there and back (Lucas and Kanade, pyramids); RANSAC leaves out
    those that move with something else than the background.

    Args:
        previous: uint8 [H, W], grey.
        following: uint8 [H, W], grey; the next frame.

    Returns:
        float64 [8], row by row, for places in [-1, 1]; None where too few corners are
        matched, or they are of too small a part of the frame.
    """
    corners = cv2.goodFeaturesToTrack(
        previous, _MOST_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE
    )
    if corners is None or len(corners) < _LEAST_INLIERS:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        previous, following, corners, None, **_PYRAMID
    )
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        following, previous, moved, None, **_PYRAMID
    )
    corners, moved, back = (each.reshape(-1, 2) for each in (corners, moved, back))
    matched = (found & found_back).ravel() > 0
    matched &= np.linalg.norm(back - corners, axis=1) < _LARGEST_RETURN
    if matched.sum() < _LEAST_INLIERS:
        return None
    corners, moved = corners[matched], moved[matched]
    homography, inliers = cv2.findHomography(
        corners, moved, cv2.RANSAC, _INLIER_DISTANCE
    )
    if homography is None:
        return None
    corners = corners[inliers.ravel() > 0]
    least = max(_LEAST_INLIERS, _LEAST_INLIER_SHARE * len(moved))
    height, width = previous.shape
    if (
        len(corners) < least
        or (np.ptp(corners, axis=0) < _LEAST_SPAN * np.array([width, height])).any()
    ):
        return None
    to_unit = pixels_to_unit((height, width))
    unit = to_unit @ homography @ np.linalg.inv(to_unit)
    if abs(unit[2, 2]) < 1e-6:
        return None
    unit /= unit[2, 2]
    return unit.ravel()[:NUM_PARAMETERS] if stay_in_frame(unit[None])[0] else None


@dataclasses.dataclass(frozen=True)
class _Measured:
    """What a clip gives: its homographies, one per pair unless it was not found."""

    homographies: list[np.ndarray]
    pairs: int
    frame_rate: float
    size: tuple[int, int]


def fit_camera_motion(
    dataset: clips.ClipDataset,
    num_frames: int,
    stride: int,
    max_clips: int = 1000,
    seed: int = 0,
) -> CameraMotion:
    """The most likely law of a dataset's camera motion, over all and by class.

    Args:
        dataset: Clips of videos; those of `stride` frames or fewer are passed over.
        num_frames: Frames to look at in the middle of each clip.
        stride: Distance between them, in frames of the clip.
        max_clips: Clips to look at, drawn at random; 0 for all.
        seed: Decides which clips are drawn.

    Raises:
        ValueError: There are no pairs of frames that far apart, too few of them could
            be matched, or a record is damaged.
    """
    for name, value, least in (
        ("num_frames", num_frames, 2),
        ("stride", stride, 1),
        ("max_clips", max_clips, 0),
    ):
        if value < least:
            raise ValueError(f"{name} is {value}, expected {least} or more")
    rows = np.flatnonzero(dataset.index.frames > stride)
    rows = np.random.default_rng(seed).permutation(rows)[: max_clips or None]
    if not len(rows):
        longest = dataset.index.frames.max(initial=0)
        raise ValueError(
            f"{dataset.directory}: its clips have up to {longest} frames, expected "
            f"more than the stride, {stride}"
        )
    measured = _measure_all(dataset, rows, num_frames, stride)
    labels = dataset.index.label[rows]
    per_clip = [len(each.homographies) for each in measured]
    pairs, found = sum(each.pairs for each in measured), sum(per_clip)
    if found < LEAST_PAIRS:
        raise ValueError(
            f"{dataset.directory}: of {pairs} pairs of frames at stride {stride} only "
            f"{found} could be matched, expected {LEAST_PAIRS} or more; look at more "
            "clips, or at a smaller stride"
        )
    logging.info("%d of %d pairs of frames could be matched", found, pairs)
    homographies = np.array([h for each in measured for h in each.homographies])
    overall = MotionLaw.fit(homographies)
    rank = np.linalg.matrix_rank(overall.covariance, hermitian=True)
    if rank < NUM_PARAMETERS:
        logging.warning(
            "the covariance of the camera motion has rank %d of %d: in some ways the "
            "camera never moves, and samples will not, either",
            *(rank, NUM_PARAMETERS),
        )
    names = dataset.info.class_names
    by_class, counts = _laws_by_class(
        homographies, np.repeat(labels, per_clip), names, overall
    )
    rates = [each.frame_rate for each in measured if each.frame_rate > 0]
    sizes = collections.Counter(each.size for each in measured)
    return CameraMotion(
        overall=overall,
        by_class=by_class,
        class_names=names,
        pairs=counts,
        stride=stride,
        frame_rate=float(np.median(rates)) if rates else 0.0,
        size=sizes.most_common(1)[0][0],
        num_frames=num_frames,
    )


def _measure_all(dataset, rows, num_frames, stride) -> list[_Measured]:
    with (
        dataset.reader() as reader,
        Progress(len(rows), "clip", "measuring camera motion") as progress,
        concurrent.futures.ThreadPoolExecutor(usable_cores()) as threads,
    ):
        measured = []
        for each in threads.map(
            lambda row: _measure(dataset, reader, row, num_frames, stride),
            rows.tolist(),
        ):
            measured.append(each)
            progress.update(1)
    return measured


def _measure(dataset, reader, row: int, num_frames: int, stride: int) -> _Measured:
    try:
        clip = clips.parse_clip(reader.read(row))
        start = max(len(clip.frames) - num_frames * stride, 0) // 2
        # Not from the start again, as in training: that is no motion of the camera.
        chosen = map(decode_jpeg, clip.frames[start::stride][:num_frames])
        grey = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in chosen]
        if len({each.shape for each in grey}) > 1:
            raise ValueError("its frames differ in size")
    except ValueError as error:
        raise ValueError(
            f"{dataset.directory}, row {row}: {error}. Run `python -m "
            f"tfrecords_tools.inspect_records {dataset.directory} --validate` to see "
            "all that is wrong"
        ) from error
    found = [measure_homography(*pair) for pair in itertools.pairwise(grey)]
    homographies = [each for each in found if each is not None]
    return _Measured(homographies, len(found), clip.frame_rate, grey[0].shape)


def _laws_by_class(
    homographies, labels, names, overall
) -> tuple[list[MotionLaw], np.ndarray]:
    counts = np.array([(labels == label).sum() for label in range(len(names))])
    few = [names[label] for label in np.flatnonzero(counts < LEAST_PAIRS)]
    if few:
        logging.warning(
            "of %d classes (%s) fewer than %d pairs of frames could be matched: they "
            "get the motion of all classes",
            *(len(few), ", ".join(few[:5]), LEAST_PAIRS),
        )
    laws = [
        MotionLaw.fit(homographies[labels == label])
        if count >= LEAST_PAIRS
        else overall
        for label, count in enumerate(counts)
    ]
    return laws, counts
