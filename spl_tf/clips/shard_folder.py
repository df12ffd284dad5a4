"""A dataset folder that is being made: claimed, continued and finished.

Beside the shards, a hidden folder holds what they are made from and a report for each
that is finished, so that a run which was stopped at any moment is continued.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from spl_tf.clips.remote import usable_path
from spl_tf.clips.remote_files import matching, write_atomically
from spl_tf.clips.shards import ShardSummary
from spl_tf.files import NO_SPACE, plain_name, same_path

INPUTS = "inputs.json"  # all that decides what is written
_HALF = ".incomplete-"


class ChangedInputsError(ValueError):
    """The folder holds something made from other inputs."""


class ShardFolder:
    """The folder, `directory`, and the hidden one in it, `work_dir`."""

    def __init__(
        self, directory: str, kind: str, remedy: str, report_type: Callable[..., Any]
    ):
        """Touches nothing.

        Args:
            directory: The dataset's folder, in which the shards are.
            kind: What is made in it: "conversion" or "prediction".
            remedy: What to do about a folder that holds another one.
            report_type: Class of the reports: a dataclass of JSON values, of which the
                first is the `ShardSummary`, named `summary`.
        """
        self.directory = usable_path(directory)
        self.kind, self.remedy = kind, remedy
        self._report_type = report_type
        self.work_dir = os.path.join(self.directory, f".{kind}")

    def holds(self, name: str) -> bool:
        """Whether there is a file of that name beside the shards."""
        return tf.io.gfile.exists(os.path.join(self.directory, name))

    def path(self, name: str) -> str:
        """Where a file of the hidden folder is."""
        return os.path.join(self.work_dir, name)

    def load(self, name: str) -> Any:
        """Reads a JSON file of the hidden folder; None where there is none."""
        try:
            with tf.io.gfile.GFile(self.path(name), "rb") as file:
                return json.loads(file.read())
        except tf.errors.NotFoundError:
            return None

    def save(self, name: str, content: Any) -> None:
        """Writes one, whole or not at all."""
        text = json.dumps(content, ensure_ascii=False)
        write_atomically(self.path(name), text.encode())

    def check_inputs(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        """Raises `ChangedInputsError`, which names them, where inputs differ."""
        changed = [
            f"{name} (was {before.get(name)!r}, is {now.get(name)!r})"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
            and not (
                name.endswith("_root") and same_path(before.get(name), now.get(name))
            )
        ]
        if changed:
            raise ChangedInputsError(
                f"{self.directory} holds a {self.kind} of other inputs; changed: "
                f"{', '.join(changed)}. {self.remedy}"
            )

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[None]:
        """Says of a full disk which shard was written, and what to do.

        Raises:
            OSError: With `errno.ENOSPC` or `EDQUOT` and that message.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            raise OSError(
                error.errno,
                f"no space left while writing {name} in {self.directory}. Finished "
                "shards stay: free some space and give the same command again",
            ) from error

    def save_report(self, shard: int, report: Any) -> None:
        """Marks a shard, by its position among all, as complete."""
        self.save(_report_name(shard), dataclasses.asdict(report))

    def report(self, shard: int) -> Any:
        """The report of a shard that is complete; else None."""
        content = self.load(_report_name(shard))
        if content is None:
            return None
        plain_name(content["summary"]["name"], self.path(_report_name(shard)))
        summary = ShardSummary(**content.pop("summary")).compact()
        try:
            size = tf.io.gfile.stat(os.path.join(self.directory, summary.name)).length
        except tf.errors.NotFoundError:
            return None
        if size != summary.file_size:
            return None
        return self._report_type(summary, **content)

    def remove_dataset(self, names: Iterable[str]) -> None:
        """Removes description, index and the shards of these names."""
        # The description first: from then on the folder is no dataset.
        for name in ("dataset.json", "index.npz", *names):
            if self.holds(name):
                tf.io.gfile.remove(os.path.join(self.directory, name))

    def remove_halves(self, is_shard: Callable[[str], bool]) -> None:
        """Removes what killed processes had half written, of shards of such names."""
        for path in matching(self.directory, f"*{_HALF}*"):
            if is_shard(os.path.basename(path).rsplit(_HALF, 1)[0]):
                tf.io.gfile.remove(path)

    def remove_work(self) -> None:
        """Removes the hidden folder, if it is there."""
        if tf.io.gfile.exists(self.work_dir):
            tf.io.gfile.rmtree(self.work_dir)


def _report_name(shard: int) -> str:
    return f"shard-{shard:05d}.json"
