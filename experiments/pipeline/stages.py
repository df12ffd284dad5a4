"""A stage of an experiment: what it is told, reads and writes.

Paths are relative to the workdir, except those of data outside of it, which are
absolute and only read. A stage needs those whose output holds one of its inputs.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

RESULTS_FILE = "results.json"


@dataclasses.dataclass(frozen=True)
class Input:
    """Something that a stage reads.

    Attributes:
        kind: How it is compared, see `fingerprints.Fingerprints`.
        path: The file or folder that is read.
    """

    kind: str
    path: str


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the experiment.

    Attributes:
        name: Name that no other stage has, e.g. "seed_0/predict".
        action: What it does, of `actions.ACTIONS` or the experiment's own.
        settings: All that decides its output besides its inputs, as JSON has it.
        inputs: What it reads, by the name that the action knows it by.
        output: The folder that it writes, which no other stage does.
        options: What it is told besides, and makes no difference to the output.
        seed: Seed that it belongs to; None for a stage that all seeds share.
        row: Name of the table's row that it is for; "" for one that all rows share.
        defaults: What settings were before they had a key.
    """

    name: str
    action: str
    settings: dict[str, Any]
    inputs: dict[str, Input]
    output: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    seed: int | None = None
    row: str = ""
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        # As they read back from a file: tuples become lists.
        for name in ("settings", "defaults"):
            plain = json.loads(json.dumps(getattr(self, name)))
            object.__setattr__(self, name, plain)

    @property
    def is_last(self) -> bool:
        """Whether it runs when all others have ended, however they did."""
        return self.action == "report"


def folder_of_seed(seed: int) -> str:
    """Where the stages of a seed write; their names start with it, too."""
    return f"seed_{seed}"


def needs(stages: Sequence[Stage]) -> dict[str, list[str]]:
    """Names of the stages that each stage needs, by its name."""
    makers = {stage.output: stage.name for stage in stages}
    found = {}
    for stage in stages:
        found[stage.name] = sorted(
            {
                makers[path]
                for read in stage.inputs.values()
                for path in self_and_parents(read.path)
                if path in makers
            }
        )
    return found


def self_and_parents(path: str) -> Iterator[str]:
    """A path and the folders that it is in, up to the first part of its name."""
    while path and path != os.path.dirname(path):
        yield path
        path = os.path.dirname(path)
