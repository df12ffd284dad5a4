"""A dataset folder: writing what makes it one, and opening it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from spl_tf.clips.dataset_info import DatasetInfo
from spl_tf.clips.index import ClipIndex
from spl_tf.clips.reader import RecordReader
from spl_tf.clips.remote import usable_path
from spl_tf.clips.shards import ShardSummary


def finish_dataset(
    directory: str | os.PathLike,
    summaries: Sequence[ShardSummary],
    class_names: Sequence[str],
    label_kind: str,
    source: dict[str, Any],
    skipped: Sequence[dict[str, str]] = (),
    files: Mapping[str, str] | None = None,
) -> DatasetInfo:
    """Writes the index and, last, the description of shards that are complete.

    Args:
        directory: The folder that holds the shards.
        summaries: What was written to each shard, in order of the shards.
        class_names: Names of the classes, in index order.
        label_kind: What labels are: "weak" or "clean", see `DatasetInfo`.
        source: The tool that made it, and its settings.
        skipped: Files and clips that were left out, as in `DatasetInfo.skipped`.
        files: Size and time of each source file, as in `DatasetInfo.files`.
    """
    info = DatasetInfo(
        class_names=list(class_names),
        label_kind=label_kind,
        shards=[summary.entry for summary in summaries],
        source=source,
        skipped=list(skipped),
        files=dict(files or {}),
    )
    ClipIndex.from_shards(summaries).save(directory)
    info.save(directory)
    return info


class ClipDataset:
    """The description and the index of a dataset folder.

    Attributes:
        directory: Path of the folder, local or remote.
        info: Content of `dataset.json`.
        index: Content of `index.npz`, a row per clip.
    """

    def __init__(self, directory: str | os.PathLike):
        """Reads both files.

        Raises:
            FileNotFoundError: The folder is no finished dataset.
            ValueError: A file is damaged, or the two do not belong together.
        """
        self.directory = usable_path(directory)
        self.info = DatasetInfo.load(directory)
        self.index = ClipIndex.load(directory)
        shards = tuple(shard["name"] for shard in self.info.shards)
        if shards != self.index.shard_names or len(self.index) != self.info.num_clips:
            raise ValueError(
                f"{self.directory}: index.npz lists {len(self.index)} clips in "
                f"{len(self.index.shard_names)} shards, dataset.json "
                f"{self.info.num_clips} in {len(shards)}; they are of different "
                "conversions. If the shards are whole, `python -m "
                f"tfrecords_tools.inspect_records {self.directory} --reindex "
                "--overwrite` makes both anew"
            )

    def __len__(self) -> int:
        return len(self.index)

    def reader(self) -> RecordReader:
        """Opens the shards for reading by index row."""
        return RecordReader(self.directory, self.index)
