"""Batches that hold every clip once, for evaluation and prediction; see `batches`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import CropSize
from spl_tf.data.bad_records import SkippedRecords
from spl_tf.data.decoding import ClipBuffers, ClipLoader, View
from spl_tf.data.label_lookup import LabelLookup
from spl_tf.data.numbered_batches import (
    RECORD_FIELDS,
    check_place,
    decoding,
    in_order,
    record_spec,
)
from spl_tf.data.plan import padded_rows
from spl_tf.data.records import BadRecordError
from spl_tf.data.sampling import ClipSampling, scored_windows


def eval_batches(
    dataset: ClipDataset,
    sampling: ClipSampling,
    crop_size: CropSize,
    batch_size: int,
    worker: int = 0,
    num_workers: int = 1,
    replicas: int = 1,
    num_clips: int = 1,
    num_crops: int = 1,
    short_side: int = 0,
    skipped: SkippedRecords | None = None,
) -> tf.data.Dataset:
    """Every clip once, in index order.

    Padding makes all batches full and their number the same on every replica. With
    more than one view of a clip, `clip` is [B * num_clips * num_crops, T, H, W, C], the
    views of a clip next to each other, crops varying fastest; all else stays [B].

    Args:
        dataset: The dataset whose clips are read.
        sampling: Which frames are taken; `PAPER_EVALUATION` for the paper's protocol.
        crop_size: Size of the crop: the side of a square in pixels, or (height, width).
        batch_size: Clips per replica and step.
        worker: Number of this process, from 0.
        num_workers: Number of all processes of the run.
        replicas: Number of this process's replicas.
        num_clips: Runs of frames per clip, see `ClipSampling.uniform_frames`.
        num_crops: 1, the centre, or 3 along the longer side.
        short_side: What the frames' shorter side is scaled to before the crop; 0 takes
            frames as they are stored.
        skipped: Collects bad records, whose `mask` is False then; None for an error.

    Returns:
        Batches of `clip`, `label` (the record's own), `index`, `id`, `mask`.

    Raises:
        ValueError: The dataset is empty, or a number of views is impossible.
    """
    lookup = LabelLookup(None, len(dataset.info.class_names))
    place = (batch_size, worker, num_workers, replicas)
    views = (num_clips, num_crops, short_side)
    plan = _ScoringBatches(dataset, sampling, crop_size, place, views, skipped, lookup)
    return in_order(plan, 0, plan.num_batches)


def predict_batches(
    dataset: ClipDataset,
    sampling: ClipSampling,
    crop_size: CropSize,
    batch_size: int,
    worker: int = 0,
    num_workers: int = 1,
    replicas: int = 1,
    num_clips: int = 1,
    num_crops: int = 1,
    short_side: int = 0,
    wanted: np.ndarray | None = None,
    skipped: SkippedRecords | None = None,
) -> tf.data.Dataset:
    """As `eval_batches`, for clips whose label may be missing or is not looked at.

    Args:
        dataset: The dataset whose clips are read, each once.
        sampling: Which frames are taken of a clip.
        crop_size: Size of the crop: the side of a square in pixels, or (height, width).
        batch_size: Clips per replica and step.
        worker: Number of this process, from 0.
        num_workers: Number of all processes of the run.
        replicas: Number of this process's replicas.
        num_clips: Runs of frames per clip, see `ClipSampling.uniform_frames`.
        num_crops: 1, the centre, or 3 along the longer side.
        short_side: What the frames' shorter side is scaled to before the crop; 0 takes
            frames as they are stored.
        wanted: bool, one per index row. Steps without such a row are left out and the
            others stay as they are, so that a clip is always in the same batch; `mask`
            is False for what is not wanted.
        skipped: Collects bad records; None for an error. They stay in `mask`, so that
            no wanted row is missing, and what is said of them is worth nothing.

    Returns:
        Batches of `clip`, `index`, `id`, `mask`.
    """
    place = (batch_size, worker, num_workers, replicas)
    views = (num_clips, num_crops, short_side)
    plan = _ScoringBatches(
        dataset, sampling, crop_size, place, views, skipped, wanted=wanted
    )
    return in_order(plan, 0, plan.num_batches)


class _ScoringBatches:
    """The numbered batches that hold every clip once, for one worker."""

    def __init__(
        self,
        dataset,
        sampling,
        crop_size,
        place,
        views,
        skipped,
        lookup=None,
        wanted=None,
    ):
        if not len(dataset):
            raise ValueError(f"{dataset.directory} has no clips")
        num_clips, num_crops, short_side = views
        if num_clips < 1 or num_crops not in (1, 3):
            raise ValueError(
                f"num_clips is {num_clips}, expected 1 or more; num_crops is "
                f"{num_crops}, expected 1 or 3"
            )
        size, worker, num_workers, replicas = place
        check_place([size], worker, num_workers, replicas)
        rows, mask = padded_rows(len(dataset), size * replicas * num_workers)
        # Batches go to workers and replicas in turn, so that all have equally many.
        steps = (-1, num_workers, replicas, size)
        rows, mask = rows.reshape(steps), mask.reshape(steps)
        if wanted is not None:
            # Padding is read like any clip: one of the step that it is in.
            rows = np.where(mask, rows, len(dataset) - 1)
            mask &= wanted[rows]
            kept = mask.any(axis=(1, 2, 3))
            rows, mask = rows[kept], mask[kept]
        self._rows = rows[:, worker].reshape(-1, size)
        self._mask = mask[:, worker].reshape(-1, size)
        self.num_batches = len(self._rows)
        self._skipped, self._lookup = skipped, lookup

        def choose_views(length, height, width, draws):
            windows = scored_windows(height, width, crop_size, short_side, num_crops)
            runs = sampling.uniform_frames(length, num_clips)
            return [View(frames, window) for frames in runs for window in windows]

        self._loader = ClipLoader(
            dataset,
            choose_views,
            crop_size,
            needs_label=lookup is not None,
            scales=short_side > 0,
        )
        frames = (sampling.num_frames, *self._loader.frame_shape)
        shape = (num_clips * num_crops, *frames)
        self._buffers = ClipBuffers(size, *shape)
        self.threads, self._map = decoding([dataset])
        self.spec = record_spec(size) | {
            "clip": tf.TensorSpec([size * shape[0], *shape[1:]], tf.uint8),
            "index": tf.TensorSpec([size], tf.int64),
            "mask": tf.TensorSpec([size], tf.bool),
        }

    def load(self, number: int) -> dict[str, np.ndarray]:
        """Reads and decodes a batch: the arrays that `finish` takes, by name."""
        clip = self._buffers.take()
        rows, mask = self._rows[number], self._mask[number]
        found = list(self._map(self._load, rows, clip))
        if self._lookup is not None:
            mask = mask & [record is not None for record in found]
        found = zip(*(record or (b"", 0, 0) for record in found), strict=True)
        return dict(zip(RECORD_FIELDS, found, strict=True)) | {
            "clip": clip.reshape(self.spec["clip"].shape),
            "index": rows,
            "mask": mask,
        }

    def _load(self, row, out) -> tuple | None:
        try:
            return self._loader.load(row, None, out)
        except BadRecordError as error:
            if self._skipped is None:
                raise
            self._skipped.add(int(row), error)
        out[...] = 0
        return None

    def finish(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Checks the labels, in the graph."""
        label, teacher = batch.pop("label"), batch.pop("teacher")
        if self._lookup is not None:
            batch["label"] = self._lookup(label, teacher, batch["id"])
        return batch
