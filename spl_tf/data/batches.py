"""tf.data pipelines: index rows -> records -> decoded crops -> labels -> batches.

A batch is a dictionary:

- `clip`: uint8 [B, T, H, W, C], RGB; with V clips of an item [B * V, T, H, W, C], those
  of an item next to each other, and `draws` likewise;
- `label`: int32 [B]; or multi-hot rows, float32 [B, C];
- `index`: int64 [B], the clip's row in the index, stable over runs;
- `id`: string [B];
- `draws`: float32 [B, 4], uniform in [0, 1), for `augment` (training);
- `mix`, `partner`, `partner_label`: float32, int32, int32 [B], with which weight each
  item is mixed with which other of the batch, and that one's label (training with
  mixup);
- `mask`: bool [B], False for padding (evaluation and prediction);
- `source`: int32 [B], which dataset, where several are mixed.
"""

from __future__ import annotations

import concurrent.futures
import functools
import weakref
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf
from scipy import special

from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import CropSize
from spl_tf.cores import usable_cores
from spl_tf.data.bad_records import SkippedRecords
from spl_tf.data.closing import ends_in_time
from spl_tf.data.decoding import ClipBuffers, ClipLoader, View
from spl_tf.data.device.augmentation import NUM_DRAWS
from spl_tf.data.label_lookup import LabelLookup
from spl_tf.data.plan import padded_rows
from spl_tf.data.records import BadRecordError
from spl_tf.data.sampling import ClipSampling, scored_windows
from spl_tf.data.sources import TrainClips, TrainInput

# Decoding JPEGs of up to this many bytes takes less time than the Python around it, of
# which the interpreter runs one thread at a time: a second thread makes it 0.6 times as
# fast at 1.5 kB, 0.8 at 3.2 kB and 1.1 at 6.6 kB.
_ONE_THREAD_BYTES = 5000
_PREFETCHED_BATCHES = 2
_RECORD_FIELDS = ("id", "label", "teacher")  # as `ClipLoader.load` gives them


def train_batches(
    source: TrainInput | Sequence[TrainInput],
    batch_size: int | Sequence[int],
    start_step: int = 0,
    stop_step: int | None = None,
    worker: int = 0,
    num_workers: int = 1,
    replicas: int = 1,
) -> tf.data.Dataset:
    """Training batches, the same whatever was read before.

    Args:
        source: What to train on. Several are mixed: each batch holds clips of all, in
            their order, and says in `source` which they are from.
        batch_size: Clips per replica and step; of several sources, one number each.
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

    Raises:
        ValueError: A dataset has no clips to train on, or does not fit its label map.
    """
    sources = [source] if isinstance(source, TrainInput) else list(source)
    sizes = [batch_size] if isinstance(batch_size, int) else list(batch_size)
    plan = _TrainBatches(sources, sizes, worker, num_workers, replicas)
    stop = np.iinfo(np.int64).max if stop_step is None else stop_step * replicas
    return _in_order(plan, start_step * replicas, stop)


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
        dataset: The clips.
        sampling: Which frames are taken; `PAPER_EVALUATION` for the paper's protocol.
        crop_size: Of the crop: the side of a square in pixels, or (height, width).
        batch_size: Clips per replica and step.
        worker: This process, from 0.
        num_workers: All processes of the run.
        replicas: Replicas of this process.
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
    return _in_order(plan, 0, plan.num_batches)


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
        dataset: The clips; each comes once.
        sampling: Which frames are taken.
        crop_size: Of the crop: the side of a square in pixels, or (height, width).
        batch_size: Clips per replica and step.
        worker: This process, from 0.
        num_workers: All processes of the run.
        replicas: Replicas of this process.
        num_clips: Runs of frames per clip.
        num_crops: 1 or 3.
        short_side: See `eval_batches`.
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
    return _in_order(plan, 0, plan.num_batches)


def _check_place(batch_sizes, worker: int, num_workers: int, replicas: int) -> None:
    """Raises for a batch size, or a place among workers, that is impossible."""
    if min(batch_sizes) < 1 or replicas < 1 or not 0 <= worker < num_workers:
        raise ValueError(
            f"batch size {min(batch_sizes)}, worker {worker} of {num_workers}, "
            f"{replicas} replicas: expected 1 or more clips and replicas, and a worker "
            "from 0 to below their number"
        )


class _TrainBatches:
    """The numbered batches of a run: replica r's of step n is n * replicas + r."""

    def __init__(self, sources, sizes, worker, num_workers, replicas):
        _check_place(sizes, worker, num_workers, replicas)
        if len(sources) != len(sizes):
            raise ValueError(f"{len(sources)} sources have {len(sizes)} batch sizes")
        self._parts = [
            TrainClips(source, size, num_workers * replicas)
            for source, size in zip(sources, sizes, strict=True)
        ]
        if len({part.item_shape for part in self._parts}) > 1:
            raise ValueError(
                "mixed sources must have the same num_frames and crop_size, and as "
                "many clips of an item"
            )
        views, *clip_shape = self._parts[0].item_shape
        self._sizes = sizes
        self._first_replica, self._replicas = worker * replicas, replicas
        self.spec = _record_spec(sum(sizes)) | {
            "clip": tf.TensorSpec([sum(sizes) * views, *clip_shape], tf.uint8),
            "index": tf.TensorSpec([sum(sizes)], tf.int64),
            "draws": tf.TensorSpec([sum(sizes) * views, NUM_DRAWS], tf.float32),
            "label_draw": tf.TensorSpec([sum(sizes)], tf.float32),
        }
        self._mixup = [source.mixup for source in sources]
        if any(self._mixup):
            self.spec["mix"] = tf.TensorSpec([sum(sizes)], tf.float32)
        self._buffers = ClipBuffers(sum(sizes), views, *clip_shape)
        self.threads, self._map = _decoding([source.dataset for source in sources])

    def load(self, number: int) -> dict[str, np.ndarray]:
        """Reads and decodes a batch."""
        step, replica = divmod(number, self._replicas)
        clip = self._buffers.take()
        jobs, first = [], 0
        for part, size in zip(self._parts, self._sizes, strict=True):
            out = clip[first : first + size]
            jobs += part.jobs(step, self._first_replica + replica, out)
            first += size
        found = zip(*self._map(lambda job: job(), jobs), strict=True)
        names = (*_RECORD_FIELDS, "index", "draws", "mix", "label_draw")
        columns = dict(zip(names, found, strict=True))
        columns["mix"] = mixing_weights(
            np.asarray(columns["mix"]), np.repeat(self._mixup, self._sizes)
        )
        columns["draws"] = np.concatenate(columns["draws"])
        return columns | {"clip": clip.reshape(self.spec["clip"].shape)}

    def finish(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Looks the labels up, in the graph."""
        fields = [batch.pop(name) for name in ("label", "teacher")]
        fields += [batch["id"], batch["index"], batch.pop("label_draw")]
        columns = [tf.split(field, self._sizes) for field in fields]
        labels = [
            part.look_up(*column)
            for part, *column in zip(self._parts, *columns, strict=True)
        ]
        batch["label"] = tf.concat(labels, axis=0)
        if len(labels) > 1:
            batch["source"] = tf.repeat(tf.range(len(labels)), self._sizes)
        if "mix" in batch:
            places = np.split(np.arange(sum(self._sizes)), np.cumsum(self._sizes)[:-1])
            partner = np.concatenate([each[::-1] for each in places])
            batch["partner"] = tf.constant(partner, tf.int32)
            batch["partner_label"] = tf.gather(batch["label"], partner)
        return batch


def mixing_weights(draws: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Weights of mixup, one per item, distributed as Beta(alpha, alpha).

    Args:
        draws: [B], uniform in [0, 1).
        alphas: [B], 0 for an item that stays as it is: its weight is 1.

    Returns:
        float32 [B], in [0, 1].
    """
    mixed = alphas > 0
    weights = np.ones(len(draws), np.float32)
    weights[mixed] = special.betaincinv(alphas[mixed], alphas[mixed], draws[mixed])
    return weights


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
        _check_place([size], worker, num_workers, replicas)
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
        self.threads, self._map = _decoding([dataset])
        self.spec = _record_spec(size) | {
            "clip": tf.TensorSpec([size * shape[0], *shape[1:]], tf.uint8),
            "index": tf.TensorSpec([size], tf.int64),
            "mask": tf.TensorSpec([size], tf.bool),
        }

    def load(self, number: int) -> dict[str, np.ndarray]:
        """Reads and decodes a batch."""
        clip = self._buffers.take()
        rows, mask = self._rows[number], self._mask[number]
        found = list(self._map(self._load, rows, clip))
        if self._lookup is not None:
            mask = mask & [record is not None for record in found]
        found = zip(*(record or (b"", 0, 0) for record in found), strict=True)
        return dict(zip(_RECORD_FIELDS, found, strict=True)) | {
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


def _record_spec(size: int) -> dict[str, tf.TensorSpec]:
    dtypes = (tf.string, tf.int64, tf.int64)
    return {
        name: tf.TensorSpec([size], dtype)
        for name, dtype in zip(_RECORD_FIELDS, dtypes, strict=True)
    }


def _decoding(datasets: Sequence[ClipDataset]) -> tuple[int, Callable[..., Iterable]]:
    """How many threads decode, and what maps a function over the clips of a batch."""
    num_bytes = sum(int(dataset.index.length.sum()) for dataset in datasets)
    frames = sum(int(dataset.index.frames.sum()) for dataset in datasets)
    if num_bytes <= _ONE_THREAD_BYTES * frames:
        return 0, map
    return usable_cores(), _decoders().map


@functools.cache
def _decoders() -> concurrent.futures.ThreadPoolExecutor:
    """The threads that decode, one per core for all pipelines of the process."""
    return concurrent.futures.ThreadPoolExecutor(usable_cores(), "decode")


def _in_order(
    plan: _TrainBatches | _ScoringBatches, start: int, stop: int
) -> tf.data.Dataset:
    """Loads numbered batches in parallel and hands them over in order."""
    # TensorFlow never lets go of what `numpy_function` calls; the dataset holds the
    # plan, by `load_in_graph`.
    weak_plan = weakref.ref(plan)

    def load(number):
        with ends_in_time():
            columns = weak_plan().load(int(number))
            return [_column(columns[name], spec) for name, spec in specs.items()]

    specs = plan.spec

    @tf.autograph.experimental.do_not_convert  # it has none to convert, and takes long
    def load_in_graph(number):
        dtypes = [spec.dtype for spec in specs.values()]
        columns = tf.numpy_function(load, [number], dtypes, stateful=False)
        batch = {
            name: tf.ensure_shape(column, spec.shape)
            for (name, spec), column in zip(specs.items(), columns, strict=True)
        }
        return plan.finish(batch)

    # While the last clips of one batch are decoded, the next one has begun; batches
    # smaller than the pool need more at a time to keep it busy. Without a pool the call
    # itself decodes.
    calls = 1 + -(-plan.threads // specs["id"].shape[0])
    numbers = tf.data.Dataset.range(start, stop)
    batches = numbers.map(load_in_graph, num_parallel_calls=calls)
    options = tf.data.Options()
    options.deterministic = True
    # A pipeline with autotuning waits, when it is closed, for a thread that sleeps up
    # to a minute between its turns.
    options.autotune.enabled = False
    # A call waits for its clips and keeps its thread; TensorFlow's own pool has one
    # per core, and they are for computing.
    options.threading.private_threadpool_size = calls + 1
    # Sharing out the work is the plan's job, not tf.distribute's.
    policy = tf.data.experimental.AutoShardPolicy.OFF
    options.experimental_distribute.auto_shard_policy = policy
    return batches.prefetch(_PREFETCHED_BATCHES).with_options(options)


def _column(values, spec: tf.TensorSpec) -> np.ndarray:
    # As bytes: NumPy's own strings would lose zeros at their end.
    dtype = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
    return np.asarray(values, dtype)
