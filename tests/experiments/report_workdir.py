"""A small finished workdir of `run_pipeline`, with names that are no harmless text."""

import dataclasses
import json

import numpy as np

from spl_tf import clips
from spl_tf.inference.evaluation import Scores
from spl_tf.labels import ConfusionMatrix, build_label_map
from tests.conftest import write_dataset
from tests.training.finished_run import textured_clip, write_run

SCRIPT = "<script>alert(1)</script>"
QUOTES = "a \"b\" 'c' & </script><!--"
NAMES = ["tying a knot", SCRIPT, QUOTES]
STRATEGIES = ["none", "weak", "spl_b"]
SEEDS = [3, 4]
# Weak label and teacher of each web clip; (0, 1) is the largest disagreement.
PAIRS = [(0, 0)] * 5 + [(0, 1)] * 4 + [(1, 1)] * 3 + [(2, 2)] * 2 + [(1, 2)]
TOP_1 = {"none": (0.5, 0.54), "weak": (0.6, 0.62), "spl_b": (0.75, 0.83)}


def write_workdir(workdir, seeds=SEEDS):
    """Writes what a finished pipeline leaves; returns the content of results.json."""
    results = {
        "title": f"A small world of {SCRIPT}",
        "description": f"Made of {QUOTES}",
        "strategies": STRATEGIES,
        "paper": {
            "source": "Table 1 & others",
            "rows": {"spl_b": {"top_1": 0.843, "top_5": 0.957}},
        },
        "seeds": [],
        "rows": [],
        "stages": [
            {
                "stage": f"seed_{seed}/convert_web",
                "seconds": 1.5,
                "state": "done",
                "reason": "",
                "log": f"logs/seed_{seed}/convert_web.log",
            }
            for seed in seeds
        ],
    }
    for seed in seeds:
        folder = f"seed_{seed}"
        confusion = _write_datasets(workdir, folder)
        results["seeds"].append(
            {
                "seed": seed,
                "noise_ratio": confusion.noise_ratio,
                "target_train": f"{folder}/clips/target_train",
                "target_val": f"{folder}/clips/target_val",
                "web": f"{folder}/clips/web",
                "web_teacher": f"{folder}/clips/web_teacher",
                "world": None,
            }
        )
        for strategy in STRATEGIES:
            results["rows"].append(
                _write_row(workdir, folder, seed, strategy, confusion)
            )
    config = {"config": {"strategies": STRATEGIES, "note": SCRIPT}}
    config |= {"git_revision": "abc", "versions": {"keras": "3.15"}}
    write_json(workdir / "config.json", config)
    write_json(workdir / "results.json", results)
    return results


def write_json(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_datasets(workdir, folder):
    root = workdir / folder / "clips"
    target = [textured_clip(n, n % 3, NAMES) for n in range(3)]
    for split in ("target_train", "target_val"):
        write_dataset(root / split, target, NAMES, 1, "clean")
    web = [
        dataclasses.replace(
            textured_clip(10 + n, weak, NAMES),
            id=f"video{n}<b>@0-1",
            teacher_index=(teacher,),
            teacher_confidence=(0.5 + 0.01 * n,),
        )
        for n, (weak, teacher) in enumerate(PAIRS)
    ]
    confusion = ConfusionMatrix(NAMES)
    confusion.update(*map(list, zip(*PAIRS, strict=True)))
    for split in ("web", "web_teacher"):
        info = write_dataset(root / split, web, NAMES, 2).info
        info.skipped = [
            {
                "video": "<img src=x>.mp4",
                "clip": "",
                "kind": "unreadable",
                "reason": "no video stream",
            }
        ]
        if split == "web_teacher":
            weak, teacher, count = (cells.tolist() for cells in confusion.cells())
            cells = {"weak": weak, "teacher": teacher, "count": count}
            info.teacher = {"confusion": cells}
        info.save(root / split)
    assert clips.ClipDataset(root / "web_teacher").index.teacher.min() >= 0
    return confusion


def _write_row(workdir, folder, seed, strategy, confusion):
    top_1 = TOP_1[strategy][SEEDS.index(seed)]
    row = {
        "seed": seed,
        "strategy": strategy,
        "labels": 0,
        "clips": 0,
        "kept": 0.0,
        "cover": None,
        "top_1": top_1,
        "top_5": 1.0,
        "train_loss": 0.1,
        "probe_top_1": None,
        "label_map": None,
        "pretrain": None,
        "finetune": f"{folder}/runs/{strategy}",
        "evaluation": f"{folder}/evaluation/{strategy}",
        "seconds": {"finetune": 2.0, "evaluate": 1.0},
    }
    _write_log(workdir / row["finetune"])
    _write_predictions(workdir / row["evaluation"], hits=round(20 * top_1))
    if strategy == "none":
        return row
    label_map = build_label_map(confusion, strategy)
    row |= {
        "labels": label_map.num_labels,
        "clips": label_map.num_kept,
        "kept": label_map.kept_ratio,
        "cover": label_map.sample_cover_ratio,
        "label_map": f"{folder}/labels/{strategy}/label_map",
        "pretrain": f"{folder}/runs/{strategy}_pretrain",
        "seconds": {"pretrain": 10.0, "finetune": 2.0, "evaluate": 1.0},
    }
    label_map.save(workdir / row["label_map"])
    if strategy == "spl_b":
        write_run(workdir / row["pretrain"], label_map.label_names)
    _write_log(workdir / row["pretrain"])
    return row


def _write_log(run):
    run.mkdir(parents=True, exist_ok=True)
    lines = [{"step": step, "loss": 2.0 / step} for step in (10, 20, 30)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(text + '{"step": 40, "lo', encoding="utf-8")


def _write_predictions(folder, hits):
    """20 clips of class 0, of which the first `hits` are recognised, others class 1."""
    best = np.where(np.arange(20) < hits, 0, 1)
    Scores(
        rows=np.arange(20),
        ids=np.array([f"clip {n}" for n in range(20)]),
        labels=np.zeros(20, np.int32),
        probabilities=np.eye(3, dtype=np.float32)[best],
        class_names=tuple(NAMES),
    ).save(folder / "predictions.npz")
