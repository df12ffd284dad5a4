"""Losses of pairs of labels and of several clips of an item, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import training
from spl_tf.training.objectives import LOSS_TARGETS, Objective

LABEL, OTHER = np.array([0, 2, 1]), np.array([1, 1, 0])
MIX = np.float32([0.75, 0.5, 1.0])
LOGITS = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)


def cross_entropy(label, logits):
    logits = logits.astype(np.float64)
    return np.log(np.exp(logits).sum(-1)) - logits[np.arange(3), label]


def losses(
    web_dataset, clips="mean_of_losses", name="cross_entropy", clip_weight=0.0, **batch
):
    settings = training.default_config().loss
    settings.update(name=name, clips=clips, clip_weight=clip_weight)
    objective = Objective(settings, 3, web_dataset)
    views = LOGITS if batch.pop("views", True) else LOGITS[:, :1]
    batch = {k: tf.constant(v) for k, v in {"label": LABEL, **batch}.items()}
    batch["index"] = tf.range(3)
    return objective(batch, tf.constant(views), tf.constant(1.0)).numpy()


def test_the_loss_of_several_clips_is_the_mean_or_that_of_the_mean(web_dataset):
    each = [cross_entropy(LABEL, LOGITS[:, view]) for view in range(4)]
    np.testing.assert_allclose(losses(web_dataset), np.mean(each, axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        losses(web_dataset, "loss_of_mean"),
        cross_entropy(LABEL, LOGITS.mean(axis=1)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_losses_of_the_clips_are_added_to_that_of_their_mean_by_weight(
    web_dataset, weight
):
    each = [cross_entropy(LABEL, LOGITS[:, view]) for view in range(4)]
    np.testing.assert_allclose(
        losses(web_dataset, "loss_of_mean", clip_weight=weight),
        cross_entropy(LABEL, LOGITS.mean(axis=1)) + weight * np.mean(each, axis=0),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("clips", "weight"),
    [("mean_of_losses", 0.0), ("loss_of_mean", 0.0), ("loss_of_mean", 0.5)],
)
def test_one_clip_is_the_plain_loss_to_the_bit(web_dataset, clips, weight):
    found = losses(web_dataset, clips, clip_weight=weight, views=False)
    plain = tf.nn.sparse_softmax_cross_entropy_with_logits(LABEL, LOGITS[:, 0])
    np.testing.assert_array_equal(found, losses(web_dataset, views=False))
    np.testing.assert_allclose(found, plain, rtol=1e-6)


def test_a_pair_of_labels_has_both_losses_by_weight(web_dataset):
    found = losses(web_dataset, views=False, mix=MIX, partner_label=OTHER)
    expected = MIX * cross_entropy(LABEL, LOGITS[:, 0])
    expected += (1 - MIX) * cross_entropy(OTHER, LOGITS[:, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # The same as the soft label that the pair stands for.
    soft = MIX[:, None] * np.eye(3)[LABEL] + (1 - MIX)[:, None] * np.eye(3)[OTHER]
    as_soft = tf.nn.softmax_cross_entropy_with_logits(soft, LOGITS[:, 0])
    np.testing.assert_allclose(found, as_soft, rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in LOSS_TARGETS if "cross" not in n])
def test_a_loss_of_hard_labels_is_refused_pairs(config, name):
    config.loss.name = name
    config.data.mixup = 0.2
    with pytest.raises(ValueError, match=r"data\.mixup is 0\.2.*takes hard labels"):
        training.check_config(config)
    config.data.update(mixup=0.0, clips_per_item=2)
    if name == "anchor":
        training.check_config(config)
    else:
        with pytest.raises(ValueError, match=r"clips_per_item is 2.*takes hard labels"):
            training.check_config(config)
