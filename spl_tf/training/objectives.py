"""The loss that a config names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf
from ml_collections import config_dict

from spl_tf import losses

LOSSES = ("cross_entropy", "anchor", "data_parameters")


class Objective(tf.Module):
    """Losses per clip, and what is learned besides the model.

    Its variables, those of Data Parameters, belong into the checkpoint.
    """

    def __init__(self, settings: config_dict.ConfigDict, num_labels: int, rows: int):
        """Makes the variables; under the strategy's scope.

        Args:
            settings: The config's `loss`.
            num_labels: Of the model.
            rows: Rows of the dataset's index.
        """
        super().__init__(name="objective")
        self._settings = settings
        self.data_parameters = None
        if settings.name == "data_parameters":
            self.data_parameters = losses.DataParameters(
                settings.data_parameters_mode, num_labels, rows
            )

    def __call__(
        self, batch: Mapping[str, tf.Tensor], logits: tf.Tensor, epoch: tf.Tensor
    ) -> tf.Tensor:
        """Losses, float32 [B].

        Args:
            batch: `label` and `index`, int [B].
            logits: [B, C].
            epoch: Trained so far, float32 scalar.
        """
        settings = self._settings
        if self.data_parameters is not None:
            return self.data_parameters(batch["label"], logits, batch["index"])
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
        """Moves what is learned besides the model; in a replica, after its step."""
        if self.data_parameters is not None:
            self.data_parameters.update(
                batch["label"],
                logits,
                batch["index"],
                tf.ones_like(batch["label"], tf.bool),
                sum_replicas,
            )
