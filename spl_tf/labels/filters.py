"""Which clips of a source are trained on, by what a teacher says of them.

OmniSource (section 3.1) keeps web clips that a teacher recognises; IG-65M and MotionFit
leave clips out by id. All rules here look at columns of an index alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from spl_tf.media_groups import media_group


@dataclasses.dataclass(frozen=True)
class ClipFilter:
    """What a clip must be to be kept; the rules apply in the order of the attributes.

    Attributes:
        exclude_ids: Media ids whose clips are left out.
        agreement: Whether the teacher's first choice must be the weak label.
        min_confidence: Least probability of the teacher's first choice.
        min_label_confidence: Least probability that the teacher gives the weak label.
        keep_fraction: Share of the clips left by the rules above that is kept, those
            of the highest confidence; of as many, those that come first.
        per_class: Whether the share is taken of each weak label's clips, or over all.
    """

    exclude_ids: frozenset[str] = frozenset()
    agreement: bool = False
    min_confidence: float = 0.0
    min_label_confidence: float = 0.0
    keep_fraction: float = 1.0
    per_class: bool = True

    def __post_init__(self):
        for name in ("min_confidence", "min_label_confidence", "keep_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 to 1")
        if not self.keep_fraction:
            raise ValueError("keep_fraction is 0, which keeps no clip")

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of the index that the rules look at, besides the label."""
        ranks = self.min_confidence > 0 or self.keep_fraction < 1
        return (
            *["group"] * bool(self.exclude_ids),
            *["teacher"] * self.agreement,
            *["confidence"] * ranks,
            *["label_confidence"] * (self.min_label_confidence > 0),
        )

    def keeps(self, label: np.ndarray, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Applies the rules.

        Args:
            label: int [n], weak labels.
            columns: Those of `needs`: teacher int [n], confidence and label_confidence
                float [n], group int64 [n], see `media_group`.

        Returns:
            bool [n].
        """
        kept = np.ones(len(label), bool)
        if self.exclude_ids:
            excluded = np.array([media_group(each) for each in self.exclude_ids])
            kept &= ~np.isin(columns["group"], excluded)
        if self.agreement:
            kept &= columns["teacher"] == label
        if self.min_confidence:
            kept &= columns["confidence"] >= self.min_confidence
        if self.min_label_confidence:
            kept &= columns["label_confidence"] >= self.min_label_confidence
        if self.keep_fraction < 1:
            kept &= self._best(label, columns["confidence"], kept)
        return kept

    def _best(self, label, confidence, candidates) -> np.ndarray:
        rows = np.flatnonzero(candidates)
        classes = label[rows] if self.per_class else np.zeros(len(rows), np.int64)
        # Class by class, each from its most to its least confident clip.
        order = np.lexsort((rows, -confidence[rows], classes))
        _, first, sizes = np.unique(
            classes[order], return_index=True, return_counts=True
        )
        rank = np.arange(len(rows)) - np.repeat(first, sizes)
        wanted = np.ceil(self.keep_fraction * np.repeat(sizes, sizes) - 1e-9)
        best = np.zeros(len(label), bool)
        best[rows[order][rank < wanted]] = True
        return best


def counts_per_class(
    label: np.ndarray, kept: np.ndarray, class_names: Iterable[str]
) -> dict[str, tuple[int, int]]:
    """Clips of each class, and those of them that are kept; classes without are 0."""
    names = list(class_names)
    before = np.bincount(label[label >= 0], minlength=len(names))
    after = np.bincount(label[kept & (label >= 0)], minlength=len(names))
    pairs = zip(before.tolist(), after.tolist(), strict=True)
    return dict(zip(names, pairs, strict=True))
