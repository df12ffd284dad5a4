"""The features of a dataset's clips as one file."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np

from spl_tf.clips import ClipDataset
from spl_tf.labels import storage
from spl_tf.runs import run_folder

_KIND, _VERSION = "features", 1
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

    @staticmethod
    def check(path: str | os.PathLike) -> None:
        """Raises ValueError for a file of something else; see `load`."""
        storage.load(path, _KIND, _VERSION)

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
