"""Several clips of an item, and items mixed in pairs."""

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import data
from spl_tf.data.batches import mixing_weights
from spl_tf.training.step import mix_pairs


def source_of(dataset, **changes):
    settings = {
        "dataset": dataset,
        "label_map": None,
        "sampling": data.ClipSampling(2, 1),
        "crop_size": 16,
        "flip": True,
        "seed": 3,
    }
    return data.TrainInput(**settings | changes)


def take(source, batch_size=4, steps=3, **options):
    batches = data.train_batches(source, batch_size, stop_step=steps, **options)
    return [{name: value.numpy() for name, value in b.items()} for b in batches]


def test_clips_of_an_item_are_next_to_each_other_and_the_first_is_as_without(
    web_dataset,
):
    usual = take(source_of(web_dataset))
    several = take(source_of(web_dataset, clips_per_item=3))
    for one, three in zip(usual, several, strict=True):
        assert three["clip"].shape == (12, 2, 16, 16, 3)
        assert three["draws"].shape == (12, 4)
        np.testing.assert_array_equal(three["clip"][::3], one["clip"])
        np.testing.assert_array_equal(three["draws"][::3], one["draws"])
        np.testing.assert_array_equal(three["index"], one["index"])
        np.testing.assert_array_equal(three["label"], one["label"])
    # Frames of clip n are grey levels from 8 n on: all are of their item.
    levels = np.concatenate([b["clip"][:, 0].mean(axis=(1, 2, 3)) for b in several])
    items = np.concatenate([np.repeat(b["index"], 3) for b in several])
    numbers = np.array([int(n) for n in ids_of(several).repeat(3)])
    assert len(items) == len(levels)
    assert np.all((levels - 8 * numbers >= -2) & (levels - 8 * numbers < 10))
    # And each has draws of its own.
    assert any(len(set(levels[3 * i : 3 * i + 3].round())) > 1 for i in range(12))


def test_one_stride_to_draw_from_is_that_stride(web_dataset):
    usual = take(source_of(web_dataset, sampling=data.ClipSampling(2, 3)))
    drawn = take(source_of(web_dataset, sampling=data.ClipSampling(2, 1, strides=[3])))
    for one, other in zip(usual, drawn, strict=True):
        for name in ("clip", "draws", "index"):
            np.testing.assert_array_equal(one[name], other[name])


def test_each_clip_has_a_stride_of_its_own(web_dataset):
    sampling = data.ClipSampling(2, 1, strides=(1, 2, 4))
    source = source_of(web_dataset, sampling=sampling, clips_per_item=2)
    batches = take(source, steps=50)
    # Frame t is grey level t, and more for all frames of the clip.
    levels = np.concatenate([batch["clip"][:, :, 0, 0, 0] for batch in batches])
    strides = np.diff(levels.astype(int)).reshape(-1, 2)
    found, counts = np.unique(strides, return_counts=True)
    assert found.tolist() == [1, 2, 4]
    assert np.abs(counts - 400 / 3).max() < 4 * np.sqrt(400 * 2 / 9)
    assert (strides[:, 0] != strides[:, 1]).any()
    (again,) = take(source, steps=31, start_step=30)
    np.testing.assert_array_equal(again["clip"], batches[30]["clip"])


def ids_of(batches):
    ids = np.concatenate([batch["id"] for batch in batches])
    return np.array([each.decode().removeprefix("video").split("@")[0] for each in ids])


def test_parts_of_a_step_are_those_of_the_whole(web_dataset):
    source = source_of(web_dataset, clips_per_item=2, mixup=0.5)
    (whole,) = take(source, 4, steps=1)
    parts = take(source, 2, steps=1, replicas=2)
    for name in ("clip", "draws", "index", "mix"):
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_array_equal(joined, whole[name])


def test_items_are_mixed_with_others_of_their_source(web_dataset):
    mixed = source_of(web_dataset, mixup=0.4)
    plain = source_of(web_dataset, seed=8)
    for batch in take([mixed, plain], [4, 2]):
        assert batch["partner"].tolist() == [3, 2, 1, 0, 5, 4]
        np.testing.assert_array_equal(
            batch["partner_label"], batch["label"][batch["partner"]]
        )
        assert ((batch["mix"][:4] > 0) & (batch["mix"][:4] < 1)).all()
        assert batch["mix"][4:].tolist() == [1, 1]
    assert "mix" not in take(plain, 2)[0]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_weights_are_distributed_as_beta(alpha):
    draws = np.random.default_rng(0).random(20_000)
    weights = mixing_weights(draws, np.full(20_000, alpha))
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(0.5, abs=0.01)
    # Variance of Beta(a, a).
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
    assert mixing_weights(draws[:2], np.zeros(2)).tolist() == [1, 1]


def test_pairs_are_mixed_clip_by_clip():
    clip = np.random.default_rng(0).random((6, 1, 2, 2, 3), np.float32)
    weight, partner = np.float32([0.25, 1.0, 0.5]), np.int32([2, 1, 0])
    mixed = mix_pairs(tf.constant(clip), tf.constant(weight), tf.constant(partner), 2)
    expected = clip.copy()
    for item in range(3):
        for view in range(2):
            own = clip[2 * item + view]
            other = clip[2 * partner[item] + view]
            expected[2 * item + view] = weight[item] * own + (1 - weight[item]) * other
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)


def test_a_batch_is_mixed_across_sources_in_a_random_order(web_dataset):
    sources = [source_of(web_dataset), source_of(web_dataset, seed=8)]
    batches = take(sources, [4, 2], steps=200, mixup_across=0.4)
    for batch in batches:
        assert sorted(batch["partner"].tolist()) == list(range(6))
        np.testing.assert_array_equal(
            batch["partner_label"], batch["label"][batch["partner"]]
        )
        assert len(set(batch["mix"].tolist())) == 1
    # Every place has every partner equally often, and weights are Beta(a, a).
    partners = np.stack([batch["partner"] for batch in batches])
    counts = np.array([np.bincount(column, minlength=6) for column in partners.T])
    np.testing.assert_allclose(counts / 200, 1 / 6, atol=0.1)
    weights = np.array([batch["mix"][0] for batch in batches])
    assert weights.mean() == pytest.approx(0.5, abs=0.1)
    assert weights.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.2)
    # All else is as without, and nothing depends on what was read before.
    for batch, plain in zip(batches, take(sources, [4, 2]), strict=False):
        for name, value in plain.items():
            np.testing.assert_array_equal(batch[name], value)
    late = data.train_batches(sources, [4, 2], 7, 8, mixup_across=0.4)
    for name, value in next(late.as_numpy_iterator()).items():
        np.testing.assert_array_equal(batches[7][name], value)


def test_parts_of_a_step_mixed_across_sources_are_those_of_any_layout(web_dataset):
    sources = [source_of(web_dataset), source_of(web_dataset, seed=8)]
    settings = {"steps": 3, "mixup_across": 0.4}
    one = take(sources, [2, 1], replicas=4, **settings)
    others = [
        take(sources, [2, 1], worker=n, num_workers=2, replicas=2, **settings)
        for n in range(2)
    ]
    for step in range(3):
        parts = [batch for each in others for batch in each[2 * step : 2 * step + 2]]
        assert len({part["mix"][0] for part in parts}) == 4
        for whole, part in zip(one[4 * step : 4 * step + 4], parts, strict=True):
            for name, value in whole.items():
                np.testing.assert_array_equal(part[name], value)
