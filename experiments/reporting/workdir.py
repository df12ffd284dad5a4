"""A workdir of `run_pipeline`, as far as it has come."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from spl_tf.runs import run_folder

_RESULTS = "results.json"
_NOT_RUN, _FAILED = "not run", "failed"  # states of stages


class Workdir:
    """A workdir and its `results.json`.

    Attributes:
        path: Path of the folder.
        results: Content of `results.json`.
        missing: What was looked for and not found, by section of the page.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        keys: Iterable[str],
        makers: Mapping[str, str],
    ):
        """Reads `results.json`.

        Args:
            path: Path of the workdir.
            keys: Keys that `results.json` has to have.
            makers: Which stage of a seed makes a dataset, by the key that the entry of
                a seed has it under.

        Raises:
            FileNotFoundError: The folder has no `results.json`.
            ValueError: `results.json` lacks a key.
        """
        self.path = os.fspath(path)
        file = os.path.join(self.path, _RESULTS)
        if not os.path.exists(file):
            raise FileNotFoundError(
                f"{file} does not exist: {self.path} is no workdir of run_pipeline, or "
                "none of its stages has finished"
            )
        self.results = run_folder.read_json(file)
        lacking = set(keys) - self.results.keys()
        if lacking:
            raise ValueError(f"{file} lacks the keys {sorted(lacking)}")
        self._makers = makers
        self.missing: dict[str, list[str]] = {}
        self._states = {
            entry["stage"]: entry["state"] for entry in self.results.get("stages", ())
        }

    def is_planned(self, *stages: str) -> bool:
        """Whether stages are still to run, so that what they make is no loss yet.

        After a failure nothing counts as planned: it may be why they did not run.

        Args:
            stages: Names of which one suffices; any stage if none is given.
        """
        if _FAILED in self._states.values():
            return False
        names = stages or self._states
        return any(self._states.get(name) == _NOT_RUN for name in names)

    def find(self, section: str, what: str, path: str | None) -> str | None:
        """The place of a file or folder of the workdir if it is there.

        Args:
            section: Section of the page, under which its absence is noted.
            what: What the file or folder is, in words for a reader.
            path: Path relative to the workdir; None if no stage has made it.
        """
        if path:
            place = os.path.join(self.path, path)
            if os.path.exists(place):
                return place
        self.miss(section, f"{what}: not there" + (f" ({path})" if path else ""))
        return None

    def find_dataset(
        self, section: str, what: str, seed: Mapping[str, Any], key: str
    ) -> str | None:
        """As `find`, of a folder of clips whose conversion or prediction is finished.

        Until then the folder may hold a part of its files. One whose stage is still to
        run is not noted.

        Args:
            section: Section of the page, under which its absence is noted.
            what: What the dataset is, in words for a reader.
            seed: Entry of a seed in `results.json`.
            key: Key of the dataset in that entry, for example "target_val".
        """
        path = seed.get(key)
        info = path and os.path.join(path, "dataset.json")
        is_there = info and os.path.exists(os.path.join(self.path, info))
        if not is_there and self.is_planned(f"seed_{seed['seed']}/{self._makers[key]}"):
            return None
        found = self.find(section, what, info)
        return found and os.path.dirname(found)

    def miss(self, section: str, reason: str) -> None:
        """Notes under a section of the page what it lacks, and why."""
        self.missing.setdefault(section, []).append(reason)
