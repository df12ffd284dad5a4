"""What becomes of records that cannot be read: an error in one line, or skipped."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from spl_tf.data.records import BadRecordError

MAX_BAD_RECORDS = 100

# How TensorFlow shows an error of the Python that a pipeline calls.
_IN_TENSORFLOW = re.compile(r"BadRecordError: (.*?)\n+Traceback", re.DOTALL)


class SkippedRecords:
    """The bad records that a run has replaced or left out, up to a limit."""

    def __init__(self, directory: str, limit: int):
        """Starts empty.

        Args:
            directory: Folder of the dataset, for messages.
            limit: More bad records than this are an error.
        """
        self._directory = directory
        self._limit = limit
        self._lock = threading.Lock()
        self._reasons: dict[int, str] = {}

    def __contains__(self, row: int) -> bool:
        return row in self._reasons

    def __len__(self) -> int:
        return len(self._reasons)

    def reason(self, row: int) -> str:
        """What is wrong with a bad record."""
        return self._reasons[row]

    def add(self, row: int, error: BadRecordError) -> None:
        """Reports a bad record, once.

        Raises:
            BadRecordError: It is one more than the limit.
        """
        with self._lock:
            if row in self._reasons:
                return
            self._reasons[row] = str(error)
            count = len(self._reasons)
        if count > self._limit:
            raise BadRecordError(
                f"{self._directory} has more than {self._limit} bad records, the last "
                f"one found is {error}"
            ) from error
        logging.warning(
            "skipping bad record %d of at most %d: %s", count, self._limit, error
        )


def check_bad_record_options(on_bad_record: str, limit: int) -> None:
    """Raises ValueError for what cannot be done with bad records."""
    if on_bad_record not in ("error", "skip"):
        raise ValueError(
            f"on_bad_record is {on_bad_record!r}, expected 'error' or 'skip'"
        )
    if limit < 0:
        raise ValueError(f"max_bad_records is {limit}, expected 0 or more")


@contextlib.contextmanager
def plain_bad_records() -> Iterator[None]:
    """Raises the `BadRecordError` that TensorFlow, running a pipeline, wraps."""
    try:
        yield
    except tf.errors.OpError as error:
        found = _IN_TENSORFLOW.search(error.message)
        if found is None:
            raise
        raise BadRecordError(found[1]) from error
