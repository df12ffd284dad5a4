"""Sorted texts in a file, and where in it texts with a key are: for very many paths."""

from __future__ import annotations

import array
import bisect
import contextlib
import heapq
import itertools
import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

_RUN = 1 << 20  # texts that are sorted in memory at a time
# Names on disk may be no UTF-8; in UTF-8, bytes are in the order of the characters.
_CODING = ("utf-8", "surrogateescape")


class SortedTexts(Sequence):
    """Texts in ascending order, in a file of `TMPDIR` that is gone with the object."""

    def __init__(self, texts: Iterable[str]):
        """Sorts the texts, none of which has a zero byte."""
        self._starts = array.array("q", [0])
        self._file = tempfile.TemporaryFile()  # noqa: SIM115, it lives as this does
        self._content: bytes | mmap.mmap = b""
        with contextlib.ExitStack() as stack:
            for text in heapq.merge(*_sorted_runs(texts, stack)):
                self._file.write(text)
                self._starts.append(self._starts[-1] + len(text))
        if self._starts[-1]:
            self._file.flush()
            number = self._file.fileno()
            self._content = mmap.mmap(number, 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, place: int) -> str:
        return self._encoded(place).decode(*_CODING)

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def __contains__(self, text: str) -> bool:
        sought, places = text.encode(*_CODING), range(len(self))
        place = bisect.bisect_left(places, sought, key=self._encoded)
        return place < len(self) and self._encoded(place) == sought

    def _encoded(self, place: int) -> bytes:
        start, stop = self._starts[place], self._starts[place + 1]
        return self._content[start : stop - 1]


class TextTable:
    """The texts that have a key, by 64 bits of its hash."""

    def __init__(self, texts: SortedTexts, key_of: Callable[[str], str]):
        """Looks at all texts.

        Args:
            texts: What there is.
            key_of: Gives a text's key; an empty one is not found.
        """
        self._texts, self._key_of = texts, key_of
        keys = np.frombuffer(array.array("q", map(hash, map(key_of, texts))), np.int64)
        self._places = np.argsort(keys, kind="stable")
        self._keys = keys[self._places]

    def find(self, key: str) -> list[str]:
        """The texts with a key, in their order."""
        if not key:
            return []
        first = np.searchsorted(self._keys, hash(key), side="left")
        behind = np.searchsorted(self._keys, hash(key), side="right")
        found = (self._texts[place] for place in self._places[first:behind].tolist())
        return [text for text in found if self._key_of(text) == key]


def _sorted_runs(
    texts: Iterable[str], stack: contextlib.ExitStack
) -> Iterator[Iterator[bytes]]:
    """Texts, each with a zero byte behind it, in runs that are sorted; all in files."""
    texts = iter(texts)
    while run := sorted(
        text.encode(*_CODING) + b"\0" for text in itertools.islice(texts, _RUN)
    ):
        if len(run) < _RUN:  # the last: it needs no file
            yield iter(run)
            return
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        file.writelines(run)
        file.seek(0)
        yield _texts_in(file)


def _texts_in(file) -> Iterator[bytes]:
    rest = b""
    while content := file.read(1 << 20):
        *whole, rest = (rest + content).split(b"\0")
        yield from (text + b"\0" for text in whole)
