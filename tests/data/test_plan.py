import numpy as np
import pytest

from spl_tf.data import Resampling, TrainPlan, padded_rows, uniform_draws
from spl_tf.data.row_sets import RowSet

ROWS = np.array([2, 3, 5, 7, 11, 13, 17])


def all_places(plan, steps, worker=0, num_workers=1):
    parts = [plan.batch(step, worker, num_workers) for step in range(steps)]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def test_every_epoch_holds_every_row_once_in_an_order_of_its_own():
    rows, epochs = all_places(TrainPlan(ROWS, 3, seed=1), steps=14)  # six epochs
    assert epochs.tolist() == sorted(np.repeat(np.arange(6), 7).tolist())
    orders = rows.reshape(6, 7)
    for order in orders:
        assert sorted(order) == ROWS.tolist()
    assert len({tuple(order) for order in orders}) == 6


def test_the_order_depends_on_the_seed_alone():
    first = all_places(TrainPlan(ROWS, 3, seed=1), 14)[0]
    again = all_places(TrainPlan(ROWS, 3, seed=1), 14)[0]
    other = all_places(TrainPlan(ROWS, 3, seed=2), 14)[0]
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_any_step_is_known_without_the_ones_before():
    plan = TrainPlan(ROWS, 3, seed=1)
    expected = [plan.batch(step)[0].tolist() for step in range(30)]
    for step in (29, 0, 17, 3):
        assert TrainPlan(ROWS, 3, seed=1).batch(step)[0].tolist() == expected[step]


def test_the_workers_parts_make_up_the_batch_of_one_worker():
    for step in range(10):
        whole = TrainPlan(ROWS, 12, seed=4).batch(step)[0]
        parts = [TrainPlan(ROWS, 12, seed=4).batch(step, w, 3)[0] for w in range(3)]
        assert np.concatenate(parts).tolist() == whole.tolist()


def test_an_order_that_is_not_stored_is_an_order():
    kept = np.arange(5000) % 7 > 2
    rows = np.flatnonzero(kept)

    def plan(**changes):
        settings = {"batch_size": 12, "seed": 1, "most_stored": 100} | changes
        return TrainPlan(RowSet(5000, kept.__getitem__), **settings)

    steps = 3 * len(rows) // 12
    found, epochs = all_places(plan(), steps)
    first, second = (found[epochs == epoch] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == rows.tolist()
    assert (first == second).mean() < 0.01
    assert abs(np.corrcoef(first, np.arange(len(first)))[0, 1]) < 0.1
    assert plan().batch(100)[0].tolist() == found[1200:1212].tolist()
    parts = [plan().batch(100, worker, 3)[0] for worker in range(3)]
    assert np.concatenate(parts).tolist() == found[1200:1212].tolist()
    assert plan(seed=2).batch(100)[0].tolist() != found[1200:1212].tolist()


def test_orders_that_are_stored_are_those_of_before():
    """The permutations of NumPy's generator over the rows themselves."""
    found, epochs = all_places(TrainPlan(ROWS, 3, seed=5), steps=14)
    for epoch in range(6):
        order = np.random.default_rng([5, epoch]).permutation(ROWS)
        assert found[epochs == epoch].tolist() == order.tolist()


def test_a_batch_larger_than_the_data_takes_several_epochs():
    rows, epochs = TrainPlan(ROWS[:2], 5, seed=0).batch(0)
    assert sorted(rows) == [2, 2, 2, 3, 3] or sorted(rows) == [2, 2, 3, 3, 3]
    assert epochs.tolist() == [0, 0, 1, 1, 2]


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match="no clips to train on"):
        TrainPlan(np.array([]), 3, seed=0)
    with pytest.raises(ValueError, match="batch size is 0"):
        TrainPlan(ROWS, 0, seed=0)
    with pytest.raises(ValueError, match="2 workers cannot share a batch of 3"):
        TrainPlan(ROWS, 3, seed=0).batch(0, 0, 2)


@pytest.mark.parametrize(
    ("clips", "multiple", "size"), [(7, 3, 9), (9, 3, 9), (1, 4, 4), (0, 4, 0)]
)
def test_padding_keeps_every_row_once(clips, multiple, size):
    rows, mask = padded_rows(clips, multiple)
    assert len(rows) == len(mask) == size
    assert rows[mask].tolist() == list(range(clips))


def splitmix64(state):
    """Steele et al.'s generator, in Python's integers."""
    mask = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_draws_are_the_hash_they_claim_to_be():
    draws = uniform_draws(9, np.array([0, 3]), np.array([5, 1]), 4)
    for place, (epoch, row) in enumerate([(0, 5), (3, 1)]):
        state = splitmix64(splitmix64(splitmix64(9) ^ epoch) ^ row)
        expected = [(splitmix64(state ^ k) >> 40) / 2**24 for k in range(1, 5)]
        assert draws[place].tolist() == expected


def test_draws_are_uniform_and_differ_by_seed_epoch_row_and_place():
    rows = np.arange(20000)
    draws = uniform_draws(0, np.zeros_like(rows), rows, 3)
    assert draws.dtype == np.float32
    assert (draws >= 0).all()
    assert (draws < 1).all()
    histogram = np.stack([np.histogram(c, 10, (0, 1))[0] for c in draws.T])
    assert abs(histogram - 2000).max() < 5 * np.sqrt(2000)
    assert abs(np.corrcoef(draws.T) - np.eye(3)).max() < 0.05
    other_seed = uniform_draws(1, np.zeros_like(rows), rows, 3)
    other_epoch = uniform_draws(0, np.ones_like(rows), rows, 3)
    for other in (other_seed, other_epoch):
        assert (other == draws).mean() < 0.01
        assert abs(np.corrcoef(other[:, 0], draws[:, 0])[0, 1]) < 0.05


LABELS = np.repeat([0, 1, 3], [1, 9, 90])


@pytest.mark.parametrize(
    ("resampling", "shares"),
    [
        (Resampling(power=1), [0.01, 0.09, 0.9]),
        (Resampling(power=0), [1 / 3, 1 / 3, 1 / 3]),
        (Resampling(power=0.5), np.array([1, 3, 90**0.5]) / (4 + 90**0.5)),
        (Resampling(limit=10), [1 / 20, 9 / 20, 10 / 20]),
    ],
)
def test_classes_are_drawn_by_the_power_of_their_size_or_its_limit(resampling, shares):
    probabilities = resampling.probabilities(LABELS)
    sums = np.bincount(LABELS, probabilities)[[0, 1, 3]]
    np.testing.assert_allclose(sums, shares)
    for label in (0, 1, 3):  # within a class all are alike
        assert len(set(probabilities[label == LABELS])) == 1
    rows = np.arange(100, 200)
    plan = TrainPlan(rows, 20_000, 3, probabilities)
    drawn = np.bincount(LABELS[plan.batch(0)[0] - 100])[[0, 1, 3]] / 20_000
    assert abs(drawn - shares).max() < 5 * 0.5 / np.sqrt(20_000)


def test_a_resampled_place_is_the_hash_of_its_number():
    probabilities = Resampling(power=0.5).probabilities(LABELS)
    plan = TrainPlan(np.arange(100), 6, 9, probabilities)
    bounds = np.cumsum(probabilities)
    for place in (0, 5, 6, 1234):
        draw = (splitmix64(splitmix64(9) ^ place) >> 11) / 2**53
        row = next(n for n in range(100) if draw < bounds[n])
        rows, visits = plan.batch(place // 6)
        assert rows[place % 6] == row
        assert visits[place % 6] == place
    workers = [plan.batch(7, worker, 3)[0] for worker in range(3)]
    assert np.concatenate(workers).tolist() == plan.batch(7)[0].tolist()


def test_impossible_resampling_is_refused():
    for settings in ({}, {"power": 0.5, "limit": 3}, {"power": -1}, {"limit": 0}):
        with pytest.raises(ValueError, match="resampling"):
            Resampling(**settings)
