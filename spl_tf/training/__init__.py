"""Training, evaluation and teacher prediction under a distribution strategy."""

from spl_tf.distribution.interruption import STOPPED_EXIT_CODE, TrainingStopped
from spl_tf.distribution.strategies import make_strategy
from spl_tf.inference.evaluation import evaluate
from spl_tf.inference.prediction import predict
from spl_tf.training.config import default_config
from spl_tf.training.config_rules import check_config
from spl_tf.training.run import train
from spl_tf.training.schedules import WarmupSchedule, resolve_steps

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
