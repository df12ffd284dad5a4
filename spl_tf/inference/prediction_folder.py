"""The folder that predictions are written to: claimed, continued and finished.

Beside the dataset that grows, a hidden folder holds what it is made from and a report
per finished shard. Independent processes share the folder: shards are renamed into
place when they are whole, and whoever finds all of them finished writes `index.npz`
and `dataset.json`; two that do so at once write the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf
from absl import logging

from spl_tf import clips
from spl_tf.clips.shard_folder import INPUTS, ShardFolder
from spl_tf.files import plain_name
from spl_tf.labels import ConfusionMatrix

BAD_RECORD = "bad record"  # kind of a skipped entry
_REMEDY = "Give another output_dir, or overwrite to start over"


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """What became of one shard.

    Attributes:
        summary: What the index needs to know of the records written.
        own_clips: How many are of videos that the teacher was trained on; None where
            that is not known.
        own_media: One of these videos, or empty.
        skipped: What was left out of it, as in `DatasetInfo.skipped`.
    """

    summary: clips.ShardSummary
    own_clips: int | None
    own_media: str
    skipped: list[dict[str, str]] = dataclasses.field(default_factory=list)


class PredictionFolder(ShardFolder):
    """The output of a prediction, shared by all processes that work on it."""

    def __init__(
        self, directory: str, dataset: clips.ClipDataset, inputs: dict[str, Any]
    ):
        """Touches nothing yet.

        Args:
            directory: Folder of the labelled dataset.
            dataset: What is labelled; the output gets the same shards.
            inputs: All that decides what is written, by name, as JSON values; goes
                into `dataset.json`.
        """
        super().__init__(directory, "prediction", _REMEDY, ShardReport)
        self._dataset = dataset
        self._inputs = inputs
        self._claim_path = self.path(INPUTS)

    def clear(self) -> None:
        """Removes a prediction, finished or not, of whatever inputs.

        Raises:
            FileExistsError: The folder holds a dataset that is no prediction.
        """
        info = self._description()
        if info is not None:
            names = [shard["name"] for shard in info.shards]
        else:
            claim = self.load(INPUTS)
            if claim is None:
                return
            names = [plain_name(name, self._claim_path) for name in claim["shards"]]
        self.remove_dataset(names)
        self._remove_work(names)

    def claim(self) -> clips.DatasetInfo | None:
        """Makes the folder this prediction's own, or checks that it is.

        Returns:
            The description, if the prediction is finished.

        Raises:
            FileExistsError: The folder holds something that is no prediction.
            ValueError: It holds a prediction of other inputs; they are named.
        """
        # Looked for first: who finishes writes dataset.json before this is removed.
        is_claimed = tf.io.gfile.exists(self._claim_path)
        info = self._finished()
        if info is not None:
            return info
        if not is_claimed:
            names = self._dataset.index.shard_names
            strange = next(filter(self.holds, names), "")
            # Unless another process has claimed the folder since, or even finished.
            if strange and not tf.io.gfile.exists(self._claim_path):
                info = self._finished()
                if info is not None:
                    return info
                raise FileExistsError(
                    f"{self.directory} holds {strange} but no prediction that this "
                    "one could continue. Give another output_dir"
                )
            tf.io.gfile.makedirs(self.work_dir)
            content = json.dumps({"inputs": self._inputs, "shards": names})
            clips.write_if_absent(self._claim_path, content.encode())
        return self._check_claim()

    def _check_claim(self) -> clips.DatasetInfo | None:
        """Raises ValueError unless the folder is this prediction's, or was finished."""
        claim = self.load(INPUTS)
        if claim is not None:
            self.check_inputs(claim["inputs"], self._inputs)
            return None
        info = self._finished()
        if info is None:
            raise ValueError(
                f"{self.directory} was cleared by another process while this one "
                f"worked in it. {_REMEDY}"
            )
        return info

    def write_shard(
        self, shard: int, records: Iterable[tuple[bytes, int, int, int]]
    ) -> clips.ShardSummary:
        """Writes a shard, whole or not at all; it counts once it is reported.

        Args:
            shard: Position of the shard among the dataset's.
            records: Records as `clips.write_shard` takes them.

        Raises:
            OSError: The disk is full; nothing half-written stays.
        """
        name = self._dataset.index.shard_names[shard]
        with self.writing(name):
            return clips.write_shard(self.directory, name, self._checked(records))

    def _checked(self, records: Iterable) -> Iterator:
        """Gives the records; at the end, before the shard gets its name, looks again.

        Another teacher's prediction may have been begun with `overwrite` meanwhile.
        """
        yield from records
        self._check_claim()

    def finish(self) -> clips.DatasetInfo | None:
        """Writes index and description, if all shards are complete.

        Returns:
            The description; None while other processes have shards to write.
        """
        info = self._check_claim()
        if info is not None:
            return info  # another process was faster
        names = self._dataset.index.shard_names
        reports = [self.report(shard) for shard in range(len(names))]
        if None in reports:
            return self._finished()
        summaries = [report.summary for report in reports]
        skipped = [entry for report in reports for entry in report.skipped]
        index = clips.ClipIndex.from_shards(summaries)
        if not len(index):
            raise ValueError(
                f"{self.directory} would be empty: all {len(skipped)} records are "
                f"bad, the first: {skipped[0]['reason']}"
            )
        confusion = ConfusionMatrix(self._dataset.info.class_names)
        labelled = index.label >= 0
        confusion.update(index.label[labelled], index.teacher[labelled])
        info = dataclasses.replace(
            self._dataset.info,
            shards=[summary.entry for summary in summaries],
            skipped=self._dataset.info.skipped + skipped,
            files={},
            teacher=self._inputs | {"confusion": confusion.cell_lists()},
        )
        index.save(self.directory)
        info.save(self.directory)
        self._remove_work(names)
        _warn_of_own_clips(reports, len(index))
        return info

    def _finished(self) -> clips.DatasetInfo | None:
        info = self._description()
        if info is not None:
            facts = {k: v for k, v in info.teacher.items() if k != "confusion"}
            self.check_inputs(facts, self._inputs)
            self._remove_work([shard["name"] for shard in info.shards])
        return info

    def _description(self) -> clips.DatasetInfo | None:
        if not self.holds("dataset.json"):
            return None
        info = clips.DatasetInfo.load(self.directory)
        if info.teacher is None:
            raise FileExistsError(
                f"{self.directory} already holds a dataset, and it is no prediction. "
                "Give another output_dir"
            )
        return info

    def _remove_work(self, names: Iterable[str]) -> None:
        """Removes the hidden folder and what killed processes had half written."""
        try:
            self.remove_halves(set(names).__contains__)
            self.remove_work()
        except tf.errors.OpError as error:
            # Harmless: another process is removing it too, or a later call does.
            logging.info("%s is not removed: %s", self.work_dir, error)


def _warn_of_own_clips(reports: list[ShardReport], num_clips: int) -> None:
    count = sum(report.own_clips or 0 for report in reports)
    if count:
        example = next(report.own_media for report in reports if report.own_media)
        logging.warning(
            "%d of %d clips are of videos that the teacher was trained on, for example "
            "of %r: it knows their labels by heart, so the confusion counts say too "
            "little about noise. Leave such videos out when converting, with "
            "--exclude_ids",
            count,
            num_clips,
            example,
        )
