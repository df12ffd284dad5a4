"""Networks and schedules of the paper, section 3.3; what it leaves open is our choice.

Open are: the length of the warm-up, weight decay, mirroring, and all of fine-tuning
(its supplement has them), where the rate is searched for as the paper does.
"""

from __future__ import annotations

from ml_collections import config_dict

from spl_tf import training
from spl_tf.models.public_weights.networks import KINETICS_PIXELS

DEPTHS = (18, 34, 101, 152)
# Videos on one of the paper's 128 GPUs, by the frames of a clip.
VIDEOS_PER_GPU = {8: 16, 32: 6}
VIDEOS = 490_000_000  # that every pre-training processes
_WARM_UP = VIDEOS // 50
RATE, REFERENCE = 0.192, 768  # at 128 x 6 videos; scaled linearly
RATES = (0.0005, 0.002, 0.008, 0.032)  # of fine-tuning, to choose from


def network(depth: int) -> str:
    """The name of R(2+1)D of a depth, one of `DEPTHS`."""
    return f"r2plus1d_{depth}"


def pretraining(frames: int) -> config_dict.ConfigDict:
    """490 million videos with 13 halvings at equal steps, after a linear warm-up.

    Args:
        frames: Consecutive frames of a clip, a key of `VIDEOS_PER_GPU`.
    """
    config = _recipe(frames)
    config.optimizer.update(learning_rate=RATE, reference_batch_size=REFERENCE)
    config.schedule.update(
        warmup={"epochs": 0.0, "examples": _WARM_UP},
        length={"epochs": 0.0, "examples": VIDEOS - _WARM_UP},
        shape="halving",
        halvings=13,
    )
    return config


def finetuning(frames: int) -> config_dict.ConfigDict:
    """8 epochs, a tenth of the rate after each two, as VMZ's examples have it."""
    config = _recipe(frames)
    config.optimizer.update(
        learning_rate=RATES[1], reference_batch_size=32, weight_decay=5e-3
    )
    config.schedule.update(
        warmup={"epochs": 0.0},
        length={"epochs": 8.0},
        shape="step",
        boundaries=(0.25, 0.5, 0.75),
    )
    return config


def from_scratch(frames: int) -> config_dict.ConfigDict:
    """35 epochs, a tenth of the rate after each ten, as VMZ trains on Kinetics.

    The 10 epochs of warm-up before them are our choice.
    """
    config = _recipe(frames)
    config.optimizer.update(learning_rate=0.08, reference_batch_size=256)
    config.schedule.update(
        warmup={"epochs": 10.0},
        length={"epochs": 35.0},
        shape="step",
        boundaries=(2 / 7, 4 / 7, 6 / 7),
    )
    return config


def _recipe(frames: int) -> config_dict.ConfigDict:
    """Random windows of 112 x 112 of stored frames, from a random start.

    Batch normalisation is each GPU's own, of as many videos as the paper's have.
    """
    config = training.default_config()
    config.model.update(
        name=network(34), dropout=0.0, normalization=tuple(KINETICS_PIXELS.values())
    )
    config.data.update(
        num_frames=frames, stride=1, crop_size=112, batch_size=VIDEOS_PER_GPU[frames]
    )
    config.augmentation.update(dict.fromkeys(config.augmentation, 0.0))
    config.optimizer.weight_decay = 1e-4
    config.schedule.warmup_start = 0.0
    return config
