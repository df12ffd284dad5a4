"""Dense optical flow between the frames of a clip, computed with OpenCV."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

METHODS = ("dis_medium", "dis_fast", "farneback", "tvl1")

FindFlow = Callable[[np.ndarray, np.ndarray], np.ndarray]

_FARNEBACK = {
    "pyr_scale": 0.5,
    "levels": 5,
    "winsize": 13,
    "iterations": 10,
    "poly_n": 5,
    "poly_sigma": 1.1,
    "flags": 0,
}


def flow_finder(method: str) -> FindFlow:
    """What finds the flow from one frame to the next.

    Args:
        method: One of `METHODS`: dense inverse search with OpenCV's presets of that
            name, polynomial expansion, or total variation, which is a hundred times
            slower.

    Returns:
        A function of two grey frames, uint8 [H, W], that gives float32 [H, W, 2]:
        pixels to the right and down.

    Raises:
        ImportError: This OpenCV lacks the method; the message says what to install.
        ValueError: There is no such method.
    """
    if method == "farneback":
        return lambda one, two: cv2.calcOpticalFlowFarneback(
            one, two, None, **_FARNEBACK
        )
    if method in ("dis_medium", "dis_fast"):
        preset = getattr(cv2, f"DISOpticalFlow_PRESET_{method[4:].upper()}")
        finder = cv2.DISOpticalFlow_create(preset)
    elif method == "tvl1":
        if not hasattr(cv2, "optflow"):
            raise ImportError(
                "method tvl1 is in OpenCV's extra modules alone, which take the place "
                "of the others: `pip uninstall opencv-python-headless`, then `pip "
                "install opencv-contrib-python-headless`; side by side, each "
                "overwrites files of the other's module cv2"
            )
        finder = cv2.optflow.createOptFlow_DualTVL1()
    else:
        raise ValueError(f"method is {method!r}, expected one of {METHODS}")
    return lambda one, two: finder.calc(one, two, None)


def clip_flow(frames: Iterable[np.ndarray], find: FindFlow) -> Iterator[np.ndarray]:
    """The flow from each frame of a clip to the next.

    Args:
        frames: uint8 [H, W, 3] each, RGB.
        find: What `flow_finder` gives.

    Yields:
        float32 [H, W, 2] for every frame but the last; of one frame alone, zeros.

    Raises:
        ValueError: The frames differ in size, or are too small for the method.
    """
    former, count = None, 0
    for count, frame in enumerate(frames, start=1):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if former is not None:
            if grey.shape != former.shape:
                raise ValueError(
                    f"frame {count - 1} is {_size(grey)} (height x width), the one "
                    f"before {_size(former)}"
                )
            try:
                yield find(former, grey)
            except cv2.error as error:
                raise ValueError(
                    f"its frames are {_size(grey)} (height x width), of which OpenCV "
                    f"finds no flow: {error.err}"
                ) from error
        former = grey
    if count == 1:
        yield np.zeros((*former.shape, 2), np.float32)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV works in one thread: there is a process per core."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]} x {image.shape[1]}"
