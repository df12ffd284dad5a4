"""tf.data pipelines: index rows -> records -> decoded crops -> labels -> batches.

A batch is a dictionary:

- `clip`: uint8 [B, T, H, W, C], RGB, or flow as `FlowFrames` has it; with V clips of an
  item [B * V, T, H, W, C], those of an item next to each other, and `draws` likewise;
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

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from scipy import special

from spl_tf.data.decoding import ClipBuffers
from spl_tf.data.device.augmentation import NUM_DRAWS
from spl_tf.data.numbered_batches import (
    RECORD_FIELDS,
    check_place,
    decoding,
    in_order,
    record_spec,
)
from spl_tf.data.plan import uniform_draws
from spl_tf.data.sources import TrainInput
from spl_tf.data.train_clips import TrainClips


def train_batches(
    source: TrainInput | Sequence[TrainInput],
    batch_size: int | Sequence[int],
    start_step: int = 0,
    stop_step: int | None = None,
    worker: int = 0,
    num_workers: int = 1,
    replicas: int = 1,
    mixup_across: float = 0.0,
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
        worker: Number of this process, from 0.
        num_workers: Number of all processes of the run.
        replicas: Number of this process's replicas; they get one batch each per step,
            in turn.
        mixup_across: Alpha of the Beta distribution of one weight per batch, with which
            its clips, of whatever source, are mixed with themselves in a random order
            (OmniSource, 3.6); 0 for what each source says itself.

    Returns:
        Batches of `clip`, `label`, `index`, `id`, `draws`.

    Raises:
        ValueError: A dataset has no clips to train on, or does not fit its label map.
    """
    sources = [source] if isinstance(source, TrainInput) else list(source)
    sizes = [batch_size] if isinstance(batch_size, int) else list(batch_size)
    place = (worker, num_workers, replicas)
    plan = _TrainBatches(sources, sizes, place, mixup_across)
    stop = np.iinfo(np.int64).max if stop_step is None else stop_step * replicas
    return in_order(plan, start_step * replicas, stop)


class _TrainBatches:
    """The numbered batches of a run: replica r's of step n is n * replicas + r."""

    def __init__(self, sources, sizes, place, mixup_across):
        worker, num_workers, replicas = place
        check_place(sizes, worker, num_workers, replicas)
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
        self.spec = record_spec(sum(sizes)) | {
            "clip": tf.TensorSpec([sum(sizes) * views, *clip_shape], tf.uint8),
            "index": tf.TensorSpec([sum(sizes)], tf.int64),
            "draws": tf.TensorSpec([sum(sizes) * views, NUM_DRAWS], tf.float32),
            "label_draw": tf.TensorSpec([sum(sizes)], tf.float32),
        }
        self._mixup = [source.mixup for source in sources]
        self._across, self._seed = mixup_across, sources[0].seed
        if mixup_across and any(self._mixup):
            raise ValueError("clips are mixed across sources or within, not both")
        if mixup_across:
            self.spec["partner"] = tf.TensorSpec([sum(sizes)], tf.int32)
        if mixup_across or any(self._mixup):
            self.spec["mix"] = tf.TensorSpec([sum(sizes)], tf.float32)
        self._buffers = ClipBuffers(sum(sizes), views, *clip_shape)
        self.threads, self._map = decoding([source.dataset for source in sources])

    def load(self, number: int) -> dict[str, np.ndarray]:
        """Reads and decodes a batch: the arrays that `finish` takes, by name."""
        step, replica = divmod(number, self._replicas)
        clip = self._buffers.take()
        jobs, first = [], 0
        for part, size in zip(self._parts, self._sizes, strict=True):
            out = clip[first : first + size]
            jobs += part.jobs(step, self._first_replica + replica, out)
            first += size
        found = zip(*self._map(lambda job: job(), jobs), strict=True)
        names = (*RECORD_FIELDS, "index", "draws", "mix", "label_draw")
        columns = dict(zip(names, found, strict=True))
        columns["mix"] = mixing_weights(
            np.asarray(columns["mix"]), np.repeat(self._mixup, self._sizes)
        )
        columns["draws"] = np.concatenate(columns["draws"])
        if self._across:
            columns |= self._pairs(step, self._first_replica + replica)
        return columns | {"clip": clip.reshape(self.spec["clip"].shape)}

    def _pairs(self, step: int, part: int) -> dict[str, np.ndarray]:
        """Partners in a random order and their weight, for one part of a step."""
        size = sum(self._sizes)
        # In epochs that no clip's own draws are of.
        epoch, place = np.array([-2 - step]), np.array([part])
        draws = uniform_draws(self._seed, epoch, place, size + 1)[0]
        weight = mixing_weights(draws[size:], np.array([self._across]))
        order = np.argsort(draws[:size], kind="stable")
        return {"partner": order, "mix": weight.repeat(size)}

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
        if "mix" in batch and not self._across:
            places = np.split(np.arange(sum(self._sizes)), np.cumsum(self._sizes)[:-1])
            partner = np.concatenate([each[::-1] for each in places])
            batch["partner"] = tf.constant(partner, tf.int32)
        if "mix" in batch:
            batch["partner_label"] = tf.gather(batch["label"], batch["partner"])
        return batch


def mixing_weights(draws: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Weights of mixup, one per item, distributed as Beta(alpha, alpha).

    Args:
        draws: Numbers [B], uniform in [0, 1).
        alphas: Numbers [B], 0 for an item that stays as it is: its weight is 1.

    Returns:
        float32 [B] in [0, 1], the weight of the item itself.
    """
    mixed = alphas > 0
    weights = np.ones(len(draws), np.float32)
    weights[mixed] = special.betaincinv(alphas[mixed], alphas[mixed], draws[mixed])
    return weights
