"""What an evaluation needs to know of clips, found by several processes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from spl_tf.clips import ClipDataset
from spl_tf.inference.evaluation import Views, label_rows
from spl_tf.inference.feature_file import FeatureFile
from spl_tf.inference.feature_folder import FeatureFolder, find_together
from spl_tf.inference.features import ClipFeatures
from spl_tf.inference.scores import Scores
from spl_tf.runs import run_folder


class SharedEvaluation:
    """A process's part of an evaluation, and what all have found.

    That is in a hidden folder beside the results, shard by shard of the datasets, until
    these are written. The numbers are those of one process: a clip is in the batch that
    it is in there.
    """

    def __init__(
        self, output_dir: str, settings: dict[str, Any], part: tuple[int, int]
    ):
        """Touches nothing yet.

        Args:
            output_dir: Folder of the results, which all processes see.
            settings: All that decides what is found, as JSON values.
            part: Number of this process, from 0, and of all.
        """
        self._folder = os.path.join(output_dir, ".evaluation")
        self._settings = json.loads(json.dumps(settings))  # as they are read back
        self._part = part

    def features(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        dataset: ClipDataset,
        views: Views,
        batch_size: int,
    ) -> ClipFeatures | None:
        """As `clip_features`; None while other processes have clips to look at."""
        found = self._find(model, strategy, dataset, views, batch_size)
        return found and ClipFeatures(found.rows, found.ids, found.features)

    def score(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        dataset: ClipDataset,
        views: Views,
        batch_size: int,
        multi_label: bool = False,
    ) -> Scores | None:
        """As `evaluation.score`; None while other processes have clips to look at."""
        outputs = {"features": False, "multi_label": multi_label}
        found = self._find(model, strategy, dataset, views, batch_size, **outputs)
        if found is None:
            return None
        labels = dataset.index.label[found.rows]
        if multi_label:
            labels = label_rows(dataset, found.rows)
        names = tuple(dataset.info.class_names)
        return Scores(found.rows, found.ids, labels, found.features, names)

    def _find(
        self, model, strategy, dataset, views, batch_size, **outputs
    ) -> FeatureFile | None:
        inputs = self._settings | {
            "dataset_fingerprint": run_folder.dataset_fingerprint(dataset),
            "num_clips": views.num_clips,
            "num_crops": views.num_crops,
        }
        # A linear probe's training set has other clips, or other views of the same.
        name = "test" if inputs == self._settings else "train"
        folder = FeatureFolder(
            os.path.join(self._folder, f"{name}.npz"),
            dataset,
            inputs,
            f"Remove {self._folder} to start over",
        )
        return find_together(
            folder, model, strategy, views, batch_size, self._part, **outputs
        )

    def finish(self, path: str, find: FindScores) -> Scores | None:
        """Finds this process's part of the scores, and writes those of all.

        Args:
            path: The file of the scores; one of the same settings is read instead.
            find: Gives the scores, by means of `features` or `score`, or None.

        Returns:
            The scores; None while other processes have clips to look at.
        """
        scores = self._finished(path) or find(self)
        if scores is None:  # unless another process has come to the end since
            return self._finished(path)
        scores.save(path)
        return scores

    def _finished(self, path: str) -> Scores | None:
        if not os.path.exists(path):
            return None
        scores = Scores.load(path)
        return scores if _holds(scores.settings, self._settings) else None

    def remove(self) -> None:
        """Removes the hidden folder, once the results are written."""
        shutil.rmtree(self._folder, ignore_errors=True)


FindScores = Callable[[SharedEvaluation], Scores | None]


def _holds(settings: Mapping[str, Any], some: Mapping[str, Any]) -> bool:
    """Whether some settings are among others, which may tell more."""
    return all(
        _holds(settings.get(name, {}), value)
        if isinstance(value, Mapping)
        else settings.get(name) == value
        for name, value in some.items()
    )
