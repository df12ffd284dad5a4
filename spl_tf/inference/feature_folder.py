"""The features of a dataset's clips: found by several processes, and continued.

While the file grows, a hidden folder beside it holds what it is made from and the
features of each shard that is finished. Independent processes share the folder, and
whoever finds all shards finished writes the file; two that do so at once write the same
bytes.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from spl_tf import data
from spl_tf.clips import ClipDataset, write_if_absent
from spl_tf.clips.shard_folder import INPUTS, ShardFolder
from spl_tf.distribution.interruption import TrainingStopped, on_sigterm
from spl_tf.files import absolute_path
from spl_tf.inference.evaluation import Views
from spl_tf.inference.feature_file import FeatureFile
from spl_tf.inference.features import ClipFeatures, check_any, feature_batches
from spl_tf.progress import Progress


class FeatureFolder(ShardFolder):
    """The file, and the hidden folder with the features of finished shards."""

    def __init__(
        self, output: str, dataset: ClipDataset, inputs: dict[str, Any], remedy: str
    ):
        """Touches nothing yet.

        Args:
            output: The `.npz` file that is made.
            dataset: Whose clips are looked at.
            inputs: All that decides what is found, by name, as JSON values.
            remedy: What to do about an output of other inputs.
        """
        directory, name = os.path.split(absolute_path(output))
        super().__init__(directory, name, remedy, dict)
        self.output, self.dataset = os.path.join(directory, name), dataset
        self.inputs = json.loads(json.dumps(inputs))  # as they are read back

    def clear(self) -> None:
        """Removes the file, if it is one of features, and all parts."""
        if os.path.exists(self.output):
            FeatureFile.check(self.output)
            os.remove(self.output)
        self.remove_work()

    def claim(self) -> FeatureFile | None:
        """Returns the file if it is finished; else makes the folder these inputs'."""
        if os.path.exists(self.output):
            return self._finished()
        os.makedirs(self.work_dir, exist_ok=True)
        write_if_absent(self.path(INPUTS), json.dumps(self.inputs).encode())
        claim = self.load(INPUTS)
        if claim is None or os.path.exists(
            self.output
        ):  # by another process, meanwhile
            return self._finished()
        self.check_inputs(claim, self.inputs)
        return None

    def _finished(self) -> FeatureFile:
        found = FeatureFile.load(self.output)
        self.check_inputs(found.inputs, self.inputs)
        self._remove_rest()
        return found

    def has_part(self, shard: int) -> bool:
        """Whether a shard is finished."""
        return os.path.exists(self._part_path(shard))

    def _part_path(self, shard: int) -> str:
        return self.path(f"shard-{shard:05d}.npz")

    def save_part(
        self, shard: int, found: ClipFeatures, skipped: dict[str, str]
    ) -> None:
        """Marks a shard as finished, with what was found in it."""
        self._file(found, skipped).save(self._part_path(shard))

    def _file(self, found: ClipFeatures, skipped: dict[str, str]) -> FeatureFile:
        rows, ids, features = found
        directory = absolute_path(self.dataset.directory)
        ids = ids.astype(np.str_)
        return FeatureFile(rows, ids, features, directory, self.inputs, skipped)

    def finish(self) -> FeatureFile | None:
        """Writes the file once all shards are finished; before that, nothing."""
        parts = []
        for shard in range(len(self.dataset.index.shard_names)):
            try:
                parts.append(FeatureFile.load(self._part_path(shard)))
            except FileNotFoundError:
                is_there = os.path.exists(self.output)  # another process was faster
                return self._finished() if is_there else None
        columns = zip(*((p.rows, p.ids, p.features) for p in parts), strict=True)
        found = ClipFeatures(*map(np.concatenate, columns))
        check_any(len(found.rows), self.dataset)
        skipped = {row: why for p in parts for row, why in p.skipped.items()}
        whole = self._file(found, skipped)
        whole.save(self.output)
        self._remove_rest()
        return whole

    def _remove_rest(self) -> None:
        try:
            self.remove_halves(os.path.basename(self.output).__eq__)
            self.remove_work()
        except (OSError, tf.errors.OpError) as error:
            # Harmless: another process is removing it too, or a later call does.
            logging.info("%s is not removed: %s", self.work_dir, error)


def find_together(
    folder: FeatureFolder,
    model: keras.Model,
    devices: tf.distribute.Strategy,
    views: Views,
    batch_size: int,
    part: tuple[int, int],
    **outputs: bool,
) -> FeatureFile | None:
    """Finds the features of a process's part of the shards; then finishes, if all are.

    Args:
        folder: Gets them; a finished file of the same inputs is returned at once.
        model: Network that gives features, or logits.
        devices: The devices that it runs on, in one process.
        views: How each clip is looked at.
        batch_size: Clips per replica and step.
        part: Number of this process, from 0, and of all that share the work.
        **outputs: What the model gives, see `feature_batches`.

    Returns:
        What was found of all clips; None while other processes have shards to look at.

    Raises:
        BadRecordError: A record is bad, or too many are.
        ChangedInputsError: The folder holds features of other inputs.
        TrainingStopped: SIGTERM came; finished shards are kept.
    """
    finished = folder.claim()
    if finished is not None:
        logging.info("%s is complete", folder.output)
        return finished
    worker, num_workers = part
    num_shards = len(folder.dataset.index.shard_names)
    mine = np.array_split(np.arange(num_shards), num_workers)[worker].tolist()
    left = [shard for shard in mine if not folder.has_part(shard)]
    if left:
        logging.info("%d of %d shards are left to look at", len(left), len(mine))
        _look(folder, model, devices, views, batch_size, left, outputs)
    return folder.finish()


def _look(
    folder: FeatureFolder,
    model: keras.Model,
    devices: tf.distribute.Strategy,
    views: Views,
    batch_size: int,
    left: list[int],
    outputs: dict[str, bool],
) -> None:
    """Looks at the clips of the shards that are left, one shard after another."""
    dataset, shards = folder.dataset, folder.dataset.index.shard
    sizes = np.bincount(shards, minlength=max(left) + 1)
    wanted = np.isin(shards, left)
    skipped = None
    if views.on_bad_record == "skip":
        skipped = data.SkippedRecords(dataset.directory, views.max_bad_records)
    stop = threading.Event()
    batches = feature_batches(
        model,
        devices,
        dataset,
        views,
        batch_size,
        wanted=wanted,
        skipped=skipped,
        **outputs,
    )
    with (
        Progress(
            len(shards), "clip", "features", initial=int((~wanted).sum())
        ) as progress,
        on_sigterm(stop.set),
    ):
        clips = _one_by_one(batches, progress, stop)
        for shard in left:
            found = list(itertools.islice(clips, sizes[shard]))
            bad = [row for row, _, _ in found if skipped is not None and row in skipped]
            good = [each for each in found if each[0] not in bad]
            features = np.empty((len(good), model.output_shape[-1]), np.float32)
            for place, (_, _, each) in enumerate(good):
                features[place] = each
            rows = np.array([row for row, _, _ in good], np.int64)
            ids = np.array([name for _, name, _ in good], np.str_)
            reasons = {str(row): skipped.reason(row) for row in bad}
            folder.save_part(shard, ClipFeatures(rows, ids, features), reasons)


def _one_by_one(
    batches: Iterator[ClipFeatures], progress: Progress, stop: threading.Event
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Row, id and features of each clip.

    Raises:
        TrainingStopped: SIGTERM came.
    """
    for rows, ids, features in batches:
        progress.update(len(rows))
        yield from zip(rows.tolist(), ids, features, strict=True)
        if stop.is_set():
            raise TrainingStopped(
                "stopped; finished shards are kept, and the same command continues"
            )
