"""Orders that are not stored: exact, and as random as stored ones by several tests."""

import collections

import numpy as np
import pytest
from scipy import stats

from spl_tf.data.keyed import permuted


def order(size, seed=0, number=0):
    return permuted(np.arange(size), size, seed, number)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 101, 4096, 99_999])
def test_every_number_is_there_once(size):
    assert sorted(order(size).tolist()) == list(range(size))


def test_any_place_is_known_without_the_others():
    whole = order(1000, 3, 4)
    places = np.array([7, 999, 0, 7])
    assert permuted(places, 1000, 3, 4).tolist() == whole[places].tolist()
    assert order(1000, 3, 4).tolist() == whole.tolist()
    assert permuted(places[:0], 1000, 3, 4).shape == (0,)


def test_orders_differ_by_seed_and_by_number():
    size = 10_000
    others = [order(size), order(size, 1), order(size, 0, 1), order(size, 2**62, 5)]
    for place, first in enumerate(others):
        for second in others[:place]:
            # Of two random orders, about one place has the same.
            assert (first == second).sum() < 10
            assert abs(stats.spearmanr(first, second).statistic) < 4 / size**0.5


def test_all_orders_of_few_things_are_equally_likely():
    found = collections.Counter(tuple(order(4, seed)) for seed in range(6000))
    assert len(found) == 24
    assert stats.chisquare(list(found.values())).pvalue > 1e-3


def test_every_number_is_equally_likely_at_every_place():
    size, seeds = 30, 2000
    counts = np.zeros((size, size))
    for seed in range(seeds):
        counts[np.arange(size), order(size, 5, seed)] += 1
    # Rows and columns have fixed sums, which leaves (size - 1)^2 free.
    statistic = ((counts - seeds / size) ** 2).sum() / (seeds / size)
    scaled = statistic * (size - 1) / size
    assert stats.chi2.sf(scaled, (size - 1) ** 2) > 1e-3


def test_neighbours_do_not_know_of_each_other():
    """Serial tests: pairs in succession, their differences, and runs upwards."""
    size = 65_000_000
    found = permuted(np.arange(2_000_000, 2_400_000), size, 11, 3)
    assert len(set(found.tolist())) == len(found)
    bins = found * 64 // size
    for lag in (1, 2, 3, 64, 8063):  # the last is about the side of the square
        pairs = np.bincount(bins[:-lag] * 64 + bins[lag:], minlength=64**2)
        assert stats.chisquare(pairs).pvalue > 1e-3
    gaps = np.diff(found) % size * 256 // size
    assert stats.chisquare(np.bincount(gaps, minlength=256)).pvalue > 1e-3
    low = found % 8063  # what stays of a number without its leading digits
    assert stats.chisquare(np.bincount(low, minlength=8063)).pvalue > 1e-3
    assert stats.kstest(found / size, "uniform").pvalue > 1e-3
    # Of three in a row, all six orders are alike.
    three = found[: len(found) // 3 * 3].reshape(-1, 3).argsort(axis=1)
    kinds = np.bincount(three @ [9, 3, 1])
    assert stats.chisquare(kinds[kinds > 0]).pvalue > 1e-3


def test_places_that_stay_and_cycles_are_as_many_as_by_chance():
    size, seeds = 200, 1000
    stay = [int((order(size, 1, n) == np.arange(size)).sum()) for n in range(seeds)]
    counts = np.bincount(np.minimum(stay, 4), minlength=5)
    expected = stats.poisson.pmf(range(4), 1)
    expected = np.append(expected, 1 - expected.sum()) * seeds
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    # The cycles of a random order are H(n) in the mean, with variance H(n) - H2(n).
    cycles = [cycles_of(order(size, 2, n)) for n in range(seeds)]
    mean = sum(1 / k for k in range(1, size + 1))
    deviation = (mean - sum(1 / k**2 for k in range(1, size + 1))) ** 0.5
    assert abs(np.mean(cycles) - mean) < 4 * deviation / seeds**0.5


def cycles_of(numbers):
    left, count = set(range(len(numbers))), 0
    while left:
        count += 1
        place = left.pop()
        while (place := int(numbers[place])) in left:
            left.remove(place)
    return count
