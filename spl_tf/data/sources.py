"""What to train on: labels, filters, and the clips that they keep."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from spl_tf.clips import ClipDataset
from spl_tf.clips.frame_shape import RGB, CropSize, height_and_width
from spl_tf.data.bad_records import (
    MAX_BAD_RECORDS,
    check_bad_record_options,
)
from spl_tf.data.image_clips import ImageClips
from spl_tf.data.label_columns import (
    LabelOf,
    check_predicted,
    labels_of,
    num_labels,
    several_labels,
)
from spl_tf.data.plan import MediaRows, Resampling, uniform_draws
from spl_tf.data.positive_frames import PositiveFrames
from spl_tf.data.row_sets import RowSet
from spl_tf.data.sampling import ClipSampling
from spl_tf.labels import LabelMap
from spl_tf.labels.assignment import Assignment
from spl_tf.labels.chunks import counted, first_and_number, in_chunks
from spl_tf.labels.filters import ClipFilter


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
            only one: one of them drawn or, with `num_outputs`, all.
        redraw: Whether the one of several is drawn anew in each epoch.
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
    redraw: bool = True
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
        if self.several and self.redraw and self.resampling is not None:
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
    label_of = labels_of(dataset, label_map)
    rows = np.asarray(RowSet(len(dataset), lambda rows: label_of(rows) >= 0))
    _check_some(dataset, len(rows))
    return rows


def _check_some(dataset: ClipDataset, number: int) -> None:
    if not number:
        raise ValueError(
            f"{dataset.directory} has no clips to train on: of {len(dataset)} the "
            "label map keeps none"
        )


@dataclasses.dataclass(frozen=True)
class KeptClips:
    """The clips that a source's labels and filter keep.

    Attributes:
        rows: Their rows in the index, ascending.
        label_of: Gives the labels of rows; -1, or one that does not count, for others.
    """

    rows: RowSet
    label_of: LabelOf

    @functools.cached_property
    def of_label(self) -> np.ndarray:
        """int64 [C], how many of the clips have each label, up to the last one."""
        return counted(
            self.rows.num_rows, lambda rows: self.label_of(rows)[self.rows.has(rows)]
        )


def kept_clips(source: TrainInput) -> KeptClips:
    """What `clips_kept` finds, in a bit per row of the index.

    Raises:
        ValueError: There is none, see `labels_kept`; or the filter needs what the
            dataset has not.
    """
    dataset, label_of = source.dataset, row_labels(source)
    passes = filter_rows(source)

    def is_labelled(rows: slice) -> np.ndarray:
        # Of several labels, all are known to be classes.
        return source.several or label_of(rows) >= 0

    rows = RowSet(len(dataset), lambda rows: passes[rows] & is_labelled(rows))
    if source.positive_frames is not None and len(rows):
        found = np.asarray(rows)
        counts = source.positive_frames.counts(found, label_of(found))
        has_frame = np.zeros(len(dataset), bool)
        has_frame[found[counts > 0]] = True
        rows = RowSet(len(dataset), has_frame.__getitem__)
        if not len(rows):
            raise ValueError(
                f"{dataset.directory} has no clips to train on: of source "
                f"{source.name!r}, none that its labels and filter keep has a frame in "
                "which the teacher finds the clip's label"
            )
    if not len(rows):
        _, number = first_and_number(len(dataset), is_labelled)
        _check_some(dataset, number)
        raise ValueError(
            f"{dataset.directory} has no clips to train on: of {len(dataset)}, "
            f"{number} have a label, and the filter of source {source.name!r} keeps "
            "none of them"
        )
    return KeptClips(rows, label_of)


def clips_kept(source: TrainInput) -> tuple[np.ndarray, np.ndarray]:
    """The clips that a source's labels and filter keep, and their labels.

    Returns:
        Index rows, int64 [n], ascending, and labels, int32 [n].

    Raises:
        ValueError: See `kept_clips`.
    """
    kept = kept_clips(source)
    rows = np.asarray(kept.rows)
    return rows, kept.label_of(rows)


def row_labels(source: TrainInput) -> LabelOf:
    """What gives a source's labels, once they are checked.

    Raises:
        ValueError: A label is no class, map and dataset are of different classes, or
            the map needs the teacher's prediction and the dataset has none.
    """
    if source.assignment is not None:
        return source.assignment.labels.__getitem__
    if not source.several:
        return labels_of(source.dataset, source.label_map)
    several = several_labels(source.dataset)
    if source.redraw:
        return source.dataset.index.label.__getitem__

    def drawn(rows: slice | np.ndarray) -> np.ndarray:
        flat = rows if isinstance(rows, slice) else rows.reshape(-1)
        found = several.one_of(flat, lambda rows: lasting_draws(source.seed, rows))
        return found if isinstance(rows, slice) else found.reshape(rows.shape)

    return drawn


def lasting_draws(seed: int, rows: np.ndarray) -> np.ndarray:
    """What decides for all epochs which of a clip's labels counts, float32 [n]."""
    # An epoch that no clip's other draws are of.
    return uniform_draws(seed, np.full_like(rows, -1), rows, 1)[:, 0]


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
    label = label.copy()
    for rows in in_chunks(len(label)):
        owner = np.repeat(np.arange(rows.start, rows.stop), num_labels(splits, rows))
        values = index.labels[splits[rows.start] : splits[rows.stop]]
        chosen = owner[values == index.teacher[owner]]
        label[chosen] = index.teacher[chosen]
    return label
