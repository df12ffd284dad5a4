"""One optimizer step: what moves, and that nothing does at one that is not finite."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from spl_tf import data
from spl_tf.models import build_model
from spl_tf.training.moving import MovingAverage, ReducedSGD
from spl_tf.training.objectives import Objective
from spl_tf.training.step import (
    StepSettings,
    TrainState,
    make_train_call,
)

BATCH = 4


@pytest.fixture
def state(config, web_dataset):
    """Of a small network with dropout, on one device."""
    keras.utils.set_random_seed(3)
    with tf.distribute.get_strategy().scope():
        model = build_model("r3d_tiny_g", 3, (2, 16, 16, 3), dropout=0.5)
        optimizer = ReducedSGD(0.1, 0.9, True)
        optimizer.build(model.trainable_variables)
        return TrainState(
            model,
            optimizer,
            Objective(config.loss, 3, web_dataset),
            MovingAverage(model, 0.9),
            tf.Variable(0.0, trainable=False),
        )


def values(state):
    """Of all that a step moves, by name."""
    variables = [*state.model.variables, *state.optimizer.variables]
    named = {f"{place} {v.path}": v.numpy() for place, v in enumerate(variables)}
    averages = {f"average {n}": v.numpy() for n, v in enumerate(state.average.averages)}
    return named | averages


def train(state, batches, accumulation, **changes):
    """Makes steps of the batches of random clips, of which keys may be changed."""
    random = np.random.default_rng(5)
    batch = {
        "clip": random.integers(0, 256, (BATCH, 2, 16, 16, 3)).astype(np.uint8),
        "draws": random.random((BATCH, 8)).astype(np.float32),
        "label": np.array([0, 1, 2, 0], np.int32),
        "index": np.arange(BATCH),
    }
    clips = [batch] * batches + [batch | changes] + [batch] * 5
    whole = {key: np.stack([each[key] for each in clips]) for key in batch}
    settings = StepSettings(
        data.Augmentation(0.1, 0.1, 0.0, 0.0), 100, BATCH, accumulation, clip_norm=1.0
    )
    call = make_train_call(tf.distribute.get_strategy(), state, settings)
    return call(iter(tf.data.Dataset.from_tensor_slices(whole)), tf.constant(3))


def sources_batch():
    """A batch of clips of two sources, 3 and 1, two clips of each item."""
    random = np.random.default_rng(5)
    clip = random.integers(0, 256, (2 * BATCH, 2, 16, 16, 3)).astype(np.uint8)
    clip[2:] //= 4  # the sources differ in brightness
    return {
        "clip": clip,
        "draws": np.full((2 * BATCH, 4), 0.5, np.float32),
        "label": np.array([0, 1, 2, 0], np.int32),
        "index": np.arange(BATCH),
        "mix": np.float32([0.3, 1.0, 0.6, 1.0]),
        "partner": np.int32([2, 1, 0, 3]),
        "partner_label": np.array([2, 1, 0, 0], np.int32),
    }


@pytest.mark.parametrize(
    ("accumulation", "of_mean", "of_each"), [(1, 0, 1), (2, 0, 1), (1, 1, 0.5)]
)
def test_each_source_has_batch_statistics_of_its_own(
    config, state, accumulation, of_mean, of_each
):
    if of_mean:
        config.loss.update(clips="loss_of_mean", clip_weight=of_each)
    state.model.get_layer("dropout").rate = 0.0
    batch, sizes = sources_batch(), {"target": 3, "web": 1}
    pixels = batch["clip"].astype(np.float32) / 255
    items = pixels.reshape(BATCH, 2, *pixels.shape[1:])
    weight = batch["mix"][:, None, None, None, None, None]
    mixed = (weight * items + (1 - weight) * items[batch["partner"]]).reshape(
        pixels.shape
    )
    # By a pass of each source on its own, in order, and NumPy's losses.
    moved = keras.models.clone_model(state.model)
    moved.set_weights(state.model.get_weights())
    with tf.GradientTape() as tape:
        logits = [moved(mixed[part], training=True) for part in (slice(6), slice(6, 8))]
        logits = tf.concat(logits, 0)
        pairs = tf.reshape(logits, [BATCH, 2, 3])
        mean = tf.repeat(tf.reduce_mean(pairs, axis=1), 2, axis=0)
        log, log_of_mean = (tf.nn.log_softmax(each) for each in (logits, mean))
        log = of_each * log + of_mean * log_of_mean
        labels, others = (
            tf.one_hot(batch[key].repeat(2), 3) for key in ("label", "partner_label")
        )
        share = batch["mix"].repeat(2)[:, None]
        losses = -tf.reduce_sum((share * labels + (1 - share) * others) * log, axis=1)
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, moved.trainable_variables)
    statistics = [v.numpy() for v in moved.variables if "moving" in v.path]

    whole = {key: np.stack([value] * accumulation) for key, value in batch.items()}
    settings = StepSettings(
        data.Augmentation(0.0, 0.0, 0.0, 0.0),
        100,
        BATCH,
        accumulation,
        clips_per_item=2,
        sources=sizes,
        per_source=True,
    )
    call = make_train_call(tf.distribute.get_strategy(), state, settings)
    report = call(iter(tf.data.Dataset.from_tensor_slices(whole)), tf.constant(1))
    report = {name: value.numpy() for name, value in report.items()}
    assert report["loss"][0] == pytest.approx(float(loss), rel=1e-5)
    assert report["loss_target"][0] == pytest.approx(losses[:6].numpy().mean(), 1e-5)
    norm = float(tf.linalg.global_norm(gradients))
    assert report["gradient_norm"][0] == pytest.approx(norm, rel=1e-4)
    if accumulation == 1:
        found = [v.numpy() for v in state.model.variables if "moving" in v.path]
        for one, other in zip(found, statistics, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def sources_in_turn(state, batch):
    """A step of each source of `sources_batch`, in one call."""
    settings = StepSettings(
        data.Augmentation(0.0, 0.0, 0.0, 0.0),
        100,
        BATCH,
        clip_norm=0.5,
        clips_per_item=2,
        sources={"target": 3, "web": 1},
        step_per_source=True,
    )
    call = make_train_call(tf.distribute.get_strategy(), state, settings)
    whole = {key: value[None] for key, value in batch.items()}
    report = call(iter(tf.data.Dataset.from_tensor_slices(whole)), tf.constant(1))
    return {name: value.numpy() for name, value in report.items()}


def test_each_source_moves_the_weights_in_turn_as_in_steps_of_its_own(state):
    state.model.get_layer("dropout").rate = 0.0
    state.optimizer.learning_rate = 0.02  # else rounding grows
    batch = sources_batch()
    moved = keras.models.clone_model(state.model)
    moved.set_weights(state.model.get_weights())
    optimizer = keras.optimizers.SGD(0.02, 0.9, nesterov=True, global_clipnorm=0.5)
    losses, norms = [], []
    for items, clips in ((slice(3), slice(6)), (slice(3, 4), slice(6, 8))):
        first = items.start or 0
        pixels = batch["clip"][clips].astype(np.float32) / 255
        pairs = pixels.reshape(-1, 2, *pixels.shape[1:])
        weight = batch["mix"][items].reshape(-1, 1, 1, 1, 1, 1)
        partner = batch["partner"][items] - first
        mixed = (weight * pairs + (1 - weight) * pairs[partner]).reshape(pixels.shape)
        share = batch["mix"][items].repeat(2)
        with tf.GradientTape() as tape:
            log = tf.nn.log_softmax(moved(mixed, training=True))
            of_label, of_other = (
                tf.gather(log, batch[key][items].repeat(2), batch_dims=1)
                for key in ("label", "partner_label")
            )
            loss = -tf.reduce_mean(share * of_label + (1 - share) * of_other)
        gradients = tape.gradient(loss, moved.trainable_variables)
        optimizer.apply(gradients, moved.trainable_variables)
        losses.append(float(loss))
        norms.append(float(tf.linalg.global_norm(gradients)))
    report = sources_in_turn(state, batch)
    assert report["loss_target"][0] == pytest.approx(losses[0], rel=1e-5)
    assert report["loss_web"][0] == pytest.approx(losses[1], rel=1e-4)
    assert report["loss"][0] == pytest.approx(np.dot(losses, [0.75, 0.25]), rel=1e-4)
    assert report["gradient_norm"][0] == pytest.approx(np.hypot(*norms), rel=1e-3)
    assert int(state.optimizer.iterations) == 1
    networks = [  # without the state of dropout
        [v.numpy() for v in model.variables if "float" in v.dtype]
        for model in (state.model, moved)
    ]
    for one, other in zip(*networks, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_source_that_is_not_finite_puts_back_what_those_before_it_moved(state):
    before = values(state)
    batch = sources_batch()
    batch["mix"][3] = np.nan  # of the last source's item
    report = sources_in_turn(state, batch)
    assert np.isfinite(report["loss_target"][0])
    assert not np.isfinite(report["loss"][0])
    for name, value in values(state).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def scale_head(state, factor):
    kernel = state.model.get_layer("classifier").kernel
    kernel.assign(kernel * factor)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_finite_step_moves_everything(state, accumulation):
    before = values(state)
    report = train(state, 3 * accumulation, accumulation)
    assert np.isfinite(report["gradient_norm"]).all()
    assert len(report["loss"]) == 3
    after = values(state)
    same = {name for name in after if np.array_equal(before[name], after[name])}
    assert {name.split(" ")[1].split("/")[-1] for name in same} <= {"learning_rate"}


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_finite_loss_of_a_gradient_that_is_not_moves_nothing(state, accumulation):
    # Logits of 1e20 have a finite loss; the squares of their gradients overflow.
    scale_head(state, 1e25)
    before = values(state)
    report = train(state, 0, accumulation)
    (loss,), (norm,) = report["loss"].numpy(), report["gradient_norm"].numpy()
    assert np.isfinite(loss)
    assert not np.isfinite(norm)
    for name, value in values(state).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize(("good", "accumulation"), [(1, 1), (3, 2)])
def test_the_step_whose_loss_is_not_finite_moves_nothing(state, good, accumulation):
    # Augmented by what is no number, a clip spoils batch statistics as well.
    draws = np.full((BATCH, 8), np.nan, np.float32)
    report = train(state, good, accumulation, draws=draws)
    assert np.isfinite(report["loss"].numpy()).tolist() == [True, False]
    assert int(state.optimizer.iterations) == 1
    for name, value in values(state).items():
        assert np.isfinite(value).all(), name
