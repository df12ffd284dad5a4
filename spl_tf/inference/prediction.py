"""The teacher's predictions, written into the clip records."""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from ml_collections import config_dict

from spl_tf import clips, data
from spl_tf.clips.frame_shape import CropSize
from spl_tf.distribution.interruption import TrainingStopped, on_sigterm
from spl_tf.distribution.strategies import make_strategy
from spl_tf.files import absolute_path
from spl_tf.inference.ensemble import load_teachers, vote
from spl_tf.inference.evaluation import Views, forward_batches
from spl_tf.inference.media_overlap import media_ids
from spl_tf.inference.outputs import is_multi_label
from spl_tf.inference.prediction_folder import PredictionFolder
from spl_tf.inference.prediction_writer import ShardWriter
from spl_tf.inference.shared_work import check_options
from spl_tf.inference.teacher_checks import (
    check_teacher_of_frames,
    check_teacher_of_images,
    outputs_of_classes,
)
from spl_tf.progress import Progress
from spl_tf.runs import run_folder

CLASSES = ("same", "dataset")
_FRAMES_OF_ITEM = 16  # that are asked about one by one, read and decoded together


def predict(
    checkpoint: str | Sequence[str],
    input_dir: str,
    output_dir: str,
    batch_size: int = 32,
    top_k: int = 5,
    strategy: str = "auto",
    num_clips: int = 1,
    num_crops: int = 1,
    worker: int = 0,
    num_workers: int = 1,
    overwrite: bool = False,
    on_bad_record: str = "error",
    max_bad_records: int = data.MAX_BAD_RECORDS,
    classes: str = "same",
    fully_convolutional: bool = False,
    crop_size: CropSize | None = None,
    short_side: int | None = None,
    num_frames: int | None = None,
    per_frame: bool = False,
    allow_3d_teacher_on_images: bool = False,
) -> clips.DatasetInfo | None:
    """Writes a dataset again, with the teacher's top-k classes in every record.

    Frames are copied byte for byte. The counts of weak label x teacher's first choice
    go into `dataset.json`; clips without a label are not counted.

    A call that was stopped at any moment is continued by the same call: finished
    shards stay, and the result is that of an unbroken one. Batches are the same
    whatever is left to do and however many workers share it, so with the same batch
    size on the same kind of device the result is the same to the bit; another batch
    size or device may change the last digits of confidences.

    Args:
        checkpoint: Workdir of the teacher's finished training run; of several, the
            mean of their probabilities counts.
        input_dir: Folder of the dataset to label.
        output_dir: Folder of the labelled dataset. A finished prediction of the same
            inputs is returned without any work.
        batch_size: Clips per replica and step.
        top_k: Number of the teacher's classes that are kept per clip.
        strategy: Devices to run on, see `make_strategy`; all but "multi_worker".
        num_clips: Runs of frames per clip, see `eval_batches`; the probabilities of
            all views of a clip are averaged.
        num_crops: 1, 3 or 10 crops of each run.
        worker: Number of this process, from 0.
        num_workers: Independent processes that share the work and `output_dir`. Each
            has a block of shards; the last one to finish completes the dataset. One
            that died is started again, or its part is done by a call without workers.
        overwrite: Starts over where `output_dir` holds a prediction, of whatever
            inputs.
        on_bad_record: "error", or "skip" to leave clips out whose record cannot be
            read; they are listed in `dataset.json`.
        max_bad_records: With "skip", more than this many are an error.
        classes: One of `CLASSES`: the teacher has the "same" classes as the dataset;
            or those of the "dataset" are among them, and get all of the probability.
        fully_convolutional: Whether every position of a view is classified, see
            `Views`.
        crop_size: Side of a view's square in pixels, or (height, width); None for the
            teacher's.
        short_side: What a frame's shorter side is scaled to, see `eval_batches`; None
            for the teacher's.
        num_frames: Frames, or segments, of a run; None for the teacher's.
        per_frame: Whether records also get a 2D teacher's first choice of each frame,
            and its probability, the mean over crops (OmniSource, 3.5).
        allow_3d_teacher_on_images: Whether a 3D teacher may label images.

    Returns:
        The new dataset's description; None while other workers have shards to write.

    Raises:
        ValueError: An argument is impossible, the teacher's classes are not the
            dataset's, or `output_dir` holds a prediction of other inputs.
        FileExistsError: `output_dir` holds something that is no prediction.
        FloatingPointError: The teacher gives no finite probabilities.
        TrainingStopped: SIGTERM came; finished shards are kept.
        OSError: The disk is full; finished shards are kept.
        BadRecordError: A record cannot be read, or too many; the message names it.
    """
    if classes not in CLASSES:
        raise ValueError(f"classes is {classes!r}, expected one of {CLASSES}")
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}, expected 1 or more")
    check_options(
        batch_size, num_clips, num_crops, strategy, worker, num_workers, overwrite
    )
    data.check_bad_record_options(on_bad_record, max_bad_records)
    dataset = _open_dataset(input_dir, output_dir)
    devices = make_strategy(strategy)
    checkpoints = [checkpoint] if isinstance(checkpoint, str) else list(checkpoint)
    if len(checkpoints) > 1 and fully_convolutional:
        raise ValueError("fully_convolutional is for one teacher")
    with devices.scope():
        teachers = load_teachers(checkpoints)
        model = vote([model for _, _, model in teachers])
    for each, (config, _, network) in zip(checkpoints, teachers, strict=True):
        if not allow_3d_teacher_on_images:
            check_teacher_of_images(each, config, network, dataset)
        if per_frame:
            check_teacher_of_frames(each, network)
    config, label_names, _ = teachers[0]
    outputs = outputs_of_classes(checkpoints[0], config, label_names, dataset, classes)
    further = {
        "fully_convolutional": fully_convolutional,
        "crop_size": crop_size,
        "short_side": short_side,
        "num_frames": num_frames,
    }
    inputs = {
        "checkpoint": ",".join(
            os.path.basename(absolute_path(each)) for each in checkpoints
        ),
        "weights": run_folder.network_fingerprint(model),
        "dataset": run_folder.dataset_fingerprint(dataset),
        "top_k": min(top_k, len(outputs)),
        "num_clips": num_clips,
        "num_crops": num_crops,
        **({} if classes == "same" else {"classes": classes}),
        **{key: value for key, value in further.items() if value},
        **({"per_frame": True} if per_frame else {}),
    }
    views = Views.of(config.data, num_clips=num_clips, num_crops=num_crops, **further)
    with devices.scope():
        model = views.of_model(model)
    folder = PredictionFolder(output_dir, dataset, inputs)
    if overwrite:
        folder.clear()
    finished = folder.claim()
    if finished is not None:
        logging.info("%s is complete", output_dir)
        return finished
    # Blocks, not every n-th shard: few batches then hold clips of two workers.
    num_shards = len(dataset.index.shard_names)
    mine = np.array_split(np.arange(num_shards), num_workers)[worker].tolist()
    left = [shard for shard in mine if folder.report(shard) is None]
    if left:
        logging.info("%d of %d shards are left to write", len(left), len(mine))
        own_media = _own_media([config for config, _, _ in teachers])
        skipped = None
        if on_bad_record == "skip":
            skipped = data.SkippedRecords(input_dir, max_bad_records)
        run = _Forward(
            dataset, config, model, devices, batch_size, views, inputs, skipped, outputs
        )
        with ShardWriter(folder, dataset, left, own_media, skipped) as writer:
            run.predict(mine, left, writer)
    return folder.finish()


def _open_dataset(input_dir: str, output_dir: str) -> clips.ClipDataset:
    if os.path.realpath(input_dir) == os.path.realpath(output_dir):
        raise ValueError(f"input_dir and output_dir are the same folder, {input_dir}")
    dataset = clips.ClipDataset(input_dir)
    if not len(dataset):
        raise ValueError(f"{input_dir} has no clips")
    num_classes = len(dataset.info.class_names)
    highest = int(dataset.index.label.max())
    if highest >= num_classes:
        row = int(dataset.index.label.argmax())
        raise ValueError(
            f"{input_dir}, row {row}: the label is {highest}, expected 0 to "
            f"{num_classes - 1}, or -1 for none"
        )
    return dataset


def _own_media(configs: Sequence[config_dict.ConfigDict]) -> set[str] | None:
    """Media ids of what teachers were trained on; None, and a warning, without them."""
    folders: list[str] = []
    for config in configs:
        sources = config.data.get("sources", {}).values()
        folders += [source.dataset for source in sources] or [config.data.train]
    if not any(folders):
        logging.warning(
            "it cannot be checked whether the teacher was trained on clips that it now "
            "labels: its training set is not known"
        )
        return None
    try:
        return set().union(*(media_ids(clips.ClipDataset(each)) for each in folders))
    except (OSError, ValueError, tf.errors.OpError) as error:
        logging.warning(
            "it cannot be checked whether the teacher was trained on clips that it now "
            "labels: its training set, %s, cannot be read: %s",
            ", ".join(folders),
            error,
        )
        return None


class _Forward:
    """The teacher at work on the clips of some shards."""

    def __init__(
        self,
        dataset: clips.ClipDataset,
        config: config_dict.ConfigDict,
        model: keras.Model,
        devices: tf.distribute.Strategy,
        batch_size: int,
        views: Views,
        inputs: dict[str, Any],
        skipped: data.SkippedRecords | None,
        outputs: np.ndarray,
    ):
        self._dataset, self._config = dataset, config
        self._model, self._devices = model, devices
        self._batch_size, self._views, self._top_k = batch_size, views, inputs["top_k"]
        self._skipped, self._outputs = skipped, outputs
        self._per_frame = inputs.get("per_frame", False)

    def predict(self, mine: list[int], left: list[int], writer: ShardWriter) -> None:
        """Predicts the clips of the shards that are left, for the writer.

        Raises:
            TrainingStopped: SIGTERM came; finished shards stay.
        """
        shard = self._dataset.index.shard
        total, wanted = int(np.isin(shard, mine).sum()), np.isin(shard, left)
        stop = threading.Event()
        with (
            Progress(
                total, "clip", "predicting", initial=total - int(wanted.sum())
            ) as progress,
            on_sigterm(stop.set),
        ):
            make_batches = functools.partial(self._batches, wanted)
            choices = self._frame_choices(wanted) if self._per_frame else None
            for batch in forward_batches(
                self._model,
                self._devices,
                make_batches,
                multi_label=is_multi_label(self._config),
            ):
                rows, probabilities = self._scores(batch)
                # Stable, so that of equal probabilities the lower class comes first.
                order = np.argsort(-probabilities, axis=1, kind="stable")
                best = order[:, : self._top_k]
                writer.put(
                    rows,
                    best,
                    np.take_along_axis(probabilities, best, axis=1),
                    choices and list(itertools.islice(choices, len(rows))),
                )
                progress.update(len(rows))
                if stop.is_set():
                    raise TrainingStopped(
                        "stopped; finished shards are kept, and the same command "
                        "continues"
                    )

    def _frame_choices(self, wanted: np.ndarray) -> Iterator[clips.FrameChoices]:
        """What the teacher says of the frames of each clip that is wanted, in order."""
        lengths = self._dataset.index.frames
        size = min(_FRAMES_OF_ITEM, int(lengths.max()))
        found = clips.FrameChoices([], [])
        for batch in forward_batches(
            self._model,
            self._devices,
            functools.partial(self._batches, wanted, frames=size),
            multi_label=is_multi_label(self._config),
            by_view=True,
        ):
            items, _, outputs = batch["probabilities"].shape
            views = batch["probabilities"].reshape(items, size, -1, outputs)
            batch["probabilities"] = views.mean(axis=2)
            for row, first, frames in zip(*self._scores(batch, "first"), strict=True):
                frames = frames[: lengths[row] - first]
                best = frames.argmax(axis=1)  # of equal ones the lower class
                found.index.extend(best.tolist())
                found.confidence.extend(frames.max(axis=1).tolist())
                if len(found.index) == lengths[row]:
                    yield found
                    found = clips.FrameChoices([], [])

    def _batches(self, wanted: np.ndarray, frames: int = 0) -> tf.data.Dataset:
        return data.predict_batches(
            self._dataset,
            batch_size=self._batch_size,
            replicas=self._devices.num_replicas_in_sync,
            wanted=wanted,
            skipped=self._skipped,
            frames=frames,
            **self._views.arguments(),
        )

    def _scores(self, batch: dict[str, np.ndarray], *columns: str) -> list[np.ndarray]:
        """Of what is wanted rows, int64 [n], other columns, probabilities [n, ..., C].

        The probabilities are those of the dataset's classes, float32.
        """
        mask = batch["mask"]
        probabilities = batch["probabilities"][mask]
        finite = np.isfinite(probabilities.reshape(len(probabilities), -1)).all(axis=1)
        if not finite.all():
            clip_id = batch["id"][mask][np.argmin(finite)].decode(errors="replace")
            raise FloatingPointError(
                f"the teacher's probabilities for clip {clip_id!r} are not finite: its "
                "weights, or its precision, are not usable"
            )
        if len(self._outputs) < probabilities.shape[-1]:
            probabilities = probabilities[..., self._outputs]
            if not is_multi_label(self._config):
                whole = probabilities.sum(axis=-1, keepdims=True)
                probabilities /= np.maximum(whole, np.finfo(np.float32).tiny)
        return [*(batch[name][mask] for name in ("index", *columns)), probabilities]
