"""Pooled features of clips: what a network's classifier gets to see."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from spl_tf import data
from spl_tf.clips import ClipDataset
from spl_tf.inference.evaluation import Views, forward_batches
from spl_tf.progress import Progress

_BLOCK = 65_536  # clips at a time


class ClipFeatures(NamedTuple):
    """Features of clips.

    Attributes:
        rows: int64 [n], rows of the index, ascending.
        ids: Strings [n], the clips' ids.
        features: float32 [n, D], means over the views, or [n, V, D], of every view.
    """

    rows: np.ndarray
    ids: np.ndarray
    features: np.ndarray


def clip_features(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    dataset: ClipDataset,
    views: Views,
    batch_size: int,
    by_view: bool = False,
) -> ClipFeatures:
    """Features of all clips, without bad records that may be skipped.

    Labels are not looked at.

    Args:
        model: Network that gives features.
        strategy: Whose devices it runs on, in one process.
        dataset: The clips that the model looks at.
        views: How each clip is looked at.
        batch_size: Clips per replica and step.
        by_view: Whether the views of a clip are kept apart.

    Raises:
        BadRecordError: A record is bad, or all are that `views` lets be skipped.
        ValueError: There are no clips, or a feature is not finite.
    """
    skipped = None
    if views.on_bad_record == "skip":
        skipped = data.SkippedRecords(dataset.directory, views.max_bad_records)
    features, ids = None, np.empty(len(dataset), object)
    with Progress(len(dataset), "clip", "features") as progress:
        for part in feature_batches(
            model, strategy, dataset, views, batch_size, by_view, skipped=skipped
        ):
            if features is None:
                shape = (len(dataset), *part.features.shape[1:])
                features = np.empty(shape, np.float32)
            features[part.rows], ids[part.rows] = part.features, part.ids
            progress.update(len(part.rows))
    rows = np.arange(len(dataset))
    if skipped:
        rows = rows[[row not in skipped for row in rows.tolist()]]
        check_any(len(rows), dataset)
        ids, features = ids[rows], features[rows]
    return ClipFeatures(rows, ids, features)


def check_any(clips: int, dataset: ClipDataset) -> None:
    """Raises BadRecordError if no clip is left of a dataset."""
    if not clips:
        raise data.BadRecordError(
            f"all {len(dataset)} clips of {dataset.directory} are bad"
        )


def feature_batches(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    dataset: ClipDataset,
    views: Views,
    batch_size: int,
    by_view: bool = False,
    wanted: np.ndarray | None = None,
    skipped: data.SkippedRecords | None = None,
    features: bool = True,
    multi_label: bool = False,
) -> Iterator[ClipFeatures]:
    """Features of clips as they come, in index order; see `clip_features`.

    Args:
        model: Network that gives features, or logits.
        strategy: Whose devices it runs on, in one process.
        dataset: The clips that the model looks at.
        views: How each clip is looked at.
        batch_size: Clips per replica and step.
        by_view: Whether the views of a clip are kept apart.
        wanted: bool, one per index row: whose features are asked for; None for all.
        skipped: Collects bad records; None for an error. They are among what comes,
            and their features are worth nothing.
        features: Whether the model gives features; else the probabilities of its labels
            take their place.
        multi_label: Whether its logits are of labels on their own.

    Raises:
        BadRecordError: A record is bad, or too many are.
        ValueError: There are no clips, or a feature is not finite.
    """
    batches = functools.partial(
        data.predict_batches,
        dataset,
        batch_size=batch_size,
        replicas=strategy.num_replicas_in_sync,
        wanted=wanted,
        skipped=skipped,
        **views.arguments(),
    )
    what = "features" if features else "probabilities"
    for batch in forward_batches(
        model, strategy, batches, features, multi_label, by_view
    ):
        rows, ids, found = (
            batch[name][batch["mask"]] for name in ("index", "id", what)
        )
        ids = np.array([each.decode(errors="replace") for each in ids], object)
        finite = np.isfinite(found.reshape(len(found), -1)).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"{dataset.directory}: the {what} of clip {ids[finite.argmin()]!r} are "
                "not finite: the network's weights, or its precision, are not usable"
            )
        yield ClipFeatures(rows, ids, found)


def of_length_1(features: np.ndarray) -> np.ndarray:
    """Features divided by their lengths, float32 [n, D]; zeros stay zeros."""
    features = np.array(features, np.float32, order="C")
    for start in range(0, len(features), _BLOCK):
        rows = features[start : start + _BLOCK]
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        rows /= np.maximum(length, np.finfo(np.float32).tiny)
    return features
