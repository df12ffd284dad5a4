"""Measures how the cameras of a dataset's videos move, for images to move likewise.

python -m experiments.fit_camera_motion --dataset=clips/target_train --num_frames=16 \
    --stride=4 --output=motion.npz

The file holds mean and covariance of the homographies between frames that are a stride
apart, over all clips and by class (OmniSource, eq. 2); `clips.motion` of a training's
source takes it. Beside it, `motion.png` shows some clips, and under each its first
frame moved by homographies that were drawn.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import numpy as np
from absl import flags
from PIL import Image, ImageDraw

from spl_tf import binary, clips, data
from spl_tf.data.decoding import ClipLoader, View
from spl_tf.data.image_clips import NUM_MOTION_DRAWS
from spl_tf.motion import CameraMotion, fit_camera_motion

_SHOWN_CLIPS, _SHOWN_FRAMES = 6, 8
_CELL_WIDTH, _GAP, _CAPTION = 200, 4, 16  # pixels


def moved_clips(
    motion: CameraMotion, dataset: clips.ClipDataset, seed: int = 0
) -> Iterator[tuple[str, np.ndarray]]:
    """Takes some clips, and makes a clip of each one's first frame.

    Args:
        motion: The law that was fitted to the dataset.
        dataset: Clips of videos to draw from.
        seed: Decides the clips and the homographies.

    Yields:
        The clip's id, and uint8 [2, T, H, W, 3]: its frames; its first frame, moved.
    """
    height, width = motion.size
    cell = (round(_CELL_WIDTH * height / width), _CELL_WIDTH)
    moves = data.ImageClips("perspective", motion=motion)
    sampling = data.ClipSampling(motion.num_frames, motion.stride)

    def choose_views(length, rows, columns, draws):
        frames, window = sampling.central_frames(length), (0, 0, rows, columns)
        warps = moves.warps(
            len(frames), (rows, columns), window, cell, False, draws, label=0
        )
        first = np.full_like(frames, frames[0])
        return [View(frames, window), View(first, window, warps=warps)]

    loader = ClipLoader(dataset, choose_views, cell, needs_label=False, scales=True)
    rng = np.random.default_rng(seed)
    for row in rng.permutation(len(dataset))[:_SHOWN_CLIPS].tolist():
        views = np.empty((2, motion.num_frames, *cell, 3), np.uint8)
        draws = rng.random(NUM_MOTION_DRAWS, np.float32)
        name, *_ = loader.load(row, draws, views)
        yield name.decode(errors="replace"), views


def draw_sheet(
    motion: CameraMotion, dataset: clips.ClipDataset, path: str, seed: int = 0
) -> None:
    """Draws the clips of `moved_clips`, those of a pair below each other.

    Args:
        motion: The law that was fitted to the dataset.
        dataset: Clips of videos to draw from.
        path: A PNG file to write.
        seed: Decides the clips and the homographies.
    """
    shown = np.unique(
        np.linspace(0, motion.num_frames - 1, _SHOWN_FRAMES).round().astype(int)
    )
    pairs = list(moved_clips(motion, dataset, seed))
    height, width = pairs[0][1].shape[2:4]
    step = 2 * (height + _GAP) + _CAPTION + _GAP
    size = (len(shown) * (width + _GAP) + _GAP, len(pairs) * step + _GAP)
    sheet = Image.new("RGB", size, "white")
    pencil = ImageDraw.Draw(sheet)
    for number, (name, views) in enumerate(pairs):
        top = _GAP + number * step
        pencil.text((_GAP, top), f"{name}; below: its first frame, moved", "black")
        for line, images in enumerate(views[:, shown]):
            for column, image in enumerate(images):
                left = _GAP + column * (width + _GAP)
                down = top + _CAPTION + line * (height + _GAP)
                sheet.paste(Image.fromarray(image), (left, down))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    clips.write_atomically(path, buffer.getvalue())


def fit(
    dataset_dir: str,
    output: str,
    num_frames: int,
    stride: int,
    max_clips: int,
    seed: int,
) -> CameraMotion:
    """Writes the file and, beside it, the sheet.

    Args:
        dataset_dir: Folder of the dataset that is measured.
        output: The `.npz` file of the law; its name with `.png` is the sheet's.
        num_frames: Frames to look at in the middle of each clip.
        stride: Frames from one that is looked at to the next.
        max_clips: How many clips are looked at, 0 for all.
        seed: Decides which clips, and what the sheet shows.

    Raises:
        ValueError: `output` has another ending, or what `fit_camera_motion` refuses.
    """
    stem, ending = os.path.splitext(output)
    if ending != ".npz":
        raise ValueError(f"--output is {output!r}, expected a name that ends in .npz")
    dataset = clips.ClipDataset(dataset_dir)
    motion = fit_camera_motion(dataset, num_frames, stride, max_clips, seed)
    motion.save(output)
    draw_sheet(motion, dataset, f"{stem}.png", seed)
    return motion


def main(argv: list[str]) -> None:
    """Reads the flags, fits, prints how much was measured."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    motion = fit(
        values.dataset,
        values.output,
        values.num_frames,
        values.stride,
        values.clips,
        values.seed,
    )
    print(
        f"{values.output}: {int(motion.pairs.sum())} pairs of frames at stride "
        f"{motion.stride} and {motion.frame_rate:g} frames per second; look at "
        f"{os.path.splitext(values.output)[0]}.png"
    )


if __name__ == "__main__":
    flags.DEFINE_string("dataset", None, "Folder of the clips.", required=True)
    flags.DEFINE_string("output", None, "The .npz file to write.", required=True)
    flags.DEFINE_integer("num_frames", 16, "Frames to look at in each clip.")
    flags.DEFINE_integer("stride", 4, "Frames of the clip from one to the next.")
    flags.DEFINE_integer("clips", 1000, "Clips to look at; 0 for all.")
    flags.DEFINE_integer("seed", 0, "Decides which clips, and what the sheet shows.")
    binary.run(main)
