"""Scores of clips, and all that is measured with them."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from spl_tf.clips import write_atomically
from spl_tf.labels import ConfusionMatrix, storage
from spl_tf.metrics import EvaluationConfusion, MeanAveragePrecision, TopKAccuracy

_KIND = "scores"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a model says about every clip of a dataset: all that metrics need.

    Attributes:
        rows: int64 [n], the clips' rows in the index, ascending.
        ids: Strings [n], the clips' ids.
        labels: int32 [n] in [0, C), the records' own; or all of them as multi-hot rows,
            bool [n, C].
        probabilities: float32 [n, C], the clips' probabilities.
        class_names: The C names, in index order.
        settings: How the scores were made, as JSON can hold it.
    """

    rows: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    class_names: tuple[str, ...]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a `.npz` file of the attributes; `settings` is in its header."""
        arrays = {
            "rows": self.rows,
            "ids": self.ids,
            "labels": self.labels,
            "probabilities": self.probabilities,
            "class_names": np.array(self.class_names),
        }
        storage.save(path, _KIND, _VERSION, {"settings": self.settings}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Scores:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: Nothing is there.
            ValueError: The file is damaged, or something else.
        """
        header, arrays = storage.load(path, _KIND, _VERSION)
        found = {name: array.shape for name, array in arrays.items()}
        clips = found.get("rows", (0,))[:1]
        classes = found.get("class_names", (0,))[:1]
        expected = {
            "rows": clips,
            "ids": clips,
            "labels": clips + classes if len(found.get("labels", ())) == 2 else clips,
            "probabilities": clips + classes,
            "class_names": classes,
        }
        if found != expected:
            raise ValueError(f"{path} has arrays {found}, expected {expected}")
        names = tuple(arrays.pop("class_names").tolist())
        return cls(**arrays, class_names=names, settings=header["settings"])


@dataclasses.dataclass(frozen=True)
class ClassResult:
    """A line of the per-class table.

    Attributes:
        name: The class's name, as in `dataset.json`.
        clips: Number of clips with this label.
        predicted: Number of clips whose first choice it is; where clips have several
            labels, those that have it with a probability above 1/2.
        accuracy: Share of its clips whose first choice it is, None without clips; of
            several labels, share of all clips of which is told whether they have it.
        average_precision: Average precision in [0, 1]; None without clips.
        taken_for: The other class that its clips are most often taken for; "" if none.
        times: Number of its clips that are taken for that one.
    """

    name: str
    clips: int
    predicted: int
    accuracy: float | None
    average_precision: float | None
    taken_for: str
    times: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All metrics of some scores.

    Attributes:
        metrics: `clips`, and in [0, 1] `top_1`, `top_5`, `mean_class_accuracy`, `mAP`;
            where clips have several labels, `label_accuracy` and `mAP`.
        classes: A result per class, in index order.
        confusion: int64 [C, C], row = label, column = first choice; None where clips
            have several labels.
    """

    metrics: dict[str, float]
    classes: tuple[ClassResult, ...]
    confusion: np.ndarray | None

    def class_accuracy(self) -> np.ndarray:
        """Accuracies of the classes that have clips, in index order, float64."""
        accuracies = (result.accuracy for result in self.classes)
        return np.array([value for value in accuracies if value is not None])

    def confusion_matrix(self) -> ConfusionMatrix:
        """The counts with their class names, for a file or a picture."""
        rows, columns = np.nonzero(self.confusion)
        names = [result.name for result in self.classes]
        counts = self.confusion[rows, columns]
        return ConfusionMatrix.from_cells(names, rows, columns, counts)


def measure(scores: Scores, exclude: Sequence[str] = ()) -> Evaluation:
    """Computes all metrics.

    Args:
        scores: What `score` gives for a dataset.
        exclude: Classes left out of mAP, as SoccerNet's background.

    Raises:
        ValueError: A name in exclude is unknown, no clip is of a class that counts, a
            label is out of range, or a probability is not finite.
    """
    return measure_columns(
        scores.class_names, scores.labels, scores.probabilities, exclude
    )


def measure_columns(
    names: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    exclude: Sequence[str] = (),
) -> Evaluation:
    """Computes all metrics from columns; see `measure`.

    Args:
        names: The C classes in index order.
        labels: Integers [n] in [0, C), or multi-hot rows, bool [n, C].
        probabilities: float32 [n, C], in [0, 1].
        exclude: Names of classes left out of mAP.
    """
    if labels.ndim == 2:
        return _measure_several(names, labels, probabilities, exclude)
    accuracy, confusion = TopKAccuracy(), EvaluationConfusion(names)
    precision = MeanAveragePrecision(names, exclude)
    for metric in (accuracy, confusion, precision):
        metric.update(labels, probabilities)
    metrics = {"clips": accuracy.count}
    for metric in (accuracy, confusion, precision):
        metrics |= metric.result()
    recall, average = confusion.class_accuracy(), precision.class_average_precision()
    counts = confusion.counts
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    classes = []
    for index, name in enumerate(names):
        other = int(mistakes[index].argmax())
        times = int(mistakes[index, other])
        classes.append(
            ClassResult(
                name=name,
                clips=int(counts[index].sum()),
                predicted=int(counts[:, index].sum()),
                accuracy=_none_if_nan(recall[name]),
                average_precision=_none_if_nan(average[name]),
                taken_for=names[other] if times else "",
                times=times,
            )
        )
    return Evaluation(metrics, tuple(classes), counts)


def _measure_several(names, labels, probabilities, exclude) -> Evaluation:
    precision = MeanAveragePrecision(names, exclude)
    precision.update(labels, probabilities)
    average = precision.class_average_precision()
    chosen = probabilities > 0.5
    accuracy = (chosen == labels).mean(axis=0)
    classes = tuple(
        ClassResult(
            name=name,
            clips=int(labels[:, index].sum()),
            predicted=int(chosen[:, index].sum()),
            accuracy=float(accuracy[index]),
            average_precision=_none_if_nan(average[name]),
            taken_for="",
            times=0,
        )
        for index, name in enumerate(names)
    )
    metrics = {"clips": len(labels), "label_accuracy": float(accuracy.mean())}
    return Evaluation(metrics | precision.result(), classes, None)


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else value


def write_class_table(path: str | os.PathLike, classes: Iterable[ClassResult]) -> None:
    """Writes a CSV file of a line per class; what one without clips lacks is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([field.name for field in dataclasses.fields(ClassResult)])
    writer.writerows(map(dataclasses.astuple, classes))
    write_atomically(path, text.getvalue().encode())
