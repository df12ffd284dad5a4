"""Which class the files of a query are of: its weak label."""

from __future__ import annotations

from collections.abc import Iterable

from tfrecords_tools.manifest_formats.annotations import read_columns
from tfrecords_tools.manifest_formats.listing import Entry

_COLUMNS = ("query", "label")


class QueryLabels:
    """The labels of queries, from a CSV of make_queries, or the queries themselves."""

    def __init__(self, path: str):
        """Reads the file.

        Args:
            path: CSV with the columns `query` and `label`; empty where a query is the
                name of a class.

        Raises:
            ValueError: It cannot be read, or gives a query two labels.
        """
        self._path = path
        self._labels: dict[str, str] = {}
        for line, (query, label) in read_columns(path, _COLUMNS) if path else ():
            if self._labels.setdefault(query, label) != label:
                raise ValueError(
                    f"{path}, line {line}: the query {query!r} has the label "
                    f"{label!r}, but {self._labels[query]!r} in a line before"
                )

    def label_of(self, query: str, where: str) -> str:
        """The label of a query.

        Args:
            query: Composed (NFC).
            where: What was found with it, for the message.

        Raises:
            ValueError: The file does not have it.
        """
        if not self._path:
            return query
        if query not in self._labels:
            raise ValueError(f"{where}: the query {query!r} is not in {self._path}")
        return self._labels[query]

    def class_names(self, entries: Iterable[Entry]) -> list[str]:
        """All labels of the file and of the entries, in alphabetical order."""
        found = {entry.label for entry in entries} | set(self._labels.values())
        return sorted(found - {""})
