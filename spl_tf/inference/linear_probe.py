"""Logistic regression on frozen features (fc-only evaluation).

The network's pooled features are standardised with the mean and deviation of the
training clips. The strength of the L2 penalty is chosen on a tenth of the training
clips that is held out; then the regression is fitted to all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from scipy import optimize, special

from spl_tf import data
from spl_tf.clips import ClipDataset
from spl_tf.inference.evaluation import Scores, Views, accept_any_size
from spl_tf.inference.features import clip_features
from spl_tf.models import feature_model

# Of the penalty strength/2 * ||kernel||^2 beside the mean cross-entropy; strong ones
# first, so that each fit starts close to its end.
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
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
        held_out_accuracy: Top-1 accuracy on the held-out tenth, by strength.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    strength: float
    held_out_accuracy: dict[float, float]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Returns float32 [n, C] for features [n, D]."""
        logits = _logits((features - self.mean) / self.scale, self.weights)
        return special.softmax(logits, axis=1).astype(np.float32)


def score_linear(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    train: ClipDataset,
    test: ClipDataset,
    views: Views,
    batch_size: int,
    seed: int = 0,
) -> tuple[Scores, LinearProbe]:
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

    Raises:
        ValueError: The datasets have different classes, a label is none of them, or
            there are too few clips.
    """
    if train.info.class_names != test.info.class_names:
        raise ValueError(
            f"{train.directory} and {test.directory} have different classes; names and "
            "order must be the same"
        )
    for each in (train, test):
        data.check_labels(each)
    with strategy.scope():
        network = accept_any_size(feature_model(model))
    central = dataclasses.replace(views, num_clips=1, num_crops=1)
    known = clip_features(network, strategy, train, central, batch_size)
    found = clip_features(network, strategy, test, views, batch_size)
    names = tuple(test.info.class_names)
    probe = fit_probe(known.features, train.index.label[known.rows], len(names), seed)
    probabilities = probe.probabilities(found.features)
    ids, labels = found.ids.astype(str), test.index.label[found.rows]
    return Scores(found.rows, ids, labels, probabilities, names), probe


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
        labels: Integers [n] in [0, num_classes).
        num_classes: C, the number of classes.
        seed: Decides which clips are held out to choose the strength.
        strengths: Strengths to choose from; of equal accuracy the first is taken.

    Raises:
        ValueError: There are fewer than two clips.
    """
    held_out = choose_held_out(labels, seed)
    features = features.astype(np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    features -= mean
    features /= scale
    accuracy, weights = {}, None
    fitted, its_labels = features[~held_out], labels[~held_out]
    for strength in strengths:
        weights = fit_logistic_regression(
            fitted, its_labels, num_classes, strength, weights
        )
        best = _logits(features[held_out], weights).argmax(axis=1)
        accuracy[strength] = float((best == labels[held_out]).mean())
    chosen = max(accuracy, key=accuracy.get)
    weights = fit_logistic_regression(features, labels, num_classes, chosen, weights)
    return LinearProbe(mean, scale, weights, chosen, accuracy)


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

    The bias is not penalised; scikit-learn's C is 1 / (n * strength).

    Args:
        features: float64 [n, D], a row per clip.
        labels: Integers [n] in [0, num_classes).
        num_classes: C, the number of classes.
        strength: The weight of the penalty on the kernel.
        start: Weights to start from; None for zeros.

    Returns:
        float64 [D + 1, C], the kernel and, last, the bias.
    """
    count, shape = len(labels), (features.shape[1] + 1, num_classes)
    places = np.arange(count)

    def loss_and_gradient(flat):
        weights = flat.reshape(shape)
        kernel = weights[:-1]
        logs = special.log_softmax(_logits(features, weights), axis=1)
        loss = -logs[places, labels].mean() + strength / 2 * np.square(kernel).sum()
        error = np.exp(logs)
        error[places, labels] -= 1.0
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
