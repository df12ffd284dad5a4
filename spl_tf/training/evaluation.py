"""Scores of every clip of a dataset, and the metrics made from them."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from spl_tf import data
from spl_tf.clips import ClipDataset
from spl_tf.metrics import TopKAccuracy
from spl_tf.training.strategies import distribute_batches


def forward_batches(
    model: keras.Model, strategy: tf.distribute.Strategy, batches
) -> Iterator[dict[str, np.ndarray]]:
    """Runs the model on batches of every replica, in order.

    Args:
        model: Gives logits.
        strategy: Where it runs.
        batches: A function from nothing to the dataset of per-replica batches.

    Yields:
        The batch without `clip`, as NumPy arrays, and `probabilities`, float32 [B, C].
    """

    def replica_forward(batch):
        logits = model(data.normalize(batch["clip"]), training=False)
        rest = {name: value for name, value in batch.items() if name != "clip"}
        return rest | {"probabilities": tf.nn.softmax(tf.cast(logits, tf.float32))}

    @tf.function
    def forward(batch):
        return strategy.run(replica_forward, args=(batch,))

    for batch in distribute_batches(strategy, batches):
        results = forward(batch)
        local = {
            name: strategy.experimental_local_results(value)
            for name, value in results.items()
        }
        for replica in range(strategy.num_replicas_in_sync):
            yield {name: values[replica].numpy() for name, values in local.items()}


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
        strategy: Where it runs.
        dataset: Of the model's classes.
        sampling: Which frames are looked at.
        crop_size: Side of the central crop.
        batch_size: Clips per replica.

    Returns:
        `top_1` and `top_5`, shares in [0, 1].
    """
    accuracy = TopKAccuracy()
    replicas = strategy.num_replicas_in_sync

    def batches():
        return data.eval_batches(
            dataset, sampling, crop_size, batch_size, replicas=replicas
        )

    for batch in forward_batches(model, strategy, batches):
        accuracy.update(batch["label"], batch["probabilities"], batch["mask"])
    return accuracy.result()
