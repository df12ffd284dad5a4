"""The features of a dataset's clips as one file: extracted, shared and continued.

While it grows, a hidden folder beside it holds what it is made from and the features of
each shard that is finished. Independent processes share the folder, and whoever finds
all shards finished writes the file; two that do so at once write the same bytes.
"""

from __future__ import annotations

import dataclasses
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
from spl_tf.distribution.strategies import make_strategy
from spl_tf.files import absolute_path
from spl_tf.inference.evaluation import Views, accept_any_size, open_run
from spl_tf.inference.features import ClipFeatures, check_any, feature_batches
from spl_tf.inference.shared_work import check_options
from spl_tf.labels import storage
from spl_tf.models import feature_model
from spl_tf.progress import Progress
from spl_tf.runs import run_folder

_KIND, _VERSION = "features", 1
_REMEDY = "Give another output, or overwrite to start over"
# Other clips, or other names of what makes the same features.
_NOT_OF_THE_NETWORK = ("checkpoint", "dataset")


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureFile:
    """Features of a dataset's clips, each the mean over the clip's views.

    Attributes:
        rows: int64 [n], the clips' rows in the index, ascending.
        ids: Strings [n], the clips' ids.
        features: float32 [n, D].
        directory: The dataset's folder.
        inputs: All that decides the features, by name, as JSON values: `dataset` and
            `network` are fingerprints, the rest says how clips were looked at.
        skipped: Why the dataset's other clips are bad records, by row.
    """

    rows: np.ndarray
    ids: np.ndarray
    features: np.ndarray
    directory: str
    inputs: dict[str, Any]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a `.npz` file, whole or not at all."""
        arrays = {"rows": self.rows, "ids": self.ids, "features": self.features}
        names = ("directory", "inputs", "skipped")
        header = {name: getattr(self, name) for name in names}
        storage.save(path, _KIND, _VERSION, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> FeatureFile:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: Nothing is there.
            ValueError: The file is damaged, or something else, or a feature is not
                finite.
        """
        header, arrays = storage.load(path, _KIND, _VERSION)
        try:
            names = ("directory", "inputs", "skipped")
            found = cls(**arrays, **{name: header[name] for name in names})
        except (KeyError, TypeError) as error:
            raise storage.FormatError(f"{path} has no features: {error}") from error
        shape = found.features.shape
        if len(shape) != 2 or not len(found.rows) == len(found.ids) == shape[0]:
            raise storage.FormatError(
                f"{path} has {len(found.rows)} rows, {len(found.ids)} ids and features "
                f"{list(shape)}, expected [n, D], and n of each"
            )
        finite = np.isfinite(found.features).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"{path}: the features of clip {str(found.ids[finite.argmin()])!r} are "
                f"not finite ({(~finite).sum()} such clips); extract them again"
            )
        return found

    def open_dataset(self, directory: str = "") -> ClipDataset:
        """The dataset, as it was when its features were extracted.

        Args:
            directory: Where it is now; empty for where it was.

        Raises:
            FileNotFoundError: It is not there.
            ValueError: It is another one by now.
        """
        dataset = ClipDataset(directory or self.directory)
        found = run_folder.dataset_fingerprint(dataset)
        if found != self.inputs["dataset"]:
            raise ValueError(
                f"the features are of {self.directory} with fingerprint "
                f"{self.inputs['dataset'][:12]}, found {dataset.directory} with "
                f"{found[:12]}: it is another dataset, or was made anew; extract its "
                "features again"
            )
        return dataset

    def labels(self, dataset: ClipDataset) -> np.ndarray:
        """The clips' labels, of several the first; int32 [n], -1 for what is no class.

        Args:
            dataset: What `open_dataset` gives.
        """
        labels = dataset.index.label[self.rows]
        return np.where(labels < len(dataset.info.class_names), labels, -1)

    def where(self, kept: np.ndarray) -> FeatureFile:
        """The clips for which `kept`, bool by row of the dataset, is true."""
        kept = kept[self.rows]
        columns = {"rows": self.rows, "ids": self.ids, "features": self.features}
        chosen = {name: column[kept] for name, column in columns.items()}
        return dataclasses.replace(self, **chosen)

    def differences(self, other: FeatureFile) -> list[str]:
        """In what network or views two files differ, one text for each; else nothing.

        Features can be compared only where there are none.
        """
        return [
            f"{name} ({self.inputs.get(name)!r} and {other.inputs.get(name)!r})"
            for name in sorted({*self.inputs, *other.inputs})
            if name not in _NOT_OF_THE_NETWORK
            and self.inputs.get(name) != other.inputs.get(name)
        ]


def extract_features(
    checkpoint: str,
    dataset: str,
    output: str,
    num_clips: int = 1,
    num_crops: int = 1,
    batch_size: int = 8,
    strategy: str = "auto",
    worker: int = 0,
    num_workers: int = 1,
    overwrite: bool = False,
    on_bad_record: str = "error",
    max_bad_records: int = data.MAX_BAD_RECORDS,
    crop_size: int | None = None,
    short_side: int | None = None,
    num_frames: int | None = None,
) -> FeatureFile | None:
    """Writes a network's pooled features of every clip of a dataset.

    A call that was stopped at any moment is continued by the same call, and the result
    is that of an unbroken one. Labels are not looked at.

    Args:
        checkpoint: Workdir of a finished run.
        dataset: Folder of the clips.
        output: The `.npz` file to write; a finished one of the same inputs is returned
            without any work.
        num_clips: Runs of frames per clip, see `predict_batches`; the features of all
            views of a clip are averaged.
        num_crops: 1, 3 or 10 crops of each run.
        batch_size: Clips per replica and step.
        strategy: Devices to run on, see `make_strategy`; all but "multi_worker".
        worker: Number of this process, from 0.
        num_workers: Independent processes that share the work and `output`; see
            `predict`.
        overwrite: Starts over, whatever features `output` has.
        on_bad_record: "error", or "skip" to leave clips out whose record cannot be
            read.
        max_bad_records: With "skip", more than this many are an error.
        crop_size: Side of a view's square, in pixels; None for the run's.
        short_side: What a frame's shorter side is scaled to, see `predict_batches`;
            None for the run's.
        num_frames: Frames, or segments, of a run; None for the training's.

    Returns:
        What the file has; None while other workers have shards to look at.

    Raises:
        BadRecordError: A record cannot be read, or too many; the message names it.
        FileNotFoundError: The run or the dataset is not there.
        TrainingStopped: SIGTERM came; finished shards are kept.
        ValueError: An argument is impossible, a feature is not finite, or `output` is
            of other inputs.
    """
    if not output.endswith(".npz"):
        raise ValueError(f"output is {output}, expected a file that ends in .npz")
    check_options(
        batch_size, num_clips, num_crops, strategy, worker, num_workers, overwrite
    )
    clips = ClipDataset(dataset)
    if not len(clips):
        raise ValueError(f"{dataset} has no clips")
    devices = make_strategy(strategy)
    config, _, model = open_run(checkpoint, devices)
    with devices.scope():
        model = accept_any_size(feature_model(model))
    views = Views.of(
        config.data,
        num_clips=num_clips,
        num_crops=num_crops,
        on_bad_record=on_bad_record,
        max_bad_records=max_bad_records,
        crop_size=crop_size,
        short_side=short_side,
        num_frames=num_frames,
    )
    inputs = {
        "checkpoint": os.path.basename(absolute_path(checkpoint)),
        "network": run_folder.network_fingerprint(model),
        "dataset": run_folder.dataset_fingerprint(clips),
        **dataclasses.asdict(views.sampling),
        "crop_size": views.crop_size,
        "short_side": views.short_side,
        "num_clips": num_clips,
        "num_crops": num_crops,
    }
    folder = _FeatureFolder(output, clips, inputs)
    if overwrite:
        folder.clear()
    finished = folder.claim()
    if finished is not None:
        logging.info("%s is complete", output)
        return finished
    num_shards = len(clips.index.shard_names)
    mine = np.array_split(np.arange(num_shards), num_workers)[worker].tolist()
    left = [shard for shard in mine if not folder.has_part(shard)]
    if left:
        logging.info("%d of %d shards are left to look at", len(left), len(mine))
        _extract(folder, model, devices, views, batch_size, left)
    return folder.finish()


class _FeatureFolder(ShardFolder):
    """The file, and the hidden folder with the features of finished shards."""

    def __init__(self, output: str, dataset: ClipDataset, inputs: dict[str, Any]):
        directory, name = os.path.split(absolute_path(output))
        super().__init__(directory, name, _REMEDY, dict)
        self.output, self.dataset = os.path.join(directory, name), dataset
        self.inputs = json.loads(json.dumps(inputs))  # as they are read back

    def clear(self) -> None:
        """Removes the file, if it is one of features, and all parts."""
        if os.path.exists(self.output):
            storage.load(self.output, _KIND, _VERSION)
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


def _extract(
    folder: _FeatureFolder,
    model: keras.Model,
    devices: tf.distribute.Strategy,
    views: Views,
    batch_size: int,
    left: list[int],
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
        model, devices, dataset, views, batch_size, wanted=wanted, skipped=skipped
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
