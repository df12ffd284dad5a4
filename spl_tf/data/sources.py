"""What to train on: labels, filters, and the clips that they keep."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import RGB, CropSize, height_and_width
from spl_tf.data.bad_records import (
    MAX_BAD_RECORDS,
    check_bad_record_options,
)
from spl_tf.data.image_clips import ImageClips
from spl_tf.data.plan import MediaRows, Resampling
from spl_tf.data.positive_frames import PositiveFrames
from spl_tf.data.sampling import ClipSampling
from spl_tf.labels import LabelMap
from spl_tf.labels.assignment import Assignment
from spl_tf.labels.filters import ClipFilter
from spl_tf.labels.several import SeveralLabels


@dataclasses.dataclass(frozen=True)
class TrainInput:
    """What to train on.

    Attributes:
        dataset: The dataset whose clips are trained on.
        label_map: Gives the clips' labels; None takes the label in the record as it is.
        sampling: Which frames are taken of a clip.
        crop_size: Size of the random crop: the side of a square in pixels, or (height,
            width).
        flip: Whether half of the clips are mirrored left-right.
        seed: Decides order, starts, crops, flips and photometric draws.
        short_side: Smallest and largest short side that frames are scaled to before
            the crop, uniformly (NL has 256 to 320); None takes them as they are stored.
        resampling: How often classes are drawn; None takes every clip once per epoch.
        on_bad_record: "error", or "skip" to take the next clip of the plan instead.
        max_bad_records: With "skip", more than this many are an error.
        cache_bytes: Records and their decoded frames, of up to this many bytes, stay
            in memory.
        assignment: Labels by index row, instead of a label map.
        clip_filter: Which clips are kept, besides those that have a label.
        name: What it is called in messages and logs, where there are several sources.
        clips_per_item: Views of an item in a batch, each with draws of its own.
        image_clips: How clips of one frame become clips of many; None takes a clip's
            frames, again from the start where there are too few.
        positive_frames: Items are a positive frame and negative ones, and clips without
            a positive one are left out; None takes frames by `sampling`, of segments.
        one_per_video: Whether an epoch has each video once, with one of its clips that
            are kept drawn at random, instead of each clip once.
        mixup: Alpha of the Beta distribution of the weight with which each item is
            mixed with another one of its source in the batch (Zhang et al., ICLR
            2018); 0 for no mixing.
        several: Whether all labels of a clip count, instead of the one that is its
            only one: one of them drawn anew in each epoch or, with `num_outputs`, all.
        num_outputs: C of targets that are multi-hot rows, float32 [B, C]; 0 for hard
            labels.
        modality: What is seen of a clip, one of `clips.frame_shape.CHANNELS`.
    """

    dataset: ClipDataset
    label_map: LabelMap | None
    sampling: ClipSampling
    crop_size: CropSize
    flip: bool
    seed: int
    short_side: tuple[int, int] | None = None
    resampling: Resampling | None = None
    on_bad_record: str = "error"
    max_bad_records: int = MAX_BAD_RECORDS
    cache_bytes: int = 0
    assignment: Assignment | None = None
    clip_filter: ClipFilter = dataclasses.field(default_factory=ClipFilter)
    name: str = "train"
    clips_per_item: int = 1
    image_clips: ImageClips | None = None
    positive_frames: PositiveFrames | None = None
    one_per_video: bool = False
    mixup: float = 0.0
    several: bool = False
    num_outputs: int = 0
    modality: str = RGB

    def __post_init__(self):
        if (self.label_map, self.assignment, self.several or None).count(None) < 2:
            raise ValueError(
                "a source has a label map, an assignment or several labels, one of them"
            )
        frames = self.dataset.index.frames
        if self.image_clips is not None and frames.max(initial=1) > 1:
            raise ValueError(
                f"{self.dataset.directory} has clips of up to {frames.max()} frames, "
                f"and source {self.name!r} makes clips of images (clips.kind "
                f"{self.image_clips.kind!r}), expected clips of one frame"
            )
        if self.several and self.resampling is not None:
            raise ValueError(
                "resampling goes by a clip's one label, and here it has several: draw "
                "one for all epochs (labels.kind 'one_of')"
            )
        check_bad_record_options(self.on_bad_record, self.max_bad_records)
        try:
            shorter = min(height_and_width(self.crop_size))
        except ValueError as error:
            raise ValueError(f"crop_size {error}") from error
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}, expected 0 to below 2^63")
        if self.short_side is not None:
            low, high = self.short_side
            if not shorter <= low <= high:
                raise ValueError(
                    f"short_side is {low} to {high}, expected a range from crop_size "
                    f"{shorter} upwards"
                )


def labels_kept(dataset: ClipDataset, label_map: LabelMap | None) -> np.ndarray:
    """The index rows that a label map does not discard, int64 [n], ascending.

    Raises:
        ValueError: There is none, a label is no class, map and dataset are of different
            classes, or the map needs the teacher's prediction and the dataset has none.
    """
    rows = np.flatnonzero(_labels(dataset, label_map) >= 0)
    if not len(rows):
        raise ValueError(
            f"{dataset.directory} has no clips to train on: of {len(dataset)} the "
            "label map keeps none"
        )
    return rows


def clips_kept(source: TrainInput) -> tuple[np.ndarray, np.ndarray]:
    """The clips that a source's labels and filter keep, and their labels.

    Returns:
        Index rows, int64 [n], ascending, and labels, int32 [n].

    Raises:
        ValueError: There is none, see `labels_kept`; or the filter needs what the
            dataset has not.
    """
    if source.assignment is not None:
        labels = source.assignment.labels
        rows = np.flatnonzero(labels >= 0)
    elif source.several:
        check_labels(source.dataset, "labels")
        labels, rows = source.dataset.index.label, np.arange(len(source.dataset))
    else:
        rows = labels_kept(source.dataset, source.label_map)
        labels = _labels(source.dataset, source.label_map)
    kept = rows[filter_rows(source)[rows]]
    if source.positive_frames is not None and len(kept):
        kept = kept[source.positive_frames.counts(kept, labels[kept]) > 0]
        if not len(kept):
            raise ValueError(
                f"{source.dataset.directory} has no clips to train on: of source "
                f"{source.name!r}, none that its labels and filter keep has a frame in "
                "which the teacher finds the clip's label"
            )
    if not len(kept):
        raise ValueError(
            f"{source.dataset.directory} has no clips to train on: of "
            f"{len(source.dataset)}, {len(rows)} have a label, and the filter of "
            f"source {source.name!r} keeps none of them"
        )
    return kept, labels[kept]


def media_kept(source: TrainInput, rows: np.ndarray) -> MediaRows:
    """The videos that have a clip that is kept, and those clips.

    Args:
        source: A source with `one_per_video`.
        rows: int64 [n], the rows that `clips_kept` gives.

    Raises:
        ValueError: The index does not say which video a clip is of.
    """
    return MediaRows.of(rows, source.dataset.index.group[rows])


def filter_rows(source: TrainInput) -> np.ndarray:
    """Which clips the source's filter keeps, bool [n]; see `apply_filter`."""
    who = f"the filter of source {source.name!r}"
    return apply_filter(source.dataset, source.clip_filter, who)


def apply_filter(dataset: ClipDataset, rule: ClipFilter, who: str) -> np.ndarray:
    """Which clips of a dataset a filter keeps.

    Args:
        dataset: The dataset whose index is looked at.
        rule: What a clip must be to be kept.
        who: What messages call the filter.

    Returns:
        bool [n], True for the index rows that are kept.

    Raises:
        ValueError: The index lacks what the filter looks at.
    """
    columns = {name: getattr(dataset.index, name) for name in rule.needs}
    if not {"teacher", "confidence", "label_confidence"}.isdisjoint(columns):
        check_predicted(dataset, who)
    label = dataset.index.label
    if rule.agreement:
        label = _label_near_teacher(dataset)
    return rule.keeps(label, columns)


def _label_near_teacher(dataset: ClipDataset) -> np.ndarray:
    """The label; of several, the teacher's first choice if it is among them."""
    index = dataset.index
    label, splits = index.label, index.added.get("label_splits")
    if splits is None or len(index.labels) == len(label):
        return label
    rows = np.repeat(np.arange(len(label)), np.diff(splits))
    chosen = rows[index.labels == index.teacher[rows]]
    label = label.copy()
    label[chosen] = index.teacher[chosen]
    return label


def several_labels(dataset: ClipDataset) -> SeveralLabels:
    """All labels of a dataset's clips.

    Raises:
        ValueError: A clip has no label, or one that is no class.
    """
    check_labels(dataset, "labels")
    return SeveralLabels(dataset.index.labels, dataset.index.label_splits)


def check_one_label(dataset: ClipDataset) -> None:
    """Raises ValueError for labels that are no class, and clips that have several."""
    check_labels(dataset)
    index = dataset.index
    # In a dataset of before there were several, the record's first counts.
    several = np.flatnonzero(np.diff(index.added.get("label_splits", ())) > 1)
    if len(several):
        raise ValueError(
            f"{_place(dataset, several[0])}: it has {index.labels_of(several[0])} as "
            f"its labels, expected one ({len(several)} such rows of {len(dataset)}). "
            "Train with labels.kind 'one_of', or with 'all' and the loss "
            "'sigmoid_cross_entropy'"
        )


def _labels(dataset: ClipDataset, label_map: LabelMap | None) -> np.ndarray:
    """Labels by index row, int32 [n], -1 for what has none."""
    if label_map is None:
        check_one_label(dataset)
        return dataset.index.label
    ours, theirs = dataset.info.class_names, list(label_map.class_names)
    if ours != theirs:
        raise ValueError(
            f"the label map is for {len(theirs)} classes ({', '.join(theirs[:3])}, "
            f"...), {dataset.directory} has {len(ours)} ({', '.join(ours[:3])}, ...); "
            "names and order must be the same"
        )
    index = dataset.index
    if label_map.strategy == "teacher":  # whatever the weak label
        check_labels(dataset)
    else:
        check_one_label(dataset)
    if label_map.needs_teacher:
        check_predicted(dataset, f"strategy {label_map.strategy!r}")
        check_labels(dataset, "teacher")
    return label_map.lookup(index.label, index.teacher)


def check_predicted(dataset: ClipDataset, who: str) -> None:
    """Raises ValueError for clips that no teacher has seen, which `who` needs."""
    missing = int((dataset.index.teacher < 0).sum())
    if missing:
        raise ValueError(
            f"{dataset.directory} has {missing} clips without a teacher prediction, "
            f"and {who} needs it; run `python -m experiments.predict` on it first"
        )


def check_labels(dataset: ClipDataset, column: str = "label") -> None:
    """Raises ValueError for the first row with one that is no class.

    Args:
        dataset: The dataset whose labels are checked.
        column: "label", "teacher", or "labels": all that a row has, one at least.
    """
    index, num_classes = dataset.index, len(dataset.info.class_names)
    values = index.column(column)
    wrong = np.flatnonzero((values < 0) | (values >= num_classes))
    found = f"{values[wrong[0]]}" if len(wrong) else "none"
    if column == "labels":
        wrong = np.searchsorted(index.label_splits, wrong, side="right") - 1
        if not len(wrong):
            wrong = np.flatnonzero(np.diff(index.label_splits) == 0)
    if len(wrong):
        raise ValueError(
            f"{_place(dataset, wrong[0])}: its {column} is {found}, "
            f"expected 0 to {num_classes - 1} ({len(wrong)} such rows). "
            f"Run `python -m tfrecords_tools.inspect_records {dataset.directory} "
            "--validate` to see all that is wrong"
        )


def _place(dataset: ClipDataset, row: int) -> str:
    shard = dataset.index.shard_names[dataset.index.shard[row]]
    return f"{os.path.join(dataset.directory, shard)}, row {row}"
