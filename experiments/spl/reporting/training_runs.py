"""What training and evaluation left: learning curves and predictions."""

from __future__ import annotations

import json
import os

import numpy as np

from experiments.reporting.workdir import Workdir
from spl_tf.analysis.report import Counts, LearningCurve
from spl_tf.inference.evaluation import Scores
from spl_tf.metrics import EvaluationConfusion

_LOG = "metrics.jsonl"
_PREDICTIONS = "predictions.npz"


def read_curves(source: Workdir) -> list[LearningCurve]:
    """The losses of all training runs of the table."""
    found = []
    for row in source.results["rows"]:
        for phase in ("pretrain", "finetune"):
            if phase == "pretrain" and not row.get(phase):
                continue  # "none" has no pre-training
            name = f"log of {row['strategy']}, seed {row['seed']}, {phase}"
            path = row.get(phase) and os.path.join(row[phase], _LOG)
            path = source.find("learning", name, path)
            if path is not None:
                steps, loss = _read_log(path)
                found.append(
                    LearningCurve(row["strategy"], row["seed"], phase, steps, loss)
                )
    return found


def _read_log(path: str) -> tuple[np.ndarray, np.ndarray]:
    steps, losses = [], []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                break  # cut off by a kill; training writes it again
            try:
                entry = json.loads(line)
                steps.append(int(entry["step"]))
                losses.append(float(entry["loss"]))
            except (ValueError, KeyError) as error:
                raise ValueError(
                    f"{path}, line {number} is damaged: {error!r}"
                ) from error
    return np.array(steps, np.int64), np.array(losses, np.float64)


def read_counts(source: Workdir) -> list[Counts]:
    """Label x prediction of each strategy, all seeds added up."""
    sums: dict[str, list[EvaluationConfusion]] = {}
    for row in source.results["rows"]:
        name = f"predictions of {row['strategy']}, seed {row['seed']}"
        path = row.get("evaluation") and os.path.join(row["evaluation"], _PREDICTIONS)
        path = source.find("counts", name, path)
        if path is None:
            continue
        scores = Scores.load(path)
        confusion = EvaluationConfusion(scores.class_names)
        confusion.update(scores.labels, scores.probabilities)
        sums.setdefault(row["strategy"], []).append(confusion)
    found = []
    for strategy in source.results["strategies"]:
        first, *others = sums.get(strategy, [None])
        if first is None:
            continue
        for other in others:
            first.merge(other)
        found.append(Counts(strategy, first, 1 + len(others)))
    return found
