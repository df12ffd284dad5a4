"""A small experiment on labels from hashtags."""

from experiments.ig65m.config import PHASES
from experiments.ig65m.configs import synthetic


def small_config(*strategies):
    """Some rows on a world of 120 posts, in trainings of four steps."""
    config = shrink(synthetic.get_config())
    config.strategies = strategies or config.strategies
    config.tables = ()
    return config


def shrink(config):
    """The same on a world of 120 posts, in trainings of four steps."""
    config.report = False
    config.seeds = (0,)
    config.world.update(
        target_clips_per_class=2, validation_clips_per_class=2, posts=120, tail=0.3
    )
    config.conversion.num_shards = 2
    config.posts.min_videos = 1
    config.max_skipped_fraction = 0.5  # of so few videos, some are damaged
    for settings in config.subsets.values():
        if "num_videos" in settings:
            settings.num_videos = 30  # one of each label and more
    for row in config.rows.values():
        for changes in row.get("changes", {}).values():
            if "schedule" in changes:
                changes.schedule.warmup.steps = changes.schedule.length.steps = 2
    for phase in PHASES:
        config[phase].data.batch_size = 8
        config[phase].schedule.warmup.steps = 2
        config[phase].schedule.length.steps = 2
        config[phase].runtime.update(
            steps_per_call=2, log_every_steps=2, checkpoint_every_steps=2
        )
    return config
