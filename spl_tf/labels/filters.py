"""Which clips of a source are trained on, by what a teacher says of them.

OmniSource (section 3.1) keeps web clips that a teacher recognises; IG-65M and MotionFit
leave clips out by id. All rules here look at columns of an index alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from spl_tf.labels.chunks import counted, in_chunks
from spl_tf.media_groups import media_group
from spl_tf.text_files import listed_ids, text_of


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
            columns: Columns that `needs` names: teacher int [n], confidence and
                label_confidence float [n], group int64 [n], see `media_group`.

        Returns:
            bool [n], True for the clips that are kept.
        """
        kept = np.empty(len(label), bool)
        excluded = np.array([media_group(each) for each in self.exclude_ids])
        for rows in in_chunks(len(label)):
            parts = {name: column[rows] for name, column in columns.items()}
            kept[rows] = self._passes(label[rows], parts, excluded)
        if self.keep_fraction < 1:
            kept &= self._best(label, columns["confidence"], kept)
        return kept

    def _passes(self, label, columns, excluded) -> np.ndarray:
        """Applies the rules that look at one clip at a time."""
        kept = np.ones(len(label), bool)
        if self.exclude_ids:
            kept &= ~np.isin(columns["group"], excluded)
        if self.agreement:
            kept &= columns["teacher"] == label
        if self.min_confidence:
            kept &= columns["confidence"] >= self.min_confidence
        if self.min_label_confidence:
            kept &= columns["label_confidence"] >= self.min_label_confidence
        return kept

    def _best(self, label, confidence, candidates) -> np.ndarray:
        rows = np.flatnonzero(candidates)
        sizes = np.array([len(rows)])
        if self.per_class:
            # The clips of a class next to each other, in their order.
            classes = label[rows] - label.min(initial=0)
            if (
                classes.max(initial=0) < 1 << 16
            ):  # which NumPy sorts three times as fast
                classes = classes.astype(np.uint16)
            rows = rows[np.argsort(classes, kind="stable")]
            sizes = counted(len(classes), classes.__getitem__)
        best = np.zeros(len(label), bool)
        for members in np.split(rows, np.cumsum(sizes)[:-1]):
            if len(members):
                # Negative, so that what is no number comes last.
                lacking = -confidence[members]
                wanted = math.ceil(self.keep_fraction * len(members) - 1e-9)
                last = np.partition(lacking, wanted - 1)[wanted - 1]
                taken = lacking < last
                level = np.flatnonzero(~taken & (lacking <= last))
                taken[level[: wanted - np.count_nonzero(taken)]] = True
                best[members[taken]] = True
        return best


def read_filter(rules: Mapping[str, Any]) -> ClipFilter:
    """Makes a filter of the rules that a config has.

    Args:
        rules: Attributes of `ClipFilter`; `exclude_ids` is the path of a list of media
            ids, one a line, or empty.

    Raises:
        FileNotFoundError: The list of ids is not there.
        ValueError: A rule is impossible, or the list is no text.
    """
    rules = dict(rules)
    if path := rules.pop("exclude_ids", ""):
        with open(path, "rb") as file:
            rules["exclude_ids"] = listed_ids(text_of(file.read(), path))
    return ClipFilter(**rules)


def counts_per_class(
    label: np.ndarray, kept: np.ndarray, class_names: Iterable[str]
) -> dict[str, tuple[int, int]]:
    """Clips of each class, and those of them that are kept; classes without are 0."""
    names = list(class_names)

    def count(is_counted: Callable[[slice], np.ndarray]) -> list[int]:
        found = counted(len(label), lambda rows: label[rows][is_counted(rows)])
        return np.pad(found, (0, max(0, len(names) - len(found)))).tolist()

    before = count(lambda rows: label[rows] >= 0)
    after = count(lambda rows: kept[rows] & (label[rows] >= 0))
    pairs = zip(before, after, strict=True)
    return dict(zip(names, pairs, strict=True))


@dataclasses.dataclass(frozen=True)
class ClassBalance:
    """How evenly clips are spread over classes.

    Attributes:
        classes: Number of classes with clips.
        largest_to_median: Clips of the largest class by those of the median one, of
            classes with clips.
        largest_to_smallest: Clips of the largest class by those of the smallest one, of
            classes with clips.
        effective_classes: e to the entropy of the classes' shares: as many classes of
            one size are as even.
        evenness: The entropy by that of equal shares of all classes, also those
            without clips, in [0, 1].
    """

    classes: int
    largest_to_median: float
    largest_to_smallest: float
    effective_classes: float
    evenness: float

    @classmethod
    def of(cls, sizes: Iterable[int]) -> ClassBalance:
        """Measures it.

        Args:
            sizes: Clips of each class, at least one clip in all.
        """
        sizes = np.array(list(sizes))
        filled = sizes[sizes > 0]
        shares = filled / filled.sum()
        entropy = float(-(shares * np.log(shares)).sum())
        return cls(
            classes=len(filled),
            largest_to_median=float(filled.max() / np.median(filled)),
            largest_to_smallest=float(filled.max() / filled.min()),
            effective_classes=math.exp(entropy),
            evenness=entropy / math.log(len(sizes)) if len(sizes) > 1 else 1.0,
        )


@dataclasses.dataclass(frozen=True)
class KeptClips:
    """What a filter keeps, class by class (OmniSource, Figure 3).

    Attributes:
        counts: By class, its clips and those of them that are kept; at least one in
            all is.
    """

    counts: Mapping[str, tuple[int, int]]

    @property
    def before(self) -> int:
        """Number of all clips."""
        return sum(before for before, _ in self.counts.values())

    @property
    def after(self) -> int:
        """Number of clips that are kept."""
        return sum(after for _, after in self.counts.values())

    @property
    def share(self) -> float:
        """Share of the clips that are kept, in [0, 1]."""
        return self.after / self.before

    @property
    def emptied(self) -> list[str]:
        """Classes that have clips, but none that is kept."""
        pairs = self.counts.items()
        return [name for name, (before, after) in pairs if before and not after]

    @property
    def balance(self) -> tuple[ClassBalance, ClassBalance]:
        """Balance of all clips, and balance of those that are kept."""
        before, after = zip(*self.counts.values(), strict=True)
        return ClassBalance.of(before), ClassBalance.of(after)
