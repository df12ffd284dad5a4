"""A network's features of a dataset's clips, extracted to a file."""

from __future__ import annotations

import dataclasses
import os

from spl_tf import data
from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import CropSize
from spl_tf.distribution.strategies import make_strategy
from spl_tf.files import absolute_path
from spl_tf.inference.evaluation import Views, accept_any_size, open_run
from spl_tf.inference.feature_file import FeatureFile
from spl_tf.inference.feature_folder import FeatureFolder, find_together
from spl_tf.inference.shared_work import check_options
from spl_tf.models import feature_model
from spl_tf.runs import run_folder

_REMEDY = "Give another output, or overwrite to start over"


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
    crop_size: CropSize | None = None,
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
        crop_size: Side of a view's square in pixels, or (height, width); None for the
            run's.
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
    folder = FeatureFolder(output, clips, inputs, _REMEDY)
    if overwrite:
        folder.clear()
    part = (worker, num_workers)
    return find_together(folder, model, devices, views, batch_size, part)
