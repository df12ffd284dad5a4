"""Scores of every clip of a dataset, and the metrics made from them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import config_dict

from spl_tf import data
from spl_tf.clips import ClipDataset
from spl_tf.labels import storage
from spl_tf.metrics import EvaluationConfusion, MeanAveragePrecision, TopKAccuracy
from spl_tf.progress import Progress
from spl_tf.training import runs
from spl_tf.training.strategies import distribute_batches, spread_batches

_KIND = "scores"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Views:
    """How a clip is looked at.

    Attributes:
        sampling: Which frames a view has.
        crop_size: Side of its crop in pixels.
        num_clips: Runs of frames, see `ClipSampling.uniform_frames`.
        num_crops: 1, the centre, or 3 along the longer side.
    """

    sampling: data.ClipSampling
    crop_size: int
    num_clips: int = 1
    num_crops: int = 1


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a model says about every clip of a dataset: all that metrics need.

    Attributes:
        rows: int64 [n], the clips' rows in the index, ascending.
        ids: Strings [n].
        labels: int32 [n] in [0, C), the records' own.
        probabilities: float32 [n, C].
        class_names: C names.
        settings: How the scores were made, as JSON can hold it.
    """

    rows: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    class_names: tuple[str, ...]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a `.npz` file of the attributes; `settings` is in its header."""
        arrays = {
            "rows": self.rows,
            "ids": self.ids,
            "labels": self.labels,
            "probabilities": self.probabilities,
            "class_names": np.array(self.class_names),
        }
        storage.save(path, _KIND, _VERSION, {"settings": self.settings}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Scores:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: Nothing is there.
            ValueError: The file is damaged, or something else.
        """
        header, arrays = storage.load(path, _KIND, _VERSION)
        found = {name: array.shape for name, array in arrays.items()}
        clips = found.get("rows", (0,))[:1]
        classes = found.get("class_names", (0,))[:1]
        expected = {
            "rows": clips,
            "ids": clips,
            "labels": clips,
            "probabilities": clips + classes,
            "class_names": classes,
        }
        if found != expected:
            raise ValueError(f"{path} has arrays {found}, expected {expected}")
        names = tuple(arrays.pop("class_names").tolist())
        return cls(**arrays, class_names=names, settings=header["settings"])


@dataclasses.dataclass(frozen=True)
class ClassResult:
    """A line of the per-class table.

    Attributes:
        name: Of the class.
        clips: How many have this label.
        predicted: Of how many clips it is the first choice.
        accuracy: Share of its clips whose first choice it is; None without clips.
        average_precision: None without clips.
        taken_for: The other class that its clips are most often taken for; "" if none.
        times: How often that is.
    """

    name: str
    clips: int
    predicted: int
    accuracy: float | None
    average_precision: float | None
    taken_for: str
    times: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All metrics of some scores.

    Attributes:
        metrics: `clips`, and in [0, 1] `top_1`, `top_5`, `mean_class_accuracy`, `mAP`.
        classes: In index order.
        confusion: int64 [C, C], row = label, column = first choice.
    """

    metrics: dict[str, float]
    classes: tuple[ClassResult, ...]
    confusion: np.ndarray


def open_run(
    workdir: str, strategy: tf.distribute.Strategy
) -> tuple[config_dict.ConfigDict, list[str], keras.Model]:
    """As `runs.load_run`, with a model that takes clips of any length and size."""
    with strategy.scope():
        config, label_names, model = runs.load_run(workdir)
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
) -> Iterator[dict[str, np.ndarray]]:
    """Runs the model on batches of every replica of this process, in order.

    Args:
        model: Gives logits, or features.
        strategy: Where it runs.
        batches: A function from nothing to the dataset of per-replica batches.
        features: Whether the model gives features.

    Returns:
        The batches without `clip`, as NumPy arrays, and with `probabilities` or, as the
        model gives them, `features`: float32 [B, C], the mean of a clip's views.
    """
    return _run(model, strategy, distribute_batches(strategy, batches), features)


def _run(model, strategy, batches: Iterable, features: bool, gather: bool = False):
    """As `forward_batches`; gathered, the results of all processes, without `id`."""

    def replica_forward(clip, index):
        outputs = model(data.normalize(clip), training=False)
        outputs = tf.cast(outputs, tf.float32)
        if not features:
            outputs = tf.nn.softmax(outputs)
        by_clip = [index.shape[0], -1, outputs.shape[-1]]
        return tf.reduce_mean(tf.reshape(outputs, by_clip), axis=1)

    @tf.function
    def forward(batch):
        # The rest stays where it is: strings have no place on an accelerator.
        outputs = strategy.run(replica_forward, args=(batch["clip"], batch["index"]))
        results = {name: value for name, value in batch.items() if name != "clip"}
        results["features" if features else "probabilities"] = outputs
        return _gather(strategy, results) if gather else results

    for batch in batches:
        local = {
            name: strategy.experimental_local_results(value)
            for name, value in forward(batch).items()
        }
        for values in zip(*local.values(), strict=True):
            yield {
                name: value.numpy() for name, value in zip(local, values, strict=True)
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
    sampling: data.ClipSampling,
    crop_size: int,
    batch_size: int,
) -> dict[str, float]:
    """Top-1 and top-5 accuracy on every clip of a dataset, exactly once each.

    Args:
        model: Gives logits.
        strategy: Where it runs; of several processes, each gets the same result.
        dataset: Of the model's classes.
        sampling: Which frames are looked at.
        crop_size: Side of the central crop.
        batch_size: Clips per replica.

    Returns:
        `top_1` and `top_5`, shares in [0, 1].
    """
    accuracy = TopKAccuracy()
    batches = _view_batches(strategy, dataset, Views(sampling, crop_size), batch_size)
    # Then every process counts the clips of all.
    gather = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    for batch in _run(model, strategy, batches, features=False, gather=gather):
        mask = batch["mask"].astype(bool)
        accuracy.update(batch["label"], batch["probabilities"], mask)
    return accuracy.result()


def score(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    dataset: ClipDataset,
    views: Views,
    batch_size: int,
) -> Scores:
    """Probabilities of every clip of a dataset, the mean over its views.

    Args:
        model: Gives logits; see `open_run`.
        strategy: Where it runs, in one process.
        dataset: Of the model's classes.
        views: How each clip is looked at.
        batch_size: Clips per replica; all their views go through the network at once.
    """
    columns = collect(model, strategy, dataset, views, batch_size)
    return Scores(**columns, class_names=tuple(dataset.info.class_names))


def collect(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    dataset: ClipDataset,
    views: Views,
    batch_size: int,
    features: bool = False,
) -> dict[str, np.ndarray]:
    """Outputs of a model for every clip of a dataset, exactly once each.

    Args:
        model: See `forward_batches`.
        strategy: Where it runs, in one process.
        dataset: The clips.
        views: How each clip is looked at.
        batch_size: Clips per replica.
        features: See `forward_batches`.

    Returns:
        In index order, `rows` int64 [n], `ids` strings [n], `labels` int32 [n], and
        `probabilities` or `features`, float32 [n, C].
    """
    output = "features" if features else "probabilities"
    fields = {"rows": "index", "ids": "id", "labels": "label", output: output}
    parts = {column: [] for column in fields}
    with Progress(len(dataset), "clip", "evaluating") as progress:
        batches = _view_batches(strategy, dataset, views, batch_size)
        for batch in _run(model, strategy, batches, features):
            mask = batch["mask"]
            for column, field in fields.items():
                parts[column].append(batch[field][mask])
            progress.update(int(mask.sum()))
    columns = {column: np.concatenate(arrays) for column, arrays in parts.items()}
    ids = [clip_id.decode(errors="replace") for clip_id in columns["ids"]]
    return columns | {"ids": np.array(ids)}


def _view_batches(strategy, dataset, views: Views, batch_size: int) -> Iterable:
    def make(worker: int, num_workers: int, replicas: int) -> tf.data.Dataset:
        return data.eval_batches(
            dataset,
            views.sampling,
            views.crop_size,
            batch_size,
            worker=worker,
            num_workers=num_workers,
            replicas=replicas,
            num_clips=views.num_clips,
            num_crops=views.num_crops,
        )

    return spread_batches(strategy, make)


def measure(scores: Scores, exclude: Sequence[str] = ()) -> Evaluation:
    """Computes all metrics.

    Args:
        scores: Of a dataset's clips.
        exclude: Classes left out of mAP, as SoccerNet's background.

    Raises:
        ValueError: A name in exclude is unknown, no clip is of a class that counts, a
            label is out of range, or a probability is not finite.
    """
    names = scores.class_names
    accuracy, confusion = TopKAccuracy(), EvaluationConfusion(names)
    precision = MeanAveragePrecision(names, exclude)
    for metric in (accuracy, confusion, precision):
        metric.update(scores.labels, scores.probabilities)
    metrics = {"clips": accuracy.count}
    for metric in (accuracy, confusion, precision):
        metrics |= metric.result()
    recall, average = confusion.class_accuracy(), precision.class_average_precision()
    counts = confusion.counts
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    classes = []
    for index, name in enumerate(names):
        other = int(mistakes[index].argmax())
        times = int(mistakes[index, other])
        classes.append(
            ClassResult(
                name=name,
                clips=int(counts[index].sum()),
                predicted=int(counts[:, index].sum()),
                accuracy=_none_if_nan(recall[name]),
                average_precision=_none_if_nan(average[name]),
                taken_for=names[other] if times else "",
                times=times,
            )
        )
    return Evaluation(metrics, tuple(classes), counts)


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else value
