"""From a dataset folder to batches: plan, read by offset, look up, decode, batch."""

from spl_tf.data.augmentation import Augmentation, augment_and_normalize, normalize
from spl_tf.data.label_lookup import LabelLookup
from spl_tf.data.pipeline import (
    TrainInput,
    eval_batches,
    labels_kept,
    predict_batches,
    train_batches,
)
from spl_tf.data.plan import TrainPlan, padded_rows, uniform_draws
from spl_tf.data.sampling import ClipSampling

__all__ = [
    "Augmentation",
    "ClipSampling",
    "LabelLookup",
    "TrainInput",
    "TrainPlan",
    "augment_and_normalize",
    "eval_batches",
    "labels_kept",
    "normalize",
    "padded_rows",
    "predict_batches",
    "train_batches",
    "uniform_draws",
]
