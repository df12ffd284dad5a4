"""`metrics.jsonl`, TensorBoard and the progress bar of a training run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from spl_tf.clips import write_atomically

# Means over the steps of a log interval.
STEP_METRICS = ("loss", "accuracy", "gradient_norm")


class MetricsLog(tf.Module):
    """Collects what steps report; writes one line per log interval.

    The sums of the interval at hand are variables, so that a checkpoint holds them and
    the line after a restart is that of an unbroken run. They are added up step by step
    in float64, which does not depend on how steps were grouped into calls.
    """

    def __init__(
        self,
        workdir: str,
        clips_per_step: int,
        writes: bool = True,
        further: Sequence[str] = (),
    ):
        """Opens nothing yet.

        Args:
            workdir: The run's folder, which gets `metrics.jsonl` and event files.
            clips_per_step: Clips that all replicas see in a step.
            writes: Whether this process writes the files, one of several.
            further: Names of what is reported besides STEP_METRICS.
        """
        super().__init__(name="metrics_log")
        self._path = os.path.join(workdir, "metrics.jsonl")
        self._tensorboard_dir = os.path.join(workdir, "tensorboard")
        self._clips_per_step = clips_per_step
        self._writes = writes
        self.metrics = (*STEP_METRICS, *further)
        # Their sums, then the number of steps.
        self._sums = tf.Variable(
            tf.zeros(len(self.metrics) + 1, tf.float64), trainable=False
        )
        self._timed_steps = 0
        self._waited = 0.0
        self.last: dict[str, float] = {}

    def open(self, step: int) -> None:
        """Opens the files; drops lines from after the step that a run continues at."""
        self._since = time.monotonic()
        kept = []
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8") as file:
                # A last line without its end was cut off by a kill.
                lines = [line for line in file if line.endswith("\n")]
            kept = [line for line in lines if json.loads(line)["step"] <= step]
        if kept:
            self.last = json.loads(kept[-1])
        if not self._writes:
            return
        write_atomically(self._path, "".join(kept).encode())
        self._writer = tf.summary.create_file_writer(self._tensorboard_dir)

    def add(self, values: Mapping[str, np.ndarray], waited: float) -> None:
        """Takes what a call reports.

        Args:
            values: float32 [steps] for each of `metrics`.
            waited: Seconds that the call waited for batches.
        """
        sums = self._sums.numpy()
        columns = [np.asarray(values[name], np.float64) for name in self.metrics]
        for row in np.stack(columns, axis=1):
            sums += np.append(row, 1.0)
        self._sums.assign(sums)
        self._timed_steps += len(columns[0])
        self._waited += waited

    def write(
        self, step: int, learning_rate: float, label_accuracy: np.ndarray
    ) -> dict[str, float]:
        """Writes the means since the last line.

        Args:
            step: How many steps the run has taken.
            learning_rate: The one with which this step was taken.
            label_accuracy: [C], since the last line; NaN for labels without clips. The
                line has its mean over labels, TensorBoard also its histogram.

        Returns:
            The line: numbers by name.
        """
        seen = label_accuracy[~np.isnan(label_accuracy)]
        *sums, steps = self._sums.numpy()
        seconds = max(time.monotonic() - self._since, 1e-9)
        means = {
            name: float(total / steps)
            for name, total in zip(self.metrics, sums, strict=True)
        }
        line = {
            "step": step,
            **means,
            "label_accuracy": float(seen.mean()),
            "learning_rate": learning_rate,
            "clips_per_second": self._timed_steps * self._clips_per_step / seconds,
            "input_wait": min(self._waited / seconds, 1.0),
        }
        if self._writes:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            scalars = {k: v for k, v in line.items() if k != "step"}
            self._summarize(step, "train", scalars, seen)
        self._sums.assign(tf.zeros_like(self._sums))
        self._timed_steps, self._waited = 0, 0.0
        self._since = time.monotonic()
        self.last = line
        return line

    def write_evaluation(
        self, step: int, results: Mapping[str, float], class_accuracy: np.ndarray
    ) -> None:
        """Writes an evaluation to TensorBoard.

        Args:
            step: How many steps the run has taken.
            results: Numbers by name, e.g. `top_1`.
            class_accuracy: Top-1 accuracy of each class that has clips.
        """
        if self._writes:
            self._summarize(step, "validation", results, class_accuracy)

    def _summarize(self, step: int, group: str, scalars, label_accuracy) -> None:
        with self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(f"{group}/{name}", value)
            tf.summary.histogram(f"{group}/accuracy_per_label", label_accuracy)
        self._writer.flush()
