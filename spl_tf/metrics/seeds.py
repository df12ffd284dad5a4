"""A result over several seeds: means, their errors, paired differences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: Arithmetic mean of the values, in their unit.
        error: Standard error of the mean; None for one value.
        count: Number of values, one per seed.
    """

    mean: float
    error: float | None
    count: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """What one is better by than another, seed by seed.

    Attributes:
        estimate: Mean of first minus second, over the seeds that both have.
        wins: Seeds in which the first one is better.
    """

    estimate: Estimate
    wins: int


def estimate(values: Iterable[float]) -> Estimate | None:
    """Mean and standard error, from the deviation with n - 1; None of nothing."""
    array = np.fromiter(values, np.float64)
    if not array.size:
        return None
    error = None
    if array.size > 1:
        error = float(array.std(ddof=1) / math.sqrt(array.size))
    return Estimate(float(array.mean()), error, array.size)


def paired_difference(
    first: Mapping[int, float], second: Mapping[int, float]
) -> Difference | None:
    """First minus second, seed by seed.

    Args:
        first: Values of one row, by seed.
        second: Values of the other row, by seed.

    Returns:
        Mean, error and wins of the differences; None without a common seed.
    """
    gaps = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    found = estimate(gaps)
    return found and Difference(found, sum(gap > 0 for gap in gaps))
