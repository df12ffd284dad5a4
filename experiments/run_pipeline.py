"""The whole experiment by one command, from video files to a table of strategies.

python -m experiments.run_pipeline --config=experiments/configs/synthetic.py \
    --workdir=runs/demo

Stages: render -> convert -> teacher -> predict -> labels -> for each strategy: pretrain
-> finetune -> table. Every stage writes a folder of the workdir and is passed over when
that is complete, so a run that was stopped goes on with the same command.
"""

from __future__ import annotations

import os
import time
from typing import Any

from absl import app, flags, logging
from ml_collections import config_dict, config_flags

from experiments.build_labels import build_labels, confusion_of_dataset
from experiments.synthetic import render
from spl_tf import binary
from spl_tf.analysis.label_plots import plot_confusion
from spl_tf.labels import STRATEGIES, LabelMap
from spl_tf.training import STOPPED_EXIT_CODE, TrainingStopped, predict, train
from spl_tf.training.runs import claim_workdir, write_json
from tfrecords_tools.convert_videos import ConversionSettings, convert_videos

_TARGET = {"train": render.TARGET_TRAIN, "validation": render.TARGET_VAL}
_NONE = "none"  # no pre-training


def run_pipeline(config: config_dict.ConfigDict, workdir: str) -> dict[str, Any]:
    """Runs or continues the experiment.

    Args:
        config: See `experiments/configs/synthetic.py`.
        workdir: Gets a folder per stage, `confusion.png` and `results.json`.

    Returns:
        The content of `results.json`: `rows`, one per strategy, and `noise_ratio`.

    Raises:
        ValueError: A strategy is unknown, or the workdir belongs to another config.
    """
    unknown = set(config.strategies) - {_NONE, *STRATEGIES}
    if unknown:
        raise ValueError(
            f"config.strategies has {sorted(unknown)}, known are {[_NONE, *STRATEGIES]}"
        )
    claim_workdir(workdir, config)
    started = time.time()
    folder = _Folders(workdir)
    _render_and_convert(config, folder)

    logging.info("teacher: %s", folder("runs", _NONE))
    baseline = _train(config, "scratch", folder, folder("runs", _NONE))
    if not os.path.exists(folder("clips", "web_teacher", "dataset.json")):
        predict(
            folder("runs", _NONE),
            folder("clips", "web"),
            folder("clips", "web_teacher"),
            batch_size=4 * config.pretrain.data.batch_size,
        )
    rows = [
        _row(_NONE, None, baseline)
        if strategy == _NONE
        else _pretrain_and_finetune(config, strategy, folder)
        for strategy in config.strategies
    ]
    confusion = confusion_of_dataset(folder("clips", "web_teacher"))
    plot_confusion(confusion, folder("confusion.png"))
    results = {"noise_ratio": confusion.noise_ratio, "rows": rows}
    write_json(folder("results.json"), results)
    logging.info("done after %.0f s", time.time() - started)
    return results


class _Folders:
    """Paths in the workdir."""

    def __init__(self, workdir: str):
        self._workdir = workdir

    def __call__(self, *parts: str) -> str:
        path = os.path.join(self._workdir, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path


def _render_and_convert(config, folder: _Folders) -> None:
    world = config.world.copy_and_resolve_references()
    world.seed = config.seed
    # `web.csv` is the last file that rendering writes.
    if not os.path.exists(folder("world", "web.csv")):
        render.render(world, folder("world"))
    for split in render.SPLITS:
        output = folder("clips", split)
        if os.path.exists(os.path.join(output, "dataset.json")):
            continue
        weak = split == render.WEB
        settings = dict(config.conversion, seed=config.seed)
        settings["label_kind"] = "weak" if weak else "clean"
        convert_videos(
            folder("world", f"{split}.csv"),
            folder("world", "classes.txt"),
            output,
            settings=ConversionSettings(**settings),
        )


def _train(config, phase, folder: _Folders, workdir, changes=None) -> dict[str, Any]:
    """Trains one phase; fine-tuning and scratch on the target set, else on the web."""
    settings = config[phase].copy_and_resolve_references()
    settings.seed = config.seed
    if phase == "pretrain":
        settings.data.train = folder("clips", "web_teacher")
    else:
        settings.data.train = folder("clips", _TARGET["train"])
        settings.data.validation = folder("clips", _TARGET["validation"])
    settings.update_from_flattened_dict(changes or {})
    return train(settings, workdir)


def _pretrain_and_finetune(config, strategy: str, folder: _Folders) -> dict[str, Any]:
    """Runs one strategy on the labelled web clips; returns its row of the table."""
    built = build_labels(
        folder("labels", strategy), strategy, dataset=folder("clips", "web_teacher")
    )
    pretrained = folder("runs", f"{strategy}_pretrain")
    label_map = folder("labels", strategy, "label_map")
    _train(config, "pretrain", folder, pretrained, {"data.label_map": label_map})
    finetuned = _train(
        config,
        "finetune",
        folder,
        folder("runs", strategy),
        {"init.checkpoint": pretrained},
    )
    return _row(strategy, built.label_map, finetuned)


def _row(
    strategy: str, label_map: LabelMap | None, results: dict[str, Any]
) -> dict[str, Any]:
    return {
        "strategy": strategy,
        "labels": label_map.num_labels if label_map else 0,
        "clips": label_map.num_kept if label_map else 0,
        "kept": label_map.kept_ratio if label_map else 0.0,
        "top_1": results["top_1"],
        "top_5": results["top_5"],
        "train_loss": results["train_loss"],
    }


def format_table(results: dict[str, Any]) -> str:
    """The results as a table for the terminal."""
    lines = [
        f"noise ratio {results['noise_ratio']:.1%}: the share of web clips whose "
        "teacher disagrees with the query",
        "",
        "pre-trained on   labels   web clips    kept   top-1   top-5",
    ]
    for row in results["rows"]:
        lines.append(
            f"{row['strategy']:<14} {row['labels']:>8} {row['clips']:>11,} "
            f"{row['kept']:>7.1%} {row['top_1']:>7.1%} {row['top_5']:>7.1%}"
        )
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Reads the flags, runs the pipeline, prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    workdir = flags.FLAGS.workdir
    try:
        results = run_pipeline(flags.FLAGS.config, workdir)
    except TrainingStopped as stopped:
        print(stopped)
        return STOPPED_EXIT_CODE
    print(f"\n{format_table(results)}\n")
    for name in ("results.json", "confusion.png"):
        print(os.path.join(workdir, name))
    return 0


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "The experiment.")
    flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
    flags.mark_flag_as_required("config")
    binary.run(main)
