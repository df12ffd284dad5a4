"""The paper's recipes: all that its trainings do not leave to the defaults.

Written out, also where a value is the default. "Open" marks what the paper leaves to
choose. Learning rates are those of `reference_batch_size` clips per step, and scaled to
others. What a training reads, its labels and its loss are said by `phases.py`.
"""

from __future__ import annotations

from ml_collections import config_dict

from spl_tf import training
from spl_tf.models.inflation import IMAGENET


def video(epochs: float) -> config_dict.ConfigDict:
    """R3D-50-G as for Kinetics-200 (section 4.2), from 0.04 to 0.4 and by cosine to 0.

    Open: the batch of all replicas, for which the rate holds. The paper gives 6 clips
    for what must be one replica; with 64 of them a step has 384. Open: strengths of the
    photometric jitter (TensorFlow's usual ones), no jitter of the short side, no
    Nesterov, dropout 0.5 (NL's).

    Args:
        epochs: Epochs after the warm-up, which has 10.
    """
    config = training.default_config()
    config.model.update(name="r3d_50_g", dropout=0.5, projection_dim=0)
    config.data.update(num_frames=16, stride=4, crop_size=224, flip=True, batch_size=6)
    config.augmentation.update(
        brightness=32 / 255, contrast=0.5, saturation=0.5, hue=0.2
    )
    config.optimizer.update(
        learning_rate=0.4,
        reference_batch_size=384,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-7,
    )
    config.schedule.update(warmup_start=0.1, shape="cosine")
    config.schedule.warmup.epochs = 10.0
    config.schedule.length.epochs = epochs
    return config


def video_teacher() -> config_dict.ConfigDict:
    """Inflated from ImageNet's weights, on the target clips."""
    config = video(epochs=60.0)
    config.init.inflate = IMAGENET
    return config


def video_pretraining() -> config_dict.ConfigDict:
    """Inflated from ImageNet's weights, on the web clips."""
    config = video(epochs=150.0)
    config.init.inflate = IMAGENET
    # "A linear projection head" as in SimCLR and NPID. Open: its width; theirs is 128.
    config.model.projection_dim = 128
    return config


def video_finetuning() -> config_dict.ConfigDict:
    """From the pre-training, on the target clips."""
    return video(epochs=60.0)


def small_target_teacher() -> config_dict.ConfigDict:
    """`video_teacher` for few target clips, with SoccerNet's schedule."""
    return _small_target(video_teacher())


def small_target_finetuning() -> config_dict.ConfigDict:
    """`video_finetuning` for few target clips, with SoccerNet's schedule."""
    return _small_target(video_finetuning())


def _small_target(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """SoccerNet's fine-tuning: 0.005 for 20 epochs. Open: that it is constant."""
    config.optimizer.learning_rate = 0.005
    config.schedule.warmup.epochs = 0.0
    config.schedule.length.epochs = 20.0
    config.schedule.shape = "constant"
    return config


def image(
    batch_size: int, learning_rate: float, weight_decay: float, epochs: float
) -> config_dict.ConfigDict:
    """ResNet-50 on random crops of images and their mirror images, SGD, cosine.

    An image is a clip of one frame (section 4.6). The paper says: pre-training from
    random initialization, then fine-tuning on the clean images. Open: all the rest.

    Args:
        batch_size: Images per step, over all replicas.
        learning_rate: Learning rate at the start; there is no warm-up.
        weight_decay: Decay d of `d/2 * sum(w^2)` on the kernels.
        epochs: Epochs in all, which may be a fraction.
    """
    config = training.default_config()
    config.model.update(name="resnet_50", dropout=0.0)
    config.data.update(
        num_frames=1,
        stride=1,
        crop_size=224,
        flip=True,
        batch_size=0,
        global_batch_size=batch_size,
    )
    config.augmentation.update(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    config.optimizer.update(
        learning_rate=learning_rate,
        reference_batch_size=batch_size,
        momentum=0.9,
        weight_decay=weight_decay,
    )
    config.schedule.shape = "cosine"
    config.schedule.warmup.epochs = 0.0
    config.schedule.length.epochs = epochs
    return config


def image_teacher() -> config_dict.ConfigDict:
    """On the clean images. Open: that it starts from ImageNet's weights."""
    config = image_finetuning()
    config.init.inflate = IMAGENET
    return config


def image_pretraining() -> config_dict.ConfigDict:
    """From random weights, on the noisy images."""
    return image(256, learning_rate=0.1, weight_decay=1e-4, epochs=30.0)


def image_finetuning() -> config_dict.ConfigDict:
    """From the pre-training, on the clean images: 5 epochs at 1e-3 and 5 at 1e-4."""
    config = image(32, learning_rate=1e-3, weight_decay=1e-3, epochs=10.0)
    config.schedule.update(shape="step", boundaries=(0.5,), factor=0.1)
    return config
