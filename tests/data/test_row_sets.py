"""Rows as bits, and draws of rows, against arrays of them all."""

import numpy as np
import pytest

from spl_tf.data.row_sets import RowDraws, RowSet
from spl_tf.labels.chunks import ROWS_AT_ONCE, counted, first_and_number

MANY = 2 * ROWS_AT_ONCE + 12_345


def kept_of(size, share, seed=0):
    kept = np.random.default_rng(seed).random(size) < share
    kept[size // 3 : size // 3 + 5000] = False  # whole blocks without a row
    return kept


@pytest.mark.parametrize(
    ("size", "share"), [(1, 1.0), (7, 0.5), (MANY, 0.3), (MANY, 0.001), (MANY, 1.0)]
)
def test_places_among_rows_are_those_of_an_array(size, share):
    kept = kept_of(size, share) if size > 7 else np.arange(size) % 2 == 0
    rows, expected = RowSet(size, kept.__getitem__), np.flatnonzero(kept)
    assert len(rows) == len(expected)
    assert np.asarray(rows).tolist() == expected.tolist()
    places = np.random.default_rng(1).integers(0, len(expected), 9000)
    ends = np.array([0, len(expected) - 1])
    for each in (places, ends, places[:0]):
        assert rows[each].tolist() == expected[each].tolist()
    asked = np.random.default_rng(2).integers(0, size, (3, 500))
    assert (rows.has(asked) == kept[asked]).all()
    assert (rows.has(slice(0, size)) == kept).all()


def test_no_row_is_kept():
    rows = RowSet(3000, lambda rows: np.zeros(rows.stop - rows.start, bool))
    assert len(rows) == 0
    assert np.asarray(rows).shape == (0,)
    assert len(RowSet(0, None)) == 0


@pytest.mark.parametrize("size", [1, 1000, 1024, MANY])
def test_draws_are_those_of_the_sum_over_all_rows(size):
    generator = np.random.default_rng(3)
    weights = generator.random(size) ** 4
    weights[size // 2 : size // 2 + size // 3] = 0.0
    weights[0] = 0.5
    bounds = np.cumsum(weights)
    bounds /= bounds[-1]
    # On bounds, too, where the next row begins.
    draws = np.concatenate([generator.random(9000), bounds[:-1][:: max(1, size // 99)]])
    draws = np.append(draws, [0.0, np.nextafter(1, 0)])
    expected = np.searchsorted(bounds, draws, side="right")
    drawn = RowDraws(size, weights.__getitem__).draw(draws)
    assert drawn.tolist() == expected.tolist()


def test_columns_are_counted_in_chunks():
    labels = np.random.default_rng(4).integers(0, 50, MANY)
    labels[-1] = 70
    assert counted(MANY, labels.__getitem__).tolist() == np.bincount(labels).tolist()
    assert first_and_number(MANY, lambda rows: labels[rows] == 70) == (MANY - 1, 1)
    assert first_and_number(MANY, lambda rows: labels[rows] == 71) == (0, 0)
