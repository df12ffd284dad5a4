"""Random numbers and orders that follow from a key and are not stored. NumPy only."""

from __future__ import annotations

import math

import numpy as np

# As many as leave no trace in the tests of their uniformity, also for few things; four
# are the least of which there is a proof (Luby and Rackoff, 1988).
_ROUNDS = 8


def hashed(seed: int, values: np.ndarray) -> np.ndarray:
    """Hashes of numbers, int64 [n], that differ from seed to seed: uint64 [n].

    The finaliser of SplitMix64 (Steele et al., 2014), applied to each part in turn.
    """
    state = mixed(np.full(len(values), seed, np.int64).view(np.uint64))
    return mixed(state ^ values.astype(np.uint64))


def unit_doubles(bits: np.ndarray) -> np.ndarray:
    """Turns uint64 [n] into float64 [n], in [0, 1)."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mixed(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: a bijection of uint64 [n]."""
    with np.errstate(over="ignore"):  # wrapping around is the point
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def permuted(places: np.ndarray, size: int, seed: int, number: int) -> np.ndarray:
    """What is at some places of a random order of the numbers below `size`.

    No order is stored: a Feistel network on pairs of digits is a bijection of the
    numbers below the next square, of which those from `size` on are sent through again
    until they leave (the generalised Feistel cipher with cycle walking; Black and
    Rogaway, Ciphers with Arbitrary Finite Domains, 2002).

    Args:
        places: int64 [n], each in [0, size).
        size: How many numbers there are, below 2^62.
        seed: With `number` it decides the order.
        number: Which order of this seed, 0 or more.

    Returns:
        int64 [n], different for different places, each in [0, size).
    """
    side = np.uint64(math.isqrt(size - 1) + 1)
    keys = hashed(seed, np.array([number])) + np.arange(1, 1 + _ROUNDS, dtype=np.uint64)
    keys = mixed(keys)
    found = places.astype(np.uint64)
    outside = np.arange(len(found))
    while len(outside):
        found[outside] = _feistel(found[outside], side, keys)
        outside = outside[found[outside] >= size]
    return found.astype(np.int64)


def _feistel(numbers: np.ndarray, side: np.uint64, keys: np.ndarray) -> np.ndarray:
    left, right = np.divmod(numbers, side)
    for key in keys:
        left, right = right, (left + mixed(right ^ key) % side) % side
    return left * side + right
