"""A file of one label per clip, e.g. clusters (MotionFit), bound to its dataset."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from spl_tf.labels import storage
from spl_tf.labels.rule import DISCARD

_KIND, _VERSION = "assignment", 1


@dataclasses.dataclass(frozen=True, eq=False)
class Assignment:
    """Labels by row of a dataset's index.

    Attributes:
        labels: int32 [n], -1 leaves a clip out.
        label_names: In the order of the labels.
        fingerprint: The dataset's, as `run_folder.dataset_fingerprint` gives it.
    """

    labels: np.ndarray
    label_names: tuple[str, ...]
    fingerprint: str

    def __post_init__(self):
        labels = np.asarray(self.labels)
        object.__setattr__(self, "labels", labels.astype(np.int32))
        object.__setattr__(self, "label_names", tuple(self.label_names))
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"labels are {labels.dtype} {list(labels.shape)}, expected integers [n]"
            )
        wrong = np.flatnonzero((labels < DISCARD) | (labels >= len(self.label_names)))
        if len(wrong):
            raise ValueError(
                f"row {wrong[0]}: its label is {labels[wrong[0]]}, expected -1 to "
                f"{len(self.label_names) - 1} ({len(wrong)} such rows)"
            )

    @property
    def num_labels(self) -> int:
        """How many labels there are, used or not."""
        return len(self.label_names)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a folder, or a file that ends in `.npz`, in one step."""
        header = {
            "label_names": self.label_names,
            "fingerprint": self.fingerprint,
        }
        storage.save(path, _KIND, _VERSION, header, {"labels": self.labels})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Assignment:
        """Reads it back.

        Raises:
            FileNotFoundError: Nothing is there.
            FormatError: It is damaged, or no assignment.
        """
        header, arrays = storage.load(path, _KIND, _VERSION)
        try:
            return cls(arrays["labels"], header["label_names"], header["fingerprint"])
        except (KeyError, TypeError, ValueError) as error:
            raise storage.FormatError(f"{path} is no assignment: {error}") from error

    def check(self, fingerprint: str, num_rows: int, path: str) -> None:
        """Raises ValueError if it is of another dataset; `path` is for the message."""
        if (fingerprint, num_rows) == (self.fingerprint, len(self.labels)):
            return
        raise ValueError(
            f"{path} assigns labels to {len(self.labels)} clips of a dataset with "
            f"fingerprint {self.fingerprint[:12]}, found {num_rows} clips with "
            f"{fingerprint[:12]}: it was made for another dataset, or the dataset was "
            "made anew; make the assignment again"
        )
