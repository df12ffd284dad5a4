"""A small experiment on labels from motion."""

from experiments.motionfit.config import PHASES
from experiments.motionfit.configs import synthetic


def small_config(*strategies):
    """Some rows on a world of a few clips a class, in trainings of four steps."""
    config = shrink(synthetic.get_config())
    config.strategies = strategies or config.strategies
    config.tables = ()
    return config


def shrink(config):
    """The same on a world of a few clips a class, in trainings of four steps."""
    config.report = False
    config.seeds = (0,)
    config.world.update(
        target_clips_per_class=5,
        validation_clips_per_class=2,
        web_videos_per_class=2,
        segments_per_video=2,
    )
    config.conversion.update(num_shards=2, clips_per_video=2)
    config.max_skipped_fraction = 0.5  # of so few videos, some are damaged
    config.num_clusters = 5
    for row in config.rows.values():
        if "num_clusters" in row:
            row.num_clusters = min(row.num_clusters, 8)
        for phase in row.get("changes", {}).values():
            phase.schedule.warmup.steps = phase.schedule.length.steps = 2
    for settings in (*config.teachers.values(), *(config[phase] for phase in PHASES)):
        settings.data.batch_size = 8 // settings.data.clips_per_item
        settings.schedule.warmup.steps = 2
        settings.schedule.length.steps = 2
        settings.runtime.update(
            steps_per_call=2, log_every_steps=2, checkpoint_every_steps=2
        )
    return config
