"""A small experiment on web images and videos."""

import numpy as np

from experiments.omnisource.configs import synthetic
from spl_tf.clips import ClipDataset


def small_config(*strategies):
    """Some rows on a world of a few clips of each kind, in trainings of four steps."""
    config = shrink(synthetic.get_config())
    config.strategies = strategies
    return config


def shrink(config):
    """The same on a world of a few clips of each kind, in trainings of four steps."""
    config.report = False
    config.seeds = (0,)
    config.world.update(
        target_clips_per_class=2,
        validation_clips_per_class=2,
        web_images_per_class=3,
        web_short_per_class=2,
        web_untrimmed_per_class=2,
        segments_per_video=2,
        copy_share=0.0,
    )
    config.conversion.num_shards = 2
    # So few steps teach nothing: without these, a filter would leave nothing.
    for source in config.sources.values():
        source.filter.agreement = False
        source.filter.keep_fraction = 0.5
    config.duplicates.threshold = 0.9999
    config.camera_motion.update(num_frames=4, max_clips=0)
    for settings in (config.train, *config.teachers.values()):
        if not hasattr(settings, "data"):
            continue  # several teachers that vote
        settings.data.batch_size = 8
        settings.schedule.warmup.steps = 2
        settings.schedule.length.steps = 2
        settings.runtime.update(
            steps_per_call=2, log_every_steps=2, checkpoint_every_steps=2
        )
    return config


def surest_by_class(dataset, fraction):
    """Of each query's clips those that the teacher is surest of, by what it sees."""
    opened = ClipDataset(dataset)
    index, kept = opened.index, []
    for label in set(index.label.tolist()):
        rows = sorted(
            np.flatnonzero(index.label == label).tolist(),
            key=lambda row: (-index.confidence[row], row),
        )
        kept += rows[: -int(-len(rows) * fraction // 1)]
    seen = [int(index.teacher[row]) for row in kept]
    return [seen.count(name) for name in range(len(opened.info.class_names))]
