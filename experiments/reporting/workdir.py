"""A workdir of `run_pipeline`, as far as it has come."""

from __future__ import annotations

import os

from spl_tf.training import runs

_RESULTS = "results.json"


class Workdir:
    """A workdir and its `results.json`.

    Attributes:
        path: The folder.
        results: Content of `results.json`.
        missing: What was looked for and not found, by section of the page.
    """

    def __init__(self, path: str | os.PathLike):
        """Reads `results.json`.

        Raises:
            FileNotFoundError: There is none.
            ValueError: It lacks a key.
        """
        self.path = os.fspath(path)
        file = os.path.join(self.path, _RESULTS)
        if not os.path.exists(file):
            raise FileNotFoundError(
                f"{file} does not exist: {self.path} is no workdir of run_pipeline, or "
                "none of its stages has finished"
            )
        self.results = runs.read_json(file)
        lacking = {"title", "strategies", "seeds", "rows"} - self.results.keys()
        if lacking:
            raise ValueError(f"{file} lacks the keys {sorted(lacking)}")
        self.missing: dict[str, list[str]] = {}

    def find(self, section: str, what: str, path: str | None) -> str | None:
        """The place of a file or folder of the workdir if it is there.

        Args:
            section: Of the page, where its absence is noted.
            what: It is, for a reader.
            path: Relative to the workdir; None if no stage has made it.
        """
        if path:
            place = os.path.join(self.path, path)
            if os.path.exists(place):
                return place
        self.miss(section, f"{what}: not there" + (f" ({path})" if path else ""))
        return None

    def find_dataset(self, section: str, what: str, path: str | None) -> str | None:
        """As `find`, of a folder of clips whose conversion or prediction is finished.

        Until then the folder may hold a part of its files.
        """
        info = path and os.path.join(path, "dataset.json")
        found = self.find(section, what, info)
        return found and os.path.dirname(found)

    def miss(self, section: str, reason: str) -> None:
        """Notes what a section lacks."""
        self.missing.setdefault(section, []).append(reason)
