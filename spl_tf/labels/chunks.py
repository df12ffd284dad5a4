"""Columns of many rows, looked at a part at a time. NumPy only.

An index of 65 million rows is mapped from its file and takes no memory of a process's
own; a temporary array as long as it would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

ROWS_AT_ONCE = 1 << 17  # of which a column is in a core's cache


def in_chunks(num_rows: int) -> Iterator[slice]:
    """The rows in order, in slices that begin at multiples of `ROWS_AT_ONCE`."""
    for start in range(0, num_rows, ROWS_AT_ONCE):
        yield slice(start, min(start + ROWS_AT_ONCE, num_rows))


def counted(num_rows: int, labels: Callable[[slice], np.ndarray]) -> np.ndarray:
    """How many rows have each label, as `np.bincount` of them all: int64 [C].

    Args:
        num_rows: How many rows there are.
        labels: Gives int labels, 0 or more, of all or some of the rows of a slice.
    """
    counts = np.zeros(0, np.int64)
    for rows in in_chunks(num_rows):
        found = np.bincount(labels(rows), minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return counts


def first_and_number(
    num_rows: int, is_one: Callable[[slice], np.ndarray]
) -> tuple[int, int]:
    """The first row, and the number of rows, for which something holds.

    Args:
        num_rows: How many rows there are.
        is_one: Gives bool, for each row of a slice.
    """
    first = number = 0
    for rows in in_chunks(num_rows):
        found = is_one(rows)
        if not number and found.any():
            first = rows.start + int(np.argmax(found))
        number += np.count_nonzero(found)
    return first, int(number)
