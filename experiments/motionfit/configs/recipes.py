"""Networks and schedules for real videos. All of it is open, and our own choice.

The supplement names backbones, frames and resolution (Tables 2 and 3); everything else
would be in the paper itself, see the README.
"""

from __future__ import annotations

from ml_collections import config_dict

from spl_tf import training

# Frames and crop of each network.
NETWORKS = {"r2plus1d_18": (32, 112), "s3d_g": (64, 224)}


def recipe(network: str, epochs: float, rate: float) -> config_dict.ConfigDict:
    """SGD over some epochs with cosine decay, 64 clips a step.

    Args:
        network: One of `NETWORKS`.
        epochs: Epochs, of which a tenth is warm-up.
        rate: Learning rate of a step of 64 clips.
    """
    frames, crop = NETWORKS[network]
    config = training.default_config()
    config.model.update(name=network, dropout=0.5)
    config.data.update(
        num_frames=frames,
        stride=1,
        crop_size=crop,
        short_side=(crop * 8 // 7, crop * 10 // 7),
        test_short_side=crop * 8 // 7,
        batch_size=0,
        global_batch_size=64,
    )
    config.optimizer.update(
        learning_rate=rate, reference_batch_size=64, weight_decay=1e-4
    )
    config.schedule.warmup.epochs = epochs / 10
    config.schedule.length.epochs = epochs - epochs / 10
    config.schedule.warmup_start = 0.01
    return config


def motion_teacher(network: str) -> config_dict.ConfigDict:
    """Learns the labelled part's classes from flow, 4 clips of each video in a step."""
    config = recipe(network, epochs=150.0, rate=0.05)
    config.data.update(modality="flow", clips_per_item=4, global_batch_size=16)
    config.optimizer.reference_batch_size = 16
    config.augmentation.update(dict.fromkeys(config.augmentation, 0.0))  # no colours
    config.loss.update(clips="loss_of_mean", clip_weight=0.5)
    return config


def self_training(network: str) -> config_dict.ConfigDict:
    """Learns clusters from scratch; a clip's stride is drawn, 1, 2 or 4.

    So that it spans as much of a video as what was clustered, the mean of several
    clips.
    """
    config = recipe(network, epochs=45.0, rate=0.1)
    config.data.strides = (1, 2, 4)
    return config


def fine_tuning(network: str) -> config_dict.ConfigDict:
    """A tenth of the rate, for the labelled part."""
    return recipe(network, epochs=50.0, rate=0.01)
