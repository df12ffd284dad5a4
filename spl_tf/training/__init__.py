"""Training, evaluation and teacher prediction under a distribution strategy."""

from spl_tf.training.config import check_config, default_config
from spl_tf.training.evaluation import evaluate
from spl_tf.training.interruption import STOPPED_EXIT_CODE, TrainingStopped
from spl_tf.training.loop import train
from spl_tf.training.prediction import predict
from spl_tf.training.schedules import WarmupSchedule, resolve_steps
from spl_tf.training.strategies import make_strategy

__all__ = [
    "STOPPED_EXIT_CODE",
    "TrainingStopped",
    "WarmupSchedule",
    "check_config",
    "default_config",
    "evaluate",
    "make_strategy",
    "predict",
    "resolve_steps",
    "train",
]
