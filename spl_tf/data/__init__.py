"""From a dataset folder to batches: plan, read by offset, decode, look up."""

from spl_tf.data.bad_records import (
    MAX_BAD_RECORDS,
    SkippedRecords,
    check_bad_record_options,
    plain_bad_records,
)
from spl_tf.data.batches import train_batches
from spl_tf.data.device.augmentation import (
    Augmentation,
    augment,
    unit_pixels,
)
from spl_tf.data.image_clips import IMAGE_KINDS, ImageClips
from spl_tf.data.label_columns import (
    check_labels,
    check_one_label,
    check_predicted,
    several_labels,
)
from spl_tf.data.label_lookup import LabelLookup
from spl_tf.data.plan import Resampling, TrainPlan, padded_rows, uniform_draws
from spl_tf.data.positive_frames import PositiveFrames
from spl_tf.data.records import BadRecordError, check_flow
from spl_tf.data.sampling import PAPER_EVALUATION, ClipSampling
from spl_tf.data.scoring_batches import eval_batches, predict_batches
from spl_tf.data.sources import (
    TrainInput,
    apply_filter,
    clips_kept,
    filter_rows,
    kept_clips,
    labels_kept,
    media_kept,
)

__all__ = [
    "IMAGE_KINDS",
    "MAX_BAD_RECORDS",
    "PAPER_EVALUATION",
    "Augmentation",
    "BadRecordError",
    "ClipSampling",
    "ImageClips",
    "LabelLookup",
    "PositiveFrames",
    "Resampling",
    "SkippedRecords",
    "TrainInput",
    "TrainPlan",
    "apply_filter",
    "augment",
    "check_bad_record_options",
    "check_flow",
    "check_labels",
    "check_one_label",
    "check_predicted",
    "clips_kept",
    "eval_batches",
    "filter_rows",
    "kept_clips",
    "labels_kept",
    "media_kept",
    "padded_rows",
    "plain_bad_records",
    "predict_batches",
    "several_labels",
    "train_batches",
    "uniform_draws",
    "unit_pixels",
]
