"""From a dataset folder to batches: plan, read by offset, decode, look up."""

from spl_tf.data.augmentation import Augmentation, augment_and_normalize, normalize
from spl_tf.data.label_lookup import LabelLookup
from spl_tf.data.pipeline import eval_batches, predict_batches, train_batches
from spl_tf.data.plan import Resampling, TrainPlan, padded_rows, uniform_draws
from spl_tf.data.records import BadRecordError
from spl_tf.data.sampling import PAPER_EVALUATION, ClipSampling
from spl_tf.data.training import TrainInput, labels_kept

__all__ = [
    "PAPER_EVALUATION",
    "Augmentation",
    "BadRecordError",
    "ClipSampling",
    "LabelLookup",
    "Resampling",
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
