"""Evaluates a trained model on a dataset, or its former predictions again.

python -m experiments.evaluate --checkpoint=runs/finetuned --dataset=clips/val \
    --output_dir=runs/finetuned/val --protocol=paper

Protocols:

- `views`: `--num_clips` x `--num_crops` views of each clip, sampled as in training,
  their probabilities averaged; TSN's 25 frames x 10 crops are `--num_frames=25
  --num_crops=10`;
- `paper`: one view of 64 frames at stride 4 (paper, section 4.2);
- `linear`: logistic regression on the network's frozen features, trained on
  `--train_dataset`; the views are those of `views`, their features averaged. Where
  clips have several labels it is a regression per label.

Several processes share the clips as those of `experiments.predict` do, and the last one
writes the results, which are those of one process; stopped by SIGTERM, one of them ends
with exit code 75.

Writes `results.json`, `per_class.csv`, `confusion.png` and `predictions.npz`. The last
one is enough to compute the metrics again, for example without a class:

python -m experiments.evaluate --predictions=runs/finetuned/val/predictions.npz \
    --exclude_classes=Background --output_dir=runs/finetuned/val_foreground

With several files, of the same clips, their probabilities are averaged first: two
streams, or an ensemble.

python -m experiments.evaluate --predictions=rgb/predictions.npz,flow/predictions.npz \
    --weights=1,0.5 --output_dir=runs/two_streams
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags

from experiments.predict import choose_part
from experiments.reporting.evaluation import Report, summary
from spl_tf import binary, clips, data
from spl_tf.analysis.label_plots import plot_confusion
from spl_tf.clips.frame_shape import CropSize
from spl_tf.inference.evaluation import Views, open_run
from spl_tf.inference.fusion import fuse
from spl_tf.inference.linear_probe import STRENGTHS
from spl_tf.inference.outputs import is_multi_label
from spl_tf.inference.protocols import (
    PROTOCOLS,
    check_classes,
    check_protocol,
    find_scores,
)
from spl_tf.inference.scores import Scores, measure, write_class_table
from spl_tf.inference.shared_evaluation import SharedEvaluation
from spl_tf.inference.shared_work import check_options
from spl_tf.metrics import MeanAveragePrecision
from spl_tf.runs import run_folder
from spl_tf.training import STOPPED_EXIT_CODE, TrainingStopped, make_strategy

_STRATEGIES = ("auto", "one", "mirrored")  # those of one process
_PREDICTIONS = "predictions.npz"


def evaluate(
    checkpoint: str,
    dataset: str,
    output_dir: str,
    protocol: str = "views",
    num_clips: int = 1,
    num_crops: int = 1,
    train_dataset: str = "",
    exclude_classes: Sequence[str] = (),
    batch_size: int = 8,
    strategy: str = "auto",
    seed: int = 0,
    on_bad_record: str = "error",
    max_bad_records: int = data.MAX_BAD_RECORDS,
    fully_convolutional: bool = False,
    crop_size: CropSize | None = None,
    short_side: int | None = None,
    num_frames: int | None = None,
    strength: float | None = None,
    worker: int = 0,
    num_workers: int = 1,
) -> Report | None:
    """Runs a model on every clip of a dataset, and measures.

    Args:
        checkpoint: Workdir of a finished run.
        dataset: The clips, with labels of the model's classes; with protocol "linear"
            of those of `train_dataset`.
        output_dir: Gets the results; former ones are replaced.
        protocol: How clips are looked at, one of `PROTOCOLS`; see the module.
        num_clips: Runs of frames to take of each clip.
        num_crops: 1, 3 or 10 crops of each run, see `data.sampling.central_windows`.
        train_dataset: What the linear classifier learns from.
        exclude_classes: Left out of the mean average precision.
        batch_size: Clips per replica, each with all its views.
        strategy: Devices to run on, see `make_strategy`.
        seed: Decides which training clips protocol "linear" holds out.
        on_bad_record: "error", or "skip" to leave the clip out; the results say how
            many.
        max_bad_records: With "skip", more than this many are an error.
        fully_convolutional: Whether every position of a view is classified, see
            `Views`; not with protocol "linear".
        crop_size: Side of a view's square in pixels, or (height, width); None for the
            model's.
        short_side: What a stored frame's shorter side is scaled to, see `eval_batches`;
            None for the model's.
        num_frames: Frames, or segments, of a run; None for the model's.
        strength: With protocol "linear", of the penalty strength/2 * ||kernel||^2; None
            chooses it on a tenth of the training clips that is held out.
        worker: Number of this process, from 0.
        num_workers: Independent processes that share the work and `output_dir`, as
            those of `predict` do; results that they have finished are not made again.

    Returns:
        What was found; None while other workers have clips to look at.

    Raises:
        BadRecordError: A record cannot be read, or too many; the message names it.
        ValueError: The classes differ, a label is no class, or the arguments do not
            fit together.
        FileNotFoundError: A folder is not what it should be.
        TrainingStopped: SIGTERM came, to one of several workers; what it has finished
            is kept.
    """
    part = (worker, num_workers)
    check_options(batch_size, num_clips, num_crops, strategy, *part, overwrite=False)
    looks = (num_clips, num_crops, num_frames)
    check_protocol(protocol, looks, train_dataset, fully_convolutional, strength)
    test = clips.ClipDataset(dataset)
    # Both refuse what is wrong before any work.
    MeanAveragePrecision(test.info.class_names, exclude_classes)
    data.check_labels(test)
    devices = make_strategy(strategy)
    config, label_names, model = open_run(checkpoint, devices)
    multi_label = is_multi_label(config)
    if protocol != "linear":
        (data.several_labels if multi_label else data.check_one_label)(test)
    views = Views.of(
        config.data,
        num_clips=num_clips,
        num_crops=num_crops,
        on_bad_record=on_bad_record,
        max_bad_records=max_bad_records,
        fully_convolutional=fully_convolutional,
        crop_size=crop_size,
        short_side=short_side,
        num_frames=num_frames,
    )
    with devices.scope():
        model = views.of_model(model)
    if protocol == "paper":
        views = dataclasses.replace(views, sampling=data.PAPER_EVALUATION)
    settings = {
        "protocol": protocol,
        "checkpoint": checkpoint,
        "network": run_folder.network_fingerprint(model),
        "dataset": dataset,
        "dataset_fingerprint": run_folder.dataset_fingerprint(test),
        "num_frames": views.sampling.num_frames,
        "stride": views.sampling.stride,
        "crop_size": views.crop_size,
        "short_side": views.short_side,
        "fully_convolutional": fully_convolutional,
        "num_clips": num_clips,
        "num_crops": num_crops,
    }
    if protocol == "linear":
        train = clips.ClipDataset(train_dataset)
        settings["linear"] = {
            "train_dataset": train_dataset,
            "train_fingerprint": run_folder.dataset_fingerprint(train),
            "train_clips": len(train),
            "seed": seed,
            "strengths": list(STRENGTHS if strength is None else (strength,)),
        }
    else:
        check_classes(checkpoint, label_names, test)
    find = functools.partial(
        find_scores, settings, model, devices, test, views, batch_size, multi_label
    )
    return _measure(find, output_dir, exclude_classes, settings, part)


def _measure(
    find: Callable[[SharedEvaluation | None], Scores | None],
    output_dir: str,
    exclude_classes: Sequence[str],
    settings: dict[str, Any],
    part: tuple[int, int],
) -> Report | None:
    """Writes scores, by one process or several, and what is measured with them."""
    path = os.path.join(output_dir, _PREDICTIONS)
    if part == (0, 1):
        scores = find(None)
        os.makedirs(output_dir, exist_ok=True)
        scores.save(path)
        return _report(scores, exclude_classes, output_dir)
    shared = SharedEvaluation(output_dir, settings, part)
    scores = shared.finish(path, find)
    if scores is None:
        return None
    report = _report(scores, exclude_classes, output_dir)
    shared.remove()
    return report


def evaluate_again(
    predictions: str, output_dir: str, exclude_classes: Sequence[str] = ()
) -> Report:
    """Measures predictions that were saved, without model or dataset.

    Args:
        predictions: The `predictions.npz` of an evaluation.
        output_dir: Folder of the results; former ones are replaced.
        exclude_classes: Left out of the mean average precision.
    """
    scores = Scores.load(predictions)
    os.makedirs(output_dir, exist_ok=True)
    return _report(scores, exclude_classes, output_dir)


def evaluate_fused(
    predictions: Sequence[str],
    output_dir: str,
    weights: Sequence[float] = (),
    exclude_classes: Sequence[str] = (),
) -> Report:
    """Measures the weighted mean of predictions that were saved, and saves it.

    Args:
        predictions: The `predictions.npz` of two or more evaluations of the same clips.
        output_dir: Folder of the results; former ones are replaced.
        weights: Weight of each prediction; all the same if empty.
        exclude_classes: Left out of the mean average precision.

    Raises:
        FileNotFoundError: A file is not there.
        ValueError: Weights or clips do not fit together, see `fuse`.
    """
    parts = [Scores.load(path) for path in predictions]
    scores = fuse(parts, weights or [1.0] * len(parts), predictions)
    MeanAveragePrecision(scores.class_names, exclude_classes)
    os.makedirs(output_dir, exist_ok=True)
    scores.save(os.path.join(output_dir, _PREDICTIONS))
    return _report(scores, exclude_classes, output_dir)


def _report(scores: Scores, exclude_classes, output_dir: str) -> Report:
    """Measures, and writes all but the predictions."""
    evaluation = measure(scores, exclude_classes)
    results = {
        **evaluation.metrics,
        "excluded_classes": sorted(exclude_classes),
        "settings": scores.settings,
    }
    write_class_table(os.path.join(output_dir, "per_class.csv"), evaluation.classes)
    if evaluation.confusion is not None:
        confusion = evaluation.confusion_matrix()
        path = os.path.join(output_dir, "confusion.png")
        plot_confusion(confusion, path, "label", "prediction", "error")
    run_folder.write_json(os.path.join(output_dir, "results.json"), results)
    return Report(results, evaluation.classes)


def main(argv: list[str]) -> int:
    """Reads the flags, evaluates, prints the results."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    if values.predictions:
        own = (*_OF_A_MODEL, "worker", "num_workers")
        given = [name for name in own if values[name].present]
        if given:
            raise app.UsageError(f"--predictions leaves no use for --{given[0]}")
        report = _of_predictions(
            values.predictions,
            values.weights,
            values.output_dir,
            values.exclude_classes,
        )
    elif values.weights:
        raise app.UsageError("--weights are of several --predictions")
    else:
        missing = [name for name in ("checkpoint", "dataset") if not values[name].value]
        if missing:
            raise app.UsageError(f"--{missing[0]} or --predictions is needed")
        worker, num_workers = choose_part(values.worker, values.num_workers)
        try:
            report = evaluate(
                output_dir=values.output_dir,
                exclude_classes=values.exclude_classes,
                worker=worker,
                num_workers=num_workers,
                **{name: values[name].value for name in _OF_A_MODEL},
            )
        except TrainingStopped as stopped:
            print(stopped)
            return STOPPED_EXIT_CODE
        if report is None:
            print(
                f"{values.output_dir}: worker {worker} of {num_workers} is done, "
                "others have clips to look at"
            )
            return 0
    print(summary(report))
    print(f"\nwrote {values.output_dir}")
    return 0


def _of_predictions(
    predictions: str, weights: str | None, output_dir: str, exclude_classes: list[str]
) -> Report:
    # One file may have a comma in its name.
    paths = [predictions] if os.path.exists(predictions) else predictions.split(",")
    if len(paths) == 1:
        if weights:
            raise app.UsageError("--weights are of several --predictions")
        return evaluate_again(paths[0], output_dir, exclude_classes)
    try:
        numbers = [float(each) for each in weights.split(",")] if weights else []
    except ValueError as error:
        raise app.UsageError(f"--weights={weights}: {error}") from error
    return evaluate_fused(paths, output_dir, numbers, exclude_classes)


_OF_A_MODEL = (
    "checkpoint",
    "dataset",
    "protocol",
    "num_clips",
    "num_crops",
    "train_dataset",
    "batch_size",
    "strategy",
    "seed",
    "on_bad_record",
    "max_bad_records",
    "fully_convolutional",
    "crop_size",
    "short_side",
    "num_frames",
    "strength",
)

if __name__ == "__main__":
    flags.DEFINE_string("checkpoint", None, "Workdir of the run.")
    flags.DEFINE_string("dataset", None, "Folder of the clips to evaluate on.")
    flags.DEFINE_string(
        "predictions", None, "Measure these again; of several, their mean."
    )
    flags.DEFINE_string(
        "weights", None, "Weights of several --predictions, with commas."
    )
    flags.DEFINE_string("output_dir", None, "Folder for the results.", required=True)
    flags.DEFINE_enum("protocol", "views", PROTOCOLS, "How to look at clips.")
    flags.DEFINE_integer("num_clips", 1, "Runs of frames per clip.", lower_bound=1)
    flags.DEFINE_integer("num_crops", 1, "Crops of each: 1, 3 or 10.")
    binary.define_view_flags()
    flags.DEFINE_string("train_dataset", "", "What the linear classifier learns from.")
    flags.DEFINE_float("strength", None, "Of its L2 penalty; else chosen.")
    flags.DEFINE_list("exclude_classes", [], "Classes left out of mAP.")
    flags.DEFINE_integer("batch_size", 8, "Clips per replica.", lower_bound=1)
    flags.DEFINE_enum("strategy", "auto", _STRATEGIES, "Devices to use.")
    flags.DEFINE_integer(
        "seed", 0, "Decides which clips protocol linear holds out.", lower_bound=0
    )
    flags.DEFINE_enum(
        "on_bad_record", "error", ("error", "skip"), "skip: leave the clip out."
    )
    flags.DEFINE_integer(
        "max_bad_records", data.MAX_BAD_RECORDS, "With skip, more are an error."
    )
    flags.DEFINE_integer("worker", None, "This process, from 0.")
    flags.DEFINE_integer("num_workers", None, "Processes that share the work.")
    binary.run(main)
