"""Experiments and trainings of a size that shows in a minute whether they run."""

from __future__ import annotations

from ml_collections import config_dict

from experiments.spl.config import PHASES, default_config
from experiments.synthetic import render, world

# Networks by those that stand for them, with a factor on their width.
_TINY_NETWORKS = {
    **dict.fromkeys(
        (
            *("r3d_50_g", "slow_only_50", "slow_only_101", "s3d_g"),
            *(f"r2plus1d_{depth}" for depth in (18, 34, 101, 152)),
        ),
        ("r3d_tiny_g", 1.0),
    ),
    **dict.fromkeys(("resnet_50", "resnet_18"), ("resnet_18", 0.125)),
    "efficientnet_b4": ("resnet_18", 0.125),
}


def shrink(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The experiment on a small rendered world; images are one frame a clip."""
    config.title += " (smoke run)"
    config.world = render.default_config()
    config.world.update(
        target_clips_per_class=1,
        validation_clips_per_class=1,
        web_videos_per_class=2,
        segments_per_video=2,
        frame_size=36,
    )
    seconds = config.world.frames_per_segment / config.world.frame_rate
    config.data = default_config().data
    config.conversion = config_dict.create(
        short_side=0, num_shards=2, clips_per_video=2, clip_seconds=seconds
    )
    if config.scratch.data.num_frames == 1:
        config.conversion.fps = 1 / seconds
    config.conversion_processes = 1
    config.max_skipped_fraction = 0.5  # of so few videos, some are damaged
    for phase in PHASES:
        shrink_recipe(config[phase])
    if config.evaluate.exclude_classes:
        names = world.class_names(config.world.motions)
        config.evaluate.exclude_classes = tuple(names[:1])
    config.evaluate.batch_size = config.predict.batch_size = 8
    config.curve = ()
    return config


def shrink_recipe(settings: config_dict.ConfigDict) -> None:
    """Changes the config of a training to a tiny network and two steps."""
    name, width = _TINY_NETWORKS[settings.model.name]
    settings.model.update(
        name=name, width=width, projection_dim=min(settings.model.projection_dim, 8)
    )
    settings.data.update(
        num_frames=min(settings.data.num_frames, 4),
        stride=min(settings.data.stride, 2),
        crop_size=32,  # the least that ResNets take
        batch_size=8,
        global_batch_size=0,
    )
    settings.optimizer.reference_batch_size = 8
    warm_up = int(any(settings.schedule.warmup.values()))
    settings.schedule.warmup.update(epochs=0.0, steps=warm_up, examples=0)
    settings.schedule.length.update(epochs=0.0, steps=2 - warm_up, examples=0)
    settings.init.inflate = ""
    settings.runtime.update(
        steps_per_call=1, log_every_steps=1, checkpoint_every_steps=2
    )
