"""A model at work on every clip of a dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import config_dict

from spl_tf import data, models
from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import RGB, CropSize, modality_of
from spl_tf.distribution.strategies import (
    distribute_batches,
    is_multi_worker,
    spread_batches,
)
from spl_tf.inference.outputs import probabilities_of
from spl_tf.inference.scores import Evaluation, Scores, measure_columns
from spl_tf.progress import Progress
from spl_tf.runs import run_folder


@dataclasses.dataclass(frozen=True)
class Views:
    """How a clip is looked at.

    Attributes:
        sampling: Which frames a view has.
        crop_size: Size of its crop: the side of a square in pixels, or (height, width).
        num_clips: Runs of frames per clip, see `ClipSampling.uniform_frames`.
        num_crops: 1, 3 or 10 crops, see `data.sampling.central_windows`.
        short_side: What a frame's shorter side is scaled to before the crop; 0 takes
            frames as they are stored.
        fully_convolutional: Whether the network classifies every position of a view,
            and its probabilities are averaged; see `models.position_model`.
        on_bad_record: "error", or "skip" to leave the clip out.
        max_bad_records: With "skip", more than this many in a dataset are an error.
        modality: What is seen of it, one of `clips.frame_shape.CHANNELS`.
    """

    sampling: data.ClipSampling
    crop_size: CropSize
    num_clips: int = 1
    num_crops: int = 1
    short_side: int = 0
    fully_convolutional: bool = False
    on_bad_record: str = "error"
    max_bad_records: int = data.MAX_BAD_RECORDS
    modality: str = RGB

    def __post_init__(self):
        data.check_bad_record_options(self.on_bad_record, self.max_bad_records)

    @classmethod
    def of(
        cls,
        settings: Mapping[str, Any],
        crop_size: CropSize | None = None,
        short_side: int | None = None,
        num_frames: int | None = None,
        **options: Any,
    ) -> Views:
        """Views by a run's `config.data`, unless given; the rest is by default."""
        if crop_size is None:
            crop_size = settings.crop_size
        if short_side is None:
            short_side = settings.get("test_short_side", 0)
        sampling = data.ClipSampling.of(settings)
        if num_frames is not None:
            sampling = dataclasses.replace(sampling, num_frames=num_frames)
        look = {"short_side": short_side, "modality": modality_of(settings)}
        return cls(sampling, crop_size, **look, **options)

    def arguments(self) -> dict[str, Any]:
        """What `data.eval_batches` and `data.predict_batches` are to know of them."""
        names = "sampling crop_size num_clips num_crops short_side modality"
        return {name: getattr(self, name) for name in names.split()}

    def of_model(self, model: keras.Model) -> keras.Model:
        """The model as the views want it, for clips of any length and size."""
        if self.fully_convolutional:
            model = models.position_model(model)
        return accept_any_size(model)


def open_run(
    workdir: str, strategy: tf.distribute.Strategy
) -> tuple[config_dict.ConfigDict, list[str], keras.Model]:
    """Opens a finished run; the model takes clips of any length and size."""
    with strategy.scope():
        config, label_names, model = run_folder.load_run(workdir)
    return config, label_names, accept_any_size(model)


def accept_any_size(model: keras.Model) -> keras.Model:
    """Lets a network take clips of other lengths and sizes than it was built for."""
    # No layer depends on the size: the network ends in a mean over time and space.
    model.input_spec = keras.layers.InputSpec(ndim=5, axes={-1: model.input_shape[-1]})
    return model


def forward_batches(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    batches,
    features: bool = False,
    multi_label: bool = False,
    by_view: bool = False,
) -> Iterator[dict[str, np.ndarray]]:
    """Runs the model on batches of every replica of this process, in order.

    Args:
        model: Gives logits, also of every position, or features.
        strategy: Whose devices the model runs on.
        batches: A function from nothing to the dataset of per-replica batches.
        features: Whether the model gives features, not logits.
        multi_label: Whether its logits are of labels on their own.
        by_view: Whether the views of a clip are kept apart.

    Returns:
        The batches without `clip`, as NumPy arrays, and with `probabilities` or, as the
        model gives them, `features`: float32 [B, C], the mean of a clip's views, or
        [B, V, C].
    """
    batches = distribute_batches(strategy, batches)
    return _run(model, strategy, batches, features, multi_label, by_view=by_view)


def _run(
    model,
    strategy,
    batches: Iterable,
    features: bool,
    multi_label: bool,
    gather: bool = False,
    by_view: bool = False,
):
    """What `forward_batches` gives; if gathered, of all processes, without `id`."""

    def replica_forward(clip, index):
        outputs = model(data.unit_pixels(clip), training=False)
        outputs = tf.cast(outputs, tf.float32)
        if not features:
            outputs = probabilities_of(outputs, multi_label)
        if outputs.shape.rank == 5:  # of every position
            outputs = tf.reduce_mean(outputs, axis=[1, 2, 3])
        outputs = tf.reshape(outputs, [index.shape[0], -1, outputs.shape[-1]])
        return outputs if by_view else tf.reduce_mean(outputs, axis=1)

    @tf.function
    def forward(batch):
        # The rest stays where it is: strings have no place on an accelerator.
        outputs = strategy.run(replica_forward, args=(batch["clip"], batch["index"]))
        results = {name: value for name, value in batch.items() if name != "clip"}
        results["features" if features else "probabilities"] = outputs
        return _gather(strategy, results) if gather else results

    with data.plain_bad_records():
        for batch in batches:
            local = {
                name: strategy.experimental_local_results(value)
                for name, value in forward(batch).items()
            }
            for values in zip(*local.values(), strict=True):
                yield {
                    name: value.numpy()
                    for name, value in zip(local, values, strict=True)
                }


def _gather(strategy, results):
    """Hands the results of all replicas to every process; `mask` becomes int32."""
    # Neither strings nor booleans travel.
    mask = strategy.run(tf.cast, args=(results["mask"], tf.int32))
    numbers = results | {"mask": mask}
    del numbers["id"]
    return {name: strategy.gather(value, axis=0) for name, value in numbers.items()}


def evaluate(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    dataset: ClipDataset,
    views: Views,
    batch_size: int,
    multi_label: bool = False,
) -> Evaluation:
    """Measures a model on every clip of a dataset, exactly once each.

    Args:
        model: Network that gives logits.
        strategy: Whose devices it runs on; several processes share the clips, and each
            gets the results of all.
        dataset: The clips, with the classes that the model tells apart.
        views: How each clip is looked at.
        batch_size: Clips per replica and step.
        multi_label: Whether clips have several labels, and all of them count.
    """
    columns = _columns(
        model,
        strategy,
        dataset,
        views,
        batch_size,
        ("index", "label", "probabilities"),
        multi_label=multi_label,
        gather=is_multi_worker(strategy),
    )
    if multi_label:
        columns["label"] = label_rows(dataset, columns["index"])
    names = dataset.info.class_names
    return measure_columns(names, columns["label"], columns["probabilities"])


def label_rows(dataset: ClipDataset, rows: np.ndarray) -> np.ndarray:
    """All labels of some clips, bool [n, C]."""
    return data.several_labels(dataset).rows(rows, len(dataset.info.class_names))


def score(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    dataset: ClipDataset,
    views: Views,
    batch_size: int,
    multi_label: bool = False,
    rows: np.ndarray | None = None,
) -> Scores:
    """Probabilities of every clip of a dataset, exactly once each, in index order.

    Args:
        model: Network that gives logits; see `open_run`.
        strategy: Whose devices it runs on, in one process.
        dataset: The clips, with the classes that the model tells apart.
        views: How each clip is looked at; the mean over its views counts.
        batch_size: Clips per replica; all their views go through the network at once.
        multi_label: Whether clips have several labels, and all of them count.
        rows: int64, the index rows of the clips to score; None for all.

    Raises:
        BadRecordError: A record is bad, or all are that `views` lets be skipped.
    """
    fields = ("index", "id", "label", "probabilities")
    rows, ids, labels, probabilities = _columns(
        model, strategy, dataset, views, batch_size, fields, multi_label, rows=rows
    ).values()
    if multi_label:
        labels = label_rows(dataset, rows)
    ids = np.array([clip_id.decode(errors="replace") for clip_id in ids])
    names = tuple(dataset.info.class_names)
    return Scores(rows, ids, labels, probabilities, class_names=names)


def _columns(
    model,
    strategy,
    dataset,
    views: Views,
    batch_size: int,
    fields: Iterable[str],
    multi_label: bool = False,
    gather: bool = False,
    rows: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Fields of all batches, without padding; see `_run`."""
    parts = {field: [] for field in fields}
    count = len(dataset if rows is None else rows)
    with Progress(count, "clip", "evaluating") as progress:
        batches = _view_batches(strategy, dataset, views, batch_size, rows)
        for batch in _run(model, strategy, batches, False, multi_label, gather):
            mask = batch["mask"].astype(bool)
            for field, arrays in parts.items():
                arrays.append(batch[field][mask])
            progress.update(int(mask.sum()))
    if not any(len(array) for array in parts[next(iter(parts))]):
        raise data.BadRecordError(f"all {count} clips of {dataset.directory} are bad")
    return {field: np.concatenate(arrays) for field, arrays in parts.items()}


def _view_batches(strategy, dataset, views: Views, batch_size, rows) -> Iterable:
    skipped = None
    if views.on_bad_record == "skip":
        skipped = data.SkippedRecords(dataset.directory, views.max_bad_records)

    def make(worker: int, num_workers: int, replicas: int) -> tf.data.Dataset:
        return data.eval_batches(
            dataset,
            batch_size=batch_size,
            worker=worker,
            num_workers=num_workers,
            replicas=replicas,
            skipped=skipped,
            rows=rows,
            **views.arguments(),
        )

    return spread_batches(strategy, make)
