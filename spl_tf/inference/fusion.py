"""What several models say about the same clips, put together."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from spl_tf.inference.scores import Scores


def fuse(
    scores: Sequence[Scores], weights: Sequence[float], names: Sequence[str]
) -> Scores:
    """The weighted mean of several models' probabilities (two streams, ensembles).

    Args:
        scores: Each model's scores of the same clips, matched by id.
        weights: Positive weights, one for each; only their ratios count.
        names: What each is called in messages and in the settings.

    Returns:
        Scores of the clips, in the order of the first scores.

    Raises:
        ValueError: A weight is impossible, or clips, classes or labels differ.
    """
    if len(weights) != len(scores):
        raise ValueError(
            f"{len(weights)} weights for {len(scores)} predictions, expected one each"
        )
    for name, weight in zip(names, weights, strict=True):
        if not 0 < weight < np.inf:
            raise ValueError(f"the weight of {name} is {weight:g}, expected above 0")
    check_same_clips(scores, names)
    first, total = scores[0], sum(weights)
    fused = np.zeros(first.probabilities.shape)
    for each, weight in zip(scores, weights, strict=True):
        places = _places(first.ids, each.ids)
        fused += np.float64(weight / total) * each.probabilities[places]
    parts = [
        {"predictions": name, "weight": weight, "settings": each.settings}
        for name, weight, each in zip(names, weights, scores, strict=True)
    ]
    return dataclasses.replace(
        first, probabilities=fused.astype(np.float32), settings={"fusion": parts}
    )


def check_same_clips(scores: Sequence[Scores], names: Sequence[str]) -> None:
    """Checks that scores are of the same clips, classes and labels; in any order.

    Args:
        scores: Each model's scores, one at least.
        names: What each is called in messages.

    Raises:
        ValueError: The message names the first class or clip that differs from those of
            the first scores, or that is there twice.
    """
    for name, each in zip(names, scores, strict=True):
        ids, counts = np.unique(each.ids, return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"{name} has clip {str(ids[counts.argmax()])!r} {counts.max()} times, "
                "expected each once"
            )
        _check_classes(scores[0], each, names[0], name)
        _check_ids(scores[0], each, names[0], name)
        _check_ids(each, scores[0], name, names[0])
        _check_labels(scores[0], each, names[0], name)


def _check_classes(first: Scores, second: Scores, name: str, other: str) -> None:
    pairs = itertools.zip_longest(first.class_names, second.class_names)
    for number, (ours, theirs) in enumerate(pairs):
        if ours != theirs:
            raise ValueError(
                f"class {number} is {ours!r} in {name} and {theirs!r} in {other}; "
                "names and order must be the same"
            )


def _check_ids(first: Scores, second: Scores, name: str, other: str) -> None:
    missing = np.setdiff1d(first.ids, second.ids)
    if len(missing):
        raise ValueError(
            f"clip {str(missing[0])!r} of {name} is not in {other} ({len(missing)} "
            "such clips); both must be of the same clips"
        )


def _check_labels(first: Scores, second: Scores, name: str, other: str) -> None:
    labels = second.labels[_places(first.ids, second.ids)]
    if labels.ndim != first.labels.ndim:
        raise ValueError(
            f"clips have one label in one of {name} and {other}, and several in the "
            "other; both must be of one kind"
        )
    differ = (labels != first.labels).reshape(len(labels), -1).any(axis=1)
    if differ.any():
        raise ValueError(
            f"clip {str(first.ids[differ.argmax()])!r} has other labels in {other} "
            f"than in {name}; both must be of one dataset"
        )


def _places(ids: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where each id is among the same ids in another order, int64 [n]."""
    order = np.argsort(among)
    return order[np.searchsorted(among, ids, sorter=order)]
