"""Networks, schedules and augmentation of the paper, as its authors released them.

The paper does not print them; numbers are those of the configs of MMAction and
MMAction2, on which its code was published. There the learning rate of a step does not
grow with the auxiliary batches, as each takes a step of its own; here one step sums the
losses (eq. 1), see `experiments.omnisource.config.recipe`.
"""

from __future__ import annotations

from ml_collections import config_dict

from spl_tf import training
from spl_tf.models import IMAGENET


def slow_only(
    frames: int = 4, stride: int = 16, depth: int = 50, pretrained: bool = False
) -> config_dict.ConfigDict:
    """SlowOnly on `frames` of 64 consecutive ones, 224 x 224.

    From scratch 256 epochs with cosine decay; from ImageNet 150, the rate divided by 10
    at 90 and 130. Both clip gradients at 40.

    Args:
        frames: Frames of a clip: 4, or 8 with a stride of 8.
        stride: Frames of the video from one of a clip's frames to the next.
        depth: Layers of the network, 50 or 101.
        pretrained: Whether it starts from ImageNet's weights.
    """
    config = _base(f"slow_only_{depth}", dropout=0.5)
    config.data.update(num_frames=frames, stride=stride, global_batch_size=128)
    config.optimizer.update(
        learning_rate=0.02 if pretrained else 0.2, reference_batch_size=128
    )
    warmup, epochs = (10.0, 150.0) if pretrained else (34.0, 256.0)
    config.schedule.warmup_start = 0.01
    config.schedule.warmup.epochs = warmup
    config.schedule.length.epochs = epochs - warmup
    config.schedule.shape = "cosine"
    if pretrained:
        config.init.inflate = IMAGENET
        # Shares of what comes after the warm-up.
        boundaries = tuple((at - warmup) / (epochs - warmup) for at in (90.0, 130.0))
        config.schedule.update(shape="step", boundaries=boundaries, factor=0.1)
    return config


def tsn(
    segments: int = 3,
    network: str = "resnet_50",
    learning_rate: float = 0.01,
    batch_size: int = 256,
    dropout: float = 0.4,
) -> config_dict.ConfigDict:
    """TSN from ImageNet: a random frame per segment; 100 epochs, steps at 40 and 80.

    Args:
        segments: Segments of a video, each of which gives a frame.
        network: Name of a 2D network in `build_model`.
        learning_rate: Learning rate of a step of `batch_size` clips.
        batch_size: Clips of a step, over all replicas.
        dropout: Share of the pooled features dropped in training.
    """
    config = _base(network, dropout)
    config.data.update(
        num_frames=segments,
        stride=1,
        sampling="segments",
        global_batch_size=batch_size,
    )
    config.optimizer.update(
        learning_rate=learning_rate, reference_batch_size=batch_size
    )
    config.schedule.warmup.epochs = 0.0
    config.schedule.length.epochs = 100.0
    config.schedule.update(shape="step", boundaries=(0.4, 0.8), factor=0.1)
    config.init.inflate = IMAGENET
    return config


def fine_tuning() -> config_dict.ConfigDict:
    """SlowOnly-4x16 on a small target, from a network that was trained on Kinetics.

    Open: all of it; the paper names no numbers. A tenth of the rate, 30 epochs.
    """
    config = slow_only()
    config.optimizer.learning_rate = 0.01
    config.schedule.warmup.epochs = 0.0
    config.schedule.length.epochs = 30.0
    return config


def _base(network: str, dropout: float) -> config_dict.ConfigDict:
    config = training.default_config()
    config.model.update(name=network, dropout=dropout)
    config.model.normalization = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    config.data.update(
        crop_size=224,
        batch_size=0,
        flip=True,
        # Open: the release crops windows of random size and shape, scaled to 224.
        short_side=(256, 320),
    )
    config.augmentation.update(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    config.optimizer.update(momentum=0.9, weight_decay=1e-4, clip_norm=40.0)
    return config
