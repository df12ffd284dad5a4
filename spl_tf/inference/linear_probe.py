"""Logistic regression on frozen features (fc-only evaluation; IG-65M, section 4).

The network's pooled features are standardised with the mean and deviation of the
training clips. The strength of the L2 penalty is chosen on a tenth of the training
clips that is held out; then the regression is fitted to all of them. Where clips have
several labels it is one per label, and mean average precision chooses the strength.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from scipy import optimize, special

from spl_tf import data
from spl_tf.clips import ClipDataset
from spl_tf.inference.evaluation import Views, accept_any_size, label_rows
from spl_tf.inference.features import ClipFeatures, clip_features
from spl_tf.inference.scores import Scores
from spl_tf.metrics import MeanAveragePrecision
from spl_tf.models import feature_model

# Of the penalty strength/2 * ||kernel||^2 beside the mean loss of a clip; strong ones
# first, so that each fit starts close to its end.
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
FindFeatures = Callable[..., ClipFeatures | None]
_HELD_OUT = 10  # every tenth
_MAX_ITERATIONS = 1000
_TOLERANCE = 1e-6  # of the largest part of the gradient


@dataclasses.dataclass(frozen=True)
class LinearProbe:
    """A classifier on features.

    Attributes:
        mean: float64 [D], of the training features.
        scale: float64 [D], their standard deviation, 1 where it is 0.
        weights: float64 [D + 1, C], on standardised features; the last row is the bias.
        strength: The weight of the penalty on the kernel.
        held_out: What was measured on the held-out tenth, in [0, 1], by strength.
        multi_label: Whether each class is told on its own.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    strength: float
    held_out: dict[float, float]
    multi_label: bool = False

    @property
    def metric(self) -> str:
        """What `held_out` is, as `Evaluation.metrics` calls it."""
        return "mAP" if self.multi_label else "top_1"

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Returns float32 [n, C] for features [n, D]."""
        logits = _logits((features - self.mean) / self.scale, self.weights)
        found = (
            special.expit(logits)
            if self.multi_label
            else special.softmax(logits, axis=1)
        )
        return found.astype(np.float32)


def score_linear(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    train: ClipDataset,
    test: ClipDataset,
    views: Views,
    batch_size: int,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    find: FindFeatures = clip_features,
) -> tuple[Scores, LinearProbe] | None:
    """Trains a classifier on the features of one dataset and scores another with it.

    A training clip is seen in its central view. The features of a test clip are the
    mean over its views; as the classifier is linear, so are its logits.

    Args:
        model: Network of a run on any classes; its head is not used.
        strategy: Whose devices it runs on, in one process.
        train: The clips to learn from.
        test: The clips to score, of the same classes.
        views: How each test clip is looked at.
        batch_size: Clips per replica and step.
        seed: Decides which clips are held out to choose the strength.
        strengths: Strengths to choose from, see `fit_probe`.
        find: Gives the features, as `clip_features` does; None where others are still
            to find some.

    Returns:
        The scores, and what gives them; None without all features.

    Raises:
        ValueError: The datasets have different classes, a label is none of them,
            there are too few clips, or a strength is impossible.
    """
    if train.info.class_names != test.info.class_names:
        raise ValueError(
            f"{train.directory} and {test.directory} have different classes; names and "
            "order must be the same"
        )
    _check_strengths(strengths)
    multi_label = any(map(_has_several, (train, test)))
    check = data.several_labels if multi_label else data.check_one_label
    for each in (train, test):
        check(each)
    with strategy.scope():
        network = accept_any_size(feature_model(model))
    central = dataclasses.replace(views, num_clips=1, num_crops=1)
    known = find(network, strategy, train, central, batch_size)
    found = find(network, strategy, test, views, batch_size)
    if known is None:  # the others may have come that far meanwhile
        known = find(network, strategy, train, central, batch_size)
    if known is None or found is None:
        return None
    names = tuple(test.info.class_names)
    known_labels, labels = (
        label_rows(each, rows) if multi_label else each.index.label[rows]
        for each, rows in ((train, known.rows), (test, found.rows))
    )
    probe = fit_probe(known.features, known_labels, len(names), seed, strengths)
    probabilities = probe.probabilities(found.features)
    ids = found.ids.astype(str)
    return Scores(found.rows, ids, labels, probabilities, names), probe


def _has_several(dataset: ClipDataset) -> bool:
    """Whether a clip of the dataset has more than one label."""
    # An index of before there were several does not say, and the record's first counts.
    splits = dataset.index.added.get("label_splits", ())
    return bool((np.diff(splits) > 1).any())


def _check_strengths(strengths: Sequence[float]) -> None:
    for strength in strengths:
        if not 0 < strength < math.inf:
            raise ValueError(
                f"the strength of the penalty is {strength:g}, expected a number "
                f"above 0, such as {', '.join(f'{each:g}' for each in STRENGTHS)}"
            )


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
) -> LinearProbe:
    """Standardises features, chooses the strength, and fits.

    Args:
        features: float32 [n, D], a row per clip.
        labels: Integers [n] in [0, num_classes), or multi-hot rows, bool [n, C].
        num_classes: C, the number of classes.
        seed: Decides which clips are held out to choose the strength.
        strengths: Strengths to choose from, by top-1 accuracy or, of several labels,
            mAP; where these are equal the first is taken.

    Raises:
        ValueError: There are fewer than two clips.
    """
    multi_label = labels.ndim == 2
    held_out = choose_held_out(_rarest(labels) if multi_label else labels, seed)
    features = features.astype(np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    features -= mean
    features /= scale
    quality, weights = {}, None
    fitted, its_labels = features[~held_out], labels[~held_out]
    for strength in strengths:
        weights = fit_logistic_regression(
            fitted, its_labels, num_classes, strength, weights
        )
        logits = _logits(features[held_out], weights)
        quality[strength] = _quality(logits, labels[held_out])
    chosen = max(quality, key=quality.get)
    weights = fit_logistic_regression(features, labels, num_classes, chosen, weights)
    return LinearProbe(mean, scale, weights, chosen, quality, multi_label)


def _rarest(labels: np.ndarray) -> np.ndarray:
    """The rarest label of each multi-hot row, int64 [n]; of equals the lower."""
    return np.where(labels, labels.sum(axis=0), len(labels) + 1).argmin(axis=1)


def choose_held_out(labels: np.ndarray, seed: int) -> np.ndarray:
    """Chooses a tenth of the clips at random, a tenth of each class.

    Args:
        labels: Integers [n], the clips' classes.
        seed: Decides which clips of a class are taken.

    Returns:
        bool [n], at least one of each value; per class a tenth of its clips, rounded
        up or down.

    Raises:
        ValueError: There are fewer than two clips.
    """
    if len(labels) < 2:
        raise ValueError(f"{len(labels)} clips to train on, expected 2 or more")
    random = np.random.default_rng(seed)
    # Every tenth of all clips in class order: classes of few clips share their tenth.
    by_class = np.lexsort((random.random(len(labels)), labels))
    start = random.integers(min(_HELD_OUT, len(labels)))
    chosen = np.zeros(len(labels), bool)
    chosen[by_class[start::_HELD_OUT]] = True
    return chosen


def fit_logistic_regression(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    strength: float,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Minimises mean cross-entropy + strength/2 * ||kernel||^2 with L-BFGS.

    The bias is not penalised; scikit-learn's C is 1 / (n * strength). Of several labels
    the cross-entropies of all of them add up, so that each has an optimum of its own.

    Args:
        features: float64 [n, D], a row per clip.
        labels: Integers [n] in [0, num_classes), or multi-hot rows, bool [n, C].
        num_classes: C, the number of classes.
        strength: The weight of the penalty on the kernel.
        start: Weights to start from; None for zeros.

    Returns:
        float64 [D + 1, C], the kernel and, last, the bias.
    """
    count, shape = len(labels), (features.shape[1] + 1, num_classes)
    cross_entropy = _sigmoid_loss if labels.ndim == 2 else _softmax_loss

    def loss_and_gradient(flat):
        weights = flat.reshape(shape)
        kernel = weights[:-1]
        mean, error = cross_entropy(_logits(features, weights), labels)
        loss = mean + strength / 2 * np.square(kernel).sum()
        error /= count
        gradient = np.empty(shape)
        gradient[:-1] = features.T @ error + strength * kernel
        gradient[-1] = error.sum(axis=0)
        return loss, gradient.ravel()

    found = optimize.minimize(
        loss_and_gradient,
        np.zeros(shape).ravel() if start is None else start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS, "gtol": _TOLERANCE, "ftol": 0.0},
    )
    if not found.success:
        logging.warning(
            "the logistic regression of strength %g stopped after %d iterations, its "
            "gradient at %.1e: %s",
            strength,
            found.nit,
            np.abs(found.jac).max(),
            found.message,
        )
    return found.x.reshape(shape)


def _logits(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return features @ weights[:-1] + weights[-1]


def _softmax_loss(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cross-entropy, and the gradient of each clip's own, float64 [n, C]."""
    places = np.arange(len(labels))
    logs = special.log_softmax(logits, axis=1)
    error = np.exp(logs)
    error[places, labels] -= 1.0
    return -logs[places, labels].mean(), error


def _sigmoid_loss(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """As `_softmax_loss`, of multi-hot rows."""
    losses = np.logaddexp(0.0, logits) - np.where(labels, logits, 0.0)
    return losses.sum(axis=1).mean(), special.expit(logits) - labels


def _quality(logits: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 accuracy or, of multi-hot rows, mAP."""
    if labels.ndim == 1:
        return float((logits.argmax(axis=1) == labels).mean())
    precision = MeanAveragePrecision([str(n) for n in range(labels.shape[1])])
    precision.update(labels, special.expit(logits))
    return precision.result()["mAP"]
