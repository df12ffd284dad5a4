import numpy as np
import pytest

from spl_tf.metrics import Estimate, estimate, paired_difference


def test_standard_error_is_that_of_the_mean():
    values = [0.7, 0.9, 0.8, 0.6]
    found = estimate(values)
    assert found.mean == pytest.approx(0.75)
    assert found.error == pytest.approx(np.sqrt(np.var(values, ddof=1) / 4))
    assert estimate([0.7]) == Estimate(0.7, None, 1)
    assert estimate([]) is None


def test_differences_are_of_the_seeds_that_both_have():
    found = paired_difference({3: 0.9, 1: 0.5, 2: 0.7}, {1: 0.6, 2: 0.7, 3: 0.6, 4: 1})
    gaps = [0.3, -0.1, 0.0]
    assert found.estimate.mean == pytest.approx(np.mean(gaps))
    assert found.estimate.error == pytest.approx(np.std(gaps, ddof=1) / np.sqrt(3))
    assert (found.estimate.count, found.wins) == (3, 1)
    assert paired_difference({1: 0.5}, {2: 0.5}) is None
