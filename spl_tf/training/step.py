"""One optimizer step, and several of them in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from spl_tf.data import Augmentation, augment_and_normalize
from spl_tf.losses import softmax_cross_entropy


def make_train_call(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    augmentation: Augmentation,
    label_smoothing: float = 0.0,
) -> Callable[[Iterator, tf.Tensor], dict[str, tf.Tensor]]:
    """Makes the function that trains for some steps without returning to Python.

    Args:
        strategy: Under which model and optimizer were made.
        model: Gives logits.
        optimizer: Its step counter is the step of the run.
        augmentation: Applied to every batch.
        label_smoothing: Of the loss.

    Returns:
        `call(iterator, steps)`, whose result holds sums over those steps, float32:
        `loss` (cross entropy, mean over the batch), `accuracy` (share of the batch),
        `finite` (steps of finite loss).
    """
    replicas = strategy.num_replicas_in_sync

    def replica_step(batch):
        clip = augment_and_normalize(batch["clip"], batch["draws"], augmentation)
        with tf.GradientTape() as tape:
            logits = model(clip, training=True)
            losses = softmax_cross_entropy(batch["label"], logits, label_smoothing)
            loss = tf.reduce_mean(losses)
            # The optimizer adds the replicas' gradients up.
            total = (loss + tf.add_n(model.losses or [0.0])) / replicas
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        hits = tf.equal(
            tf.argmax(logits, axis=-1, output_type=tf.int32), batch["label"]
        )
        return {
            "loss": loss / replicas,
            "accuracy": tf.reduce_mean(tf.cast(hits, tf.float32)) / replicas,
        }

    @tf.function
    def call(iterator, steps):
        loss, accuracy, finite = tf.zeros([]), tf.zeros([]), tf.zeros([])
        for _ in tf.range(steps):
            parts = strategy.run(replica_step, args=(next(iterator),))
            sums = {
                name: strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None)
                for name, part in parts.items()
            }
            loss += sums["loss"]
            accuracy += sums["accuracy"]
            finite += tf.cast(tf.math.is_finite(sums["loss"]), tf.float32)
        return {"loss": loss, "accuracy": accuracy, "finite": finite}

    return call
