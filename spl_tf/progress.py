"""Progress of long work: a bar on a terminal, else one log line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import tqdm
from absl import logging

_LOG_SECONDS = 60.0
_UNITS_AT_ONCE = 1000

Unit = TypeVar("Unit")


class Progress:
    """Counts finished units and shows rate and time left; a context manager.

    On a terminal this is a tqdm bar. Elsewhere (a log file, a cluster) it is one absl
    log line a minute and one at the end.
    """

    def __init__(
        self, total: int | None, unit: str, description: str, initial: int = 0
    ):
        """Starts counting.

        Args:
            total: Units that there are in all, finished ones too; None if not known.
            unit: Name of one, for example "clip".
            description: What is being done, for example "converting".
            initial: Units that an earlier run has finished.
        """
        self._total = total
        self._unit = unit
        self._description = description
        self._initial = initial
        self._count = initial
        self._started = self._logged = time.monotonic()
        self._shown = ""
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=total, unit=unit, desc=description, initial=initial
            )

    def update(self, count: int = 1) -> None:
        """Adds finished units."""
        self.update_to(self._count + count)

    def update_to(self, count: int) -> None:
        """Sets the number of finished units."""
        if self._bar is not None:
            self._bar.update(count - self._count)
        self._count = count
        if self._bar is None and time.monotonic() - self._logged >= _LOG_SECONDS:
            self._log()

    def show(self, values: Mapping[str, str]) -> None:
        """Shows further figures behind the bar; elsewhere in the next log line."""
        if self._bar is not None:
            self._bar.set_postfix(values, refresh=False)
        self._shown = ", ".join(f"{name} {value}" for name, value in values.items())

    def _log(self) -> None:
        self._logged = time.monotonic()
        meter = tqdm.tqdm.format_meter(
            self._count,
            self._total,
            self._logged - self._started,
            ncols=0,  # figures only
            unit=self._unit,
            initial=self._initial,
            postfix=self._shown,
        )
        logging.info("%s: %s", self._description, meter)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *unused) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            self._log()


def shown(
    units: Iterable[Unit], total: int | None, unit: str, description: str
) -> Iterator[Unit]:
    """Gives units on, and counts them; see `Progress` for the other arguments."""
    number = 0
    with Progress(total, unit, description) as progress:
        for number, each in enumerate(units, start=1):
            yield each
            if not number % _UNITS_AT_ONCE:
                progress.update_to(number)
        progress.update_to(number)
