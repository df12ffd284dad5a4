"""tf.data pipelines: index rows -> records -> labels -> decoded crops -> batches.

A batch is a dictionary:

- `clip`: uint8 [B, T, H, W, 3], RGB;
- `label`: int32 [B];
- `index`: int64 [B], the clip's row in the index, stable over runs;
- `id`: string [B];
- `draws`: float32 [B, 4], uniform in [0, 1), for `augment_and_normalize` (training);
- `mask`: bool [B], False for padding (evaluation and prediction).
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import tensorflow as tf

from spl_tf.clips import ClipDataset, parse_in_graph
from spl_tf.data.augmentation import NUM_DRAWS
from spl_tf.data.label_lookup import LabelLookup
from spl_tf.data.plan import TrainPlan, padded_rows, uniform_draws
from spl_tf.data.sampling import ClipSampling, central_window, random_window
from spl_tf.labels import LabelMap

_SAMPLING_DRAWS = 4  # start, top, left, flip
_READ_BATCH = 32
_PARALLEL_READS = 4
_PARALLEL_DECODES = max(8, os.cpu_count() or 1)
_PREFETCHED_BATCHES = 2


@dataclasses.dataclass(frozen=True)
class TrainInput:
    """What to train on.

    Attributes:
        dataset: The clips.
        label_map: Their labels; None takes the label in the record as it is.
        sampling: Which frames are taken.
        crop_size: Side of the random crop in pixels.
        flip: Whether half of the clips are mirrored left-right.
        seed: Of order, starts, crops, flips and photometric draws.
    """

    dataset: ClipDataset
    label_map: LabelMap | None
    sampling: ClipSampling
    crop_size: int
    flip: bool
    seed: int


def labels_kept(dataset: ClipDataset, label_map: LabelMap | None) -> np.ndarray:
    """The index rows that a label map does not discard, int64 [n], ascending.

    Raises:
        ValueError: Map and dataset are of different classes, or the map needs the
            teacher's prediction and the dataset has none.
    """
    if label_map is None:
        return np.arange(len(dataset))
    ours, theirs = dataset.info.class_names, list(label_map.class_names)
    if ours != theirs:
        raise ValueError(
            f"the label map is for {len(theirs)} classes ({', '.join(theirs[:3])}, "
            f"...), {dataset.directory} has {len(ours)} ({', '.join(ours[:3])}, ...); "
            "names and order must be the same"
        )
    index = dataset.index
    if label_map.needs_teacher and (index.teacher < 0).any():
        raise ValueError(
            f"{dataset.directory} has {int((index.teacher < 0).sum())} clips without "
            f"a teacher prediction, and strategy {label_map.strategy!r} needs it; run "
            "`python -m experiments.predict` on it first"
        )
    return np.flatnonzero(label_map.lookup(index.label, index.teacher) >= 0)


def train_batches(
    source: TrainInput,
    batch_size: int,
    start_step: int = 0,
    stop_step: int | None = None,
    worker: int = 0,
    num_workers: int = 1,
    replicas: int = 1,
) -> tf.data.Dataset:
    """Training batches, the same whatever was read before.

    Args:
        source: What to train on.
        batch_size: Clips per replica and step.
        start_step: The first batch is the one that an unbroken run yields at this
            step.
        stop_step: The step before which the batches end; None for never. A run that
            knows its last step should say so: then no thread is left reading ahead
            when it is done.
        worker: This process, from 0.
        num_workers: All processes of the run.
        replicas: Replicas of this process; they get one batch each per step, in turn.

    Returns:
        Batches of `clip`, `label`, `index`, `id`, `draws`.
    """
    lookup = LabelLookup(source.label_map, len(source.dataset.info.class_names))
    rows = labels_kept(source.dataset, source.label_map)
    share = batch_size * replicas
    plan = TrainPlan(rows, share * num_workers, source.seed)
    reader = source.dataset.reader()

    def read(step: np.int64):
        batch_rows, epochs = plan.batch(int(step), worker, num_workers)
        draws = uniform_draws(
            source.seed, epochs, batch_rows, _SAMPLING_DRAWS + NUM_DRAWS
        )
        return batch_rows, draws, _read(reader, batch_rows)

    def decode(row, draws, record):
        clip = parse_in_graph(record)
        label = lookup(clip["label"], clip["teacher"], clip["id"])
        kept = tf.debugging.Assert(
            label >= 0,
            [
                "the label map discards clip",
                clip["id"],
                "but index.npz says otherwise: the index belongs to other records",
            ],
        )
        with tf.control_dependencies([kept]):
            label = tf.identity(label)
        frames = clip["frames"]
        chosen = source.sampling.random_frames(tf.size(frames), draws[0])
        height, width = _frame_size(frames, source.crop_size, clip["id"])
        window = random_window(height, width, source.crop_size, draws[1:3])
        images = _decode(frames, chosen, window, source.sampling, source.crop_size)
        if source.flip:
            images = tf.cond(
                draws[3] < 0.5, lambda: tf.reverse(images, axis=[2]), lambda: images
            )
        return {
            "clip": images,
            "label": label,
            "index": row,
            "id": clip["id"],
            "draws": draws[_SAMPLING_DRAWS:],
        }

    def read_in_graph(step):
        row, draws, record = tf.numpy_function(
            read, [step], (tf.int64, tf.float32, tf.string), stateful=False
        )
        row.set_shape([share])
        draws.set_shape([share, _SAMPLING_DRAWS + NUM_DRAWS])
        record.set_shape([share])
        return row, draws, record

    stop = np.iinfo(np.int64).max if stop_step is None else stop_step
    steps = tf.data.Dataset.range(start_step, stop)
    records = steps.map(read_in_graph, num_parallel_calls=_PARALLEL_READS).unbatch()
    clips = records.map(decode, num_parallel_calls=_PARALLEL_DECODES)
    batches = clips.batch(batch_size, drop_remainder=True)
    return _with_options(batches.prefetch(_PREFETCHED_BATCHES))


def eval_batches(
    dataset: ClipDataset,
    sampling: ClipSampling,
    crop_size: int,
    batch_size: int,
    worker: int = 0,
    num_workers: int = 1,
    replicas: int = 1,
) -> tf.data.Dataset:
    """Every clip once, in index order: central frames, central crop.

    Padding makes all batches full and their number the same on every replica.

    Args:
        dataset: The clips.
        sampling: Which frames are taken.
        crop_size: Side of the crop in pixels.
        batch_size: Clips per replica and step.
        worker: This process, from 0.
        num_workers: All processes of the run.
        replicas: Replicas of this process.

    Returns:
        Batches of `clip`, `label` (the record's own), `index`, `id`, `mask`.
    """
    lookup = LabelLookup(None, len(dataset.info.class_names))
    return _once(
        dataset, sampling, crop_size, batch_size, worker, num_workers, replicas, lookup
    )


def predict_batches(
    dataset: ClipDataset,
    sampling: ClipSampling,
    crop_size: int,
    batch_size: int,
    worker: int = 0,
    num_workers: int = 1,
    replicas: int = 1,
) -> tf.data.Dataset:
    """As `eval_batches`, for clips whose label may be missing or is not looked at.

    Returns:
        Batches of `clip`, `index`, `id`, `mask`.
    """
    return _once(
        dataset, sampling, crop_size, batch_size, worker, num_workers, replicas, None
    )


def _once(
    dataset, sampling, crop_size, batch_size, worker, num_workers, replicas, lookup
) -> tf.data.Dataset:
    rows, mask = padded_rows(len(dataset), batch_size * replicas * num_workers)
    # Batches go to workers and replicas in turn, so that all have equally many.
    share = batch_size * replicas
    mine = (np.arange(len(rows)) // share) % num_workers == worker
    reader = dataset.reader()

    def read(batch_rows):
        return _read(reader, batch_rows)

    def decode(row, mask, record):
        clip = parse_in_graph(record)
        frames = clip["frames"]
        height, width = _frame_size(frames, crop_size, clip["id"])
        window = central_window(height, width, crop_size)
        chosen = sampling.central_frames(tf.size(frames))
        batch = {
            "clip": _decode(frames, chosen, window, sampling, crop_size),
            "index": row,
            "id": clip["id"],
            "mask": mask,
        }
        if lookup is not None:
            batch["label"] = lookup(clip["label"], clip["teacher"], clip["id"])
        return batch

    def read_in_graph(rows, mask):
        record = tf.numpy_function(read, [rows], tf.string, stateful=False)
        record.set_shape(rows.shape)
        return rows, mask, record

    plan = tf.data.Dataset.from_tensor_slices((rows[mine], mask[mine]))
    records = plan.batch(_READ_BATCH).map(
        read_in_graph, num_parallel_calls=_PARALLEL_READS
    )
    clips = records.unbatch().map(decode, num_parallel_calls=_PARALLEL_DECODES)
    batches = clips.batch(batch_size, drop_remainder=True)
    return _with_options(batches.prefetch(_PREFETCHED_BATCHES))


def _read(reader, rows: np.ndarray) -> np.ndarray:
    """Records of index rows, as an object array of bytes."""
    records = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        records[place] = reader.read(row)
    return records


def _frame_size(
    frames: tf.Tensor, crop_size: int, clip_id: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.io.extract_jpeg_shape(frames[0])
    fits = tf.debugging.Assert(
        (shape[0] >= crop_size) & (shape[1] >= crop_size),
        ["clip", clip_id, "has frames of", shape[:2], f"smaller than {crop_size}"],
    )
    with tf.control_dependencies([fits]):
        return tf.identity(shape[0]), tf.identity(shape[1])


def _decode(frames, chosen, window, sampling: ClipSampling, size: int) -> tf.Tensor:
    """Decodes the window of the chosen frames only, uint8 [T, size, size, 3]."""
    images = [
        tf.image.decode_and_crop_jpeg(frames[chosen[step]], window, channels=3)
        for step in range(sampling.num_frames)
    ]
    return tf.ensure_shape(tf.stack(images), [sampling.num_frames, size, size, 3])


def _with_options(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # A pipeline with autotuning waits, when it is closed, for a thread that sleeps up
    # to a minute between its turns.
    options.autotune.enabled = False
    # Sharing out the work is the plan's job, not tf.distribute's.
    policy = tf.data.experimental.AutoShardPolicy.OFF
    options.experimental_distribute.auto_shard_policy = policy
    return batches.with_options(options)
