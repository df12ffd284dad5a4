"""Entries in a temporary file: listings of more posts than memory holds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator

from tfrecords_tools.manifest_formats.listing import Entry


class SpooledEntries:
    """Entries that are read again from a file of `TMPDIR`, which nobody else sees.

    It is gone with the object. An entry takes about 200 bytes there.
    """

    def __init__(self):
        """Makes the file."""
        self._file = tempfile.NamedTemporaryFile("w", encoding="ascii")  # noqa: SIM115

    def append(self, entry: Entry) -> None:
        """Adds an entry behind the others."""
        self._file.write(json.dumps(entry) + "\n")

    def __iter__(self) -> Iterator[Entry]:
        """Gives all entries in order, as often as it is asked."""
        self._file.flush()
        with open(self._file.name, encoding="ascii") as file:
            for line in file:
                yield Entry(*json.loads(line))
