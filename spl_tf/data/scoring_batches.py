"""Batches that hold every clip once, for evaluation and prediction; see `batches`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import RGB, CropSize
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
from spl_tf.data.sampling import NUM_CROPS, TEN_CROPS, ClipSampling, scored_windows


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
    modality: str = RGB,
    rows: np.ndarray | None = None,
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
        num_crops: 1, 3 or 10 crops, see `central_windows`.
        short_side: What the frames' shorter side is scaled to before the crop; 0 takes
            frames as they are stored.
        skipped: Collects bad records, whose `mask` is False then; None for an error.
        modality: What is seen of a clip, one of `clips.frame_shape.CHANNELS`.
        rows: int64, the index rows of the clips that are read; None for all.

    Returns:
        Batches of `clip`, `label` (the record's own), `index`, `id`, `mask`.

    Raises:
        ValueError: The dataset is empty, or a number of views is impossible.
    """
    lookup = LabelLookup(None, len(dataset.info.class_names))
    place = (batch_size, worker, num_workers, replicas)
    views = (num_clips, num_crops, short_side)
    plan = _ScoringBatches(
        dataset, sampling, crop_size, place, views, modality, skipped, lookup, rows=rows
    )
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
    frames: int = 0,
    modality: str = RGB,
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
        num_crops: 1, 3 or 10 crops, see `central_windows`.
        short_side: What the frames' shorter side is scaled to before the crop; 0 takes
            frames as they are stored.
        wanted: bool, one per index row. Steps without such a row are left out and the
            others stay as they are, so that a clip is always in the same batch; `mask`
            is False for what is not wanted.
        skipped: Collects bad records; None for an error. They stay in `mask`, so that
            no wanted row is missing, and what is said of them is worth nothing.
        frames: Instead of runs by `sampling`, each frame of a clip, as a view of one
            frame: so many in turn are an item of a batch, and a longer clip gives
            several items, whose `index` is the same. The last one is filled with the
            last frame.
        modality: What is seen of a clip, one of `clips.frame_shape.CHANNELS`.

    Returns:
        Batches of `clip`, `index`, `id`, `mask`; of frames, also `first`, int64 [B],
        the place of an item's first frame in its clip.
    """
    place = (batch_size, worker, num_workers, replicas)
    views = (num_clips, num_crops, short_side)
    plan = _ScoringBatches(
        dataset,
        sampling,
        crop_size,
        place,
        views,
        modality,
        skipped,
        wanted=wanted,
        frames=frames,
    )
    return in_order(plan, 0, plan.num_batches)


def _items(
    dataset: ClipDataset, frames: int, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Row and first frame of each item, both int64; an item per clip without `frames`.

    See `predict_batches`.
    """
    if rows is None:
        rows = np.arange(len(dataset), dtype=np.int64)
    if not frames:
        return rows, np.zeros_like(rows)
    counts = -(-dataset.index.frames[rows].astype(np.int64) // frames)
    rows = rows.repeat(counts)
    places = np.arange(len(rows)) - (counts.cumsum() - counts).repeat(counts)
    return rows, places * frames


class _ScoringBatches:
    """The numbered batches that hold every clip once, for one worker."""

    def __init__(
        self,
        dataset,
        sampling,
        crop_size,
        place,
        views,
        modality,
        skipped,
        lookup=None,
        wanted=None,
        frames=0,
        rows=None,
    ):
        if not len(dataset):
            raise ValueError(f"{dataset.directory} has no clips")
        num_clips, num_crops, short_side = views
        if num_clips < 1 or num_crops not in NUM_CROPS:
            raise ValueError(
                f"num_clips is {num_clips}, expected 1 or more; num_crops is "
                f"{num_crops}, expected one of {NUM_CROPS}"
            )
        size, worker, num_workers, replicas = place
        check_place([size], worker, num_workers, replicas)
        item_rows, item_starts = _items(dataset, frames, rows)
        items, mask = padded_rows(len(item_rows), size * replicas * num_workers)
        # Batches go to workers and replicas in turn, so that all have equally many.
        steps = (-1, num_workers, replicas, size)
        items, mask = items.reshape(steps), mask.reshape(steps)
        if wanted is not None:
            # Padding is read like any clip: one of the step that it is in.
            items = np.where(mask, items, len(item_rows) - 1)
            mask &= wanted[item_rows[items]]
            kept = mask.any(axis=(1, 2, 3))
            items, mask = items[kept], mask[kept]
        items = items[:, worker].reshape(-1, size)
        self._rows, self._starts = item_rows[items], item_starts[items]
        self._mask = mask[:, worker].reshape(-1, size)
        self.num_batches = len(self._rows)
        self._skipped, self._lookup = skipped, lookup
        flips = (False, True) if num_crops == TEN_CROPS else (False,)

        def choose_views(length, height, width, start):
            windows = scored_windows(height, width, crop_size, short_side, num_crops)
            crops = [(window, flip) for flip in flips for window in windows]
            if frames:
                runs = np.minimum(start + np.arange(frames), length - 1)[:, None]
            else:
                runs = sampling.uniform_frames(length, num_clips)
            return [View(run, *crop) for run in runs for crop in crops]

        self._loader = ClipLoader(
            dataset,
            choose_views,
            crop_size,
            needs_label=lookup is not None,
            scales=short_side > 0,
            modality=modality,
        )
        runs, length = (frames, 1) if frames else (num_clips, sampling.num_frames)
        shape = (runs * num_crops, length, *self._loader.frame_shape)
        self._buffers = ClipBuffers(size, *shape)
        self.threads, self._map = decoding([dataset])
        self.spec = record_spec(size) | {
            "clip": tf.TensorSpec([size * shape[0], *shape[1:]], tf.uint8),
            "index": tf.TensorSpec([size], tf.int64),
            "mask": tf.TensorSpec([size], tf.bool),
        }
        if frames:
            self.spec["first"] = tf.TensorSpec([size], tf.int64)

    def load(self, number: int) -> dict[str, np.ndarray]:
        """Reads and decodes a batch: the arrays that `finish` takes, by name."""
        clip = self._buffers.take()
        rows, starts, mask = (
            each[number] for each in (self._rows, self._starts, self._mask)
        )
        found = list(self._map(self._load, rows, starts, clip))
        if self._lookup is not None:
            mask = mask & [record is not None for record in found]
        found = zip(*(record or (b"", 0, 0) for record in found), strict=True)
        return dict(zip(RECORD_FIELDS, found, strict=True)) | {
            "clip": clip.reshape(self.spec["clip"].shape),
            "index": rows,
            "first": starts,
            "mask": mask,
        }

    def _load(self, row, start, out) -> tuple | None:
        try:
            return self._loader.load(row, start, out)
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
