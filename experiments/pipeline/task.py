"""What the process of a stage is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Share:
    """What a stage may use of the machine.

    Attributes:
        processes: How many a conversion or rendering may start.
        threads: Threads of TensorFlow's operations.
        job: Number of this stage's place among those that run at a time, from 0.
        jobs: Number of these places.
    """

    processes: int
    threads: int
    job: int
    jobs: int


@dataclasses.dataclass(frozen=True)
class Task:
    """A stage as its process gets it.

    Attributes:
        action: The function to call with this task.
        settings: What decides the output, see `Stage`; paths are absolute here.
        inputs: Absolute paths of what is read, by the action's name for each.
        output: Absolute path of the folder to write.
        options: Settings that make no difference to the output.
        workdir: Absolute path of the experiment's folder.
        share: What it may use of the machine.
    """

    action: Action
    settings: dict[str, Any]
    inputs: dict[str, str]
    output: str
    options: dict[str, Any]
    workdir: str
    share: Share


# A function of a module, which the stage's process imports; it returns facts about the
# result, as JSON has them. One is `count`, see `actions`.
Action = Callable[[Task], dict[str, Any]]
