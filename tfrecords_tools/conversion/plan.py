"""The plan of a conversion, made before any work: which clip goes into which shard."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import tensorflow as tf

from spl_tf import clips
from tfrecords_tools.conversion.cutting import ClipPlan

_FORMAT = "spl_tf.plan"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class ConversionPlan:
    """Everything that decides the bytes of a dataset.

    Attributes:
        inputs: What it was made from: tool, settings, digests of the input files.
        shards: The clips of each shard, in order.
        skipped: Files that were left out while planning, as in `DatasetInfo.skipped`.
        num_files: Files that the conversion was asked to take.
    """

    inputs: dict[str, Any]
    shards: list[list[ClipPlan]]
    skipped: list[dict[str, str]]
    num_files: int

    @property
    def num_clips(self) -> int:
        """Clips in all shards."""
        return sum(len(shard) for shard in self.shards)

    def save(self, path: str) -> None:
        """Writes a JSON line about the whole, then one per clip, its shard first."""
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "inputs": self.inputs,
            "num_shards": len(self.shards),
            "num_clips": self.num_clips,
            "num_files": self.num_files,
            "skipped": self.skipped,
        }
        lines = [json.dumps(header, ensure_ascii=False)]
        for shard, plans in enumerate(self.shards):
            lines += [
                json.dumps([shard, *dataclasses.astuple(plan)], ensure_ascii=False)
                for plan in plans
            ]
        clips.write_atomically(path, ("\n".join(lines) + "\n").encode())

    @classmethod
    def load(cls, path: str) -> ConversionPlan:
        """Reads a plan.

        Raises:
            ValueError: The plan is damaged, or of another version.
        """
        with tf.io.gfile.GFile(path, "rb") as file:
            # Only "\n" ends a line: names may hold other line separators.
            lines = file.read().decode().split("\n")[:-1]
        try:
            header = json.loads(lines[0])
            if (header["format"], header["version"]) != (_FORMAT, _VERSION):
                raise ValueError(f"it is {header['format']} {header['version']}")
            shards: list[list[ClipPlan]] = [[] for _ in range(header["num_shards"])]
            for line in lines[1:]:
                shard, *values = json.loads(line)
                more_labels = map(tuple, values[6:])  # which older plans lack
                shards[shard].append(ClipPlan(*values[:6], *more_labels))
            plan = cls(header["inputs"], shards, header["skipped"], header["num_files"])
            if plan.num_clips != header["num_clips"]:
                raise ValueError(f"{plan.num_clips} of {header['num_clips']} clips")
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged or no plan of this version ({error}); start over "
                "with --overwrite"
            ) from error
        return plan
