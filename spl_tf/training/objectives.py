"""The loss that a config names, and how often each label is recognised."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from ml_collections import config_dict

from spl_tf import losses
from spl_tf.clips import ClipDataset
from spl_tf.labels import ConfusionMatrix

# What each loss takes: hard labels or multi-hot rows, pairs of them with a weight
# (mixup), and several clips of an item.
LOSS_TARGETS = {
    "cross_entropy": ("hard labels", "pairs", "several clips"),
    "anchor": ("hard labels", "several clips"),
    "data_parameters": ("hard labels",),
    "forward_correction": ("hard labels",),
    "sigmoid_cross_entropy": ("multi-hot rows", "pairs", "several clips"),
}
LOSSES = tuple(LOSS_TARGETS)


def read_transition(path: str, dataset: ClipDataset, num_labels: int) -> np.ndarray:
    """The transition matrix of loss "forward_correction".

    Args:
        path: A saved `ConfusionMatrix` of noisy labels (rows) and true classes, as
            `build_labels` counts them from pairs; empty for the dataset's own labels
            and its teacher's predictions.
        dataset: The dataset whose labels are noisy.
        num_labels: C, the number of the model's outputs.

    Returns:
        float32 [N, N], rows that add up to 1, see `losses.transition_matrix`.

    Raises:
        ValueError: There are no counts, or of other classes, or the labels that are
            trained on are not the dataset's classes.
        FileNotFoundError: Nothing is at the path.
    """
    names = dataset.info.class_names
    if num_labels != len(names):
        raise ValueError(
            f"config.loss.name is 'forward_correction' with {num_labels} labels, but "
            f"{dataset.directory} has {len(names)} classes; it needs the weak labels"
        )
    if path:
        confusion = ConfusionMatrix.load(path)
        if list(confusion.class_names) != list(names):
            raise ValueError(
                f"config.loss.transition: {path} counts {confusion.num_classes} "
                f"classes, {dataset.directory} has {len(names)}, or their names differ"
            )
        return losses.transition_matrix(confusion.counts.toarray())
    predicted = dataset.index.teacher >= 0
    if not predicted.any():
        raise ValueError(
            f"config.loss.transition is empty, and the clips of {dataset.directory} "
            "have no teacher predictions; name a confusion matrix, or run "
            "`python -m experiments.predict` on the clips first"
        )
    confusion = ConfusionMatrix(names)
    confusion.update(dataset.index.label[predicted], dataset.index.teacher[predicted])
    return losses.transition_matrix(confusion.counts.toarray())


def mean_logits(logits: tf.Tensor) -> tf.Tensor:
    """Logits [B, C] of items from those of their clips, [B, V, C]."""
    return logits[:, 0] if logits.shape[1] == 1 else tf.reduce_mean(logits, axis=1)


def right(label: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """1 where the network is right, else 0.

    Args:
        label: int [B]: whether it is the first choice. Or multi-hot rows [B, C]: for
            each label, whether it is told if the clip has it.
        logits: Float logits [B, C].

    Returns:
        float32 [B], or [B, C] for multi-hot rows; 0 or 1.
    """
    if label.shape.rank == 2:
        return tf.cast(tf.equal(logits > 0, label > 0.5), tf.float32)
    first = tf.argmax(logits, axis=-1, output_type=label.dtype)
    return tf.cast(tf.equal(first, label), tf.float32)


class LabelCounts(tf.Module):
    """Counts, for each label, clips and those of them that are right."""

    def __init__(self, num_labels: int):
        """Starts at 0; under the strategy's scope."""
        super().__init__(name="label_counts")
        # Added up when they are read, not at every step. Whole numbers, and exact.
        self._counts = tf.Variable(
            tf.zeros([2, num_labels]),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )

    def update(self, label: tf.Tensor, logits: tf.Tensor) -> None:
        """Counts a batch; in a replica.

        Args:
            label: int [B], or multi-hot rows [B, C], where each label has all clips.
            logits: Float logits [B, C].
        """
        hits = right(label, logits)
        counted, size = [tf.ones_like(hits), hits], self._counts.shape[1]
        if label.shape.rank == 2:
            sums = [tf.reduce_sum(x, axis=0) for x in counted]
        else:
            sums = [tf.math.unsorted_segment_sum(x, label, size) for x in counted]
        self._counts.assign_add(tf.stack(sums))

    def take(self) -> np.ndarray:
        """The accuracy per label since the last call, NaN without clips.

        Outside of replicas, by all processes at once.

        Returns:
            float64 [C], shares in [0, 1].
        """
        clips, hits = self._counts.numpy().astype(np.float64)
        self._counts.assign(tf.zeros(self._counts.shape))
        return np.divide(hits, clips, out=np.full_like(hits, np.nan), where=clips > 0)


class Objective(tf.Module):
    """Losses per clip, and what is learned or counted besides the model.

    Its variables belong into the checkpoint.
    """

    def __init__(
        self, settings: config_dict.ConfigDict, num_labels: int, dataset: ClipDataset
    ):
        """Makes the variables; under the strategy's scope.

        Args:
            settings: Part `loss` of the training's config.
            num_labels: C, the number of the model's outputs.
            dataset: The dataset that is trained on; of several, the first.
        """
        super().__init__(name="objective")
        self._settings = settings
        self.label_counts = LabelCounts(num_labels)
        self.data_parameters, self._transition = None, None
        if settings.name == "data_parameters":
            self.data_parameters = losses.DataParameters(
                settings.data_parameters_mode, num_labels, len(dataset)
            )
        elif settings.name == "forward_correction":
            self._transition = read_transition(settings.transition, dataset, num_labels)

    def __call__(
        self, batch: Mapping[str, tf.Tensor], logits: tf.Tensor, epoch: tf.Tensor
    ) -> tf.Tensor:
        """Losses of items, float32 [B].

        Args:
            batch: `label` and `index`, int [B], or `label` as multi-hot rows [B, C];
                with mixup also `partner_label`, likewise, and `mix`, float32 [B], the
                weight of `label`.
            logits: Float logits [B, V, C], of the V clips of each item; one clip alone
                has its own loss.
            epoch: Epochs trained so far, float32 scalar.
        """
        views, weight = logits.shape[1], self._settings.clip_weight
        if views == 1:
            return self._of_one_clip(batch, logits[:, 0], epoch)
        if self._settings.clips == "mean_of_losses":
            return self._mean_of_losses(batch, logits, epoch)
        loss = self._of_one_clip(batch, mean_logits(logits), epoch)
        if weight:
            loss += weight * self._mean_of_losses(batch, logits, epoch)
        return loss

    def _mean_of_losses(self, batch, logits, epoch) -> tf.Tensor:
        losses_of_views = [
            self._of_one_clip(batch, logits[:, view], epoch)
            for view in range(logits.shape[1])
        ]
        return tf.reduce_mean(tf.stack(losses_of_views), axis=0)

    def _of_one_clip(self, batch, logits, epoch) -> tf.Tensor:
        if "mix" not in batch:
            return self._of_labels(batch, logits, epoch)
        first = self._of_labels(batch, logits, epoch)
        other = {**batch, "label": batch["partner_label"]}
        second = self._of_labels(other, logits, epoch)
        return batch["mix"] * first + (1.0 - batch["mix"]) * second

    def _of_labels(self, batch, logits, epoch) -> tf.Tensor:
        settings = self._settings
        if settings.name == "sigmoid_cross_entropy":
            return losses.sigmoid_cross_entropy(batch["label"], logits)
        if self.data_parameters is not None:
            return self.data_parameters(batch["label"], logits, batch["index"])
        if self._transition is not None:
            return losses.forward_correction(batch["label"], logits, self._transition)
        if settings.name == "anchor":
            return losses.anchor_loss(
                batch["label"],
                logits,
                epoch,
                gamma=settings.anchor.gamma,
                slack=settings.anchor.slack,
                anchor=settings.anchor.anchor,
                form=settings.anchor.form,
                warm_up_epochs=settings.anchor.warm_up_epochs,
            )
        return losses.softmax_cross_entropy(
            batch["label"], logits, settings.label_smoothing
        )

    def update(
        self,
        batch: Mapping[str, tf.Tensor],
        logits: tf.Tensor,
        sum_replicas: Callable[[tf.Tensor], tf.Tensor],
    ) -> None:
        """Moves what is learned and counted; in a replica, after its step."""
        logits = mean_logits(logits)
        self.label_counts.update(batch["label"], logits)
        if self.data_parameters is not None:
            self.data_parameters.update(
                batch["label"],
                logits,
                batch["index"],
                tf.ones_like(batch["label"], tf.bool),
                sum_replicas,
            )
