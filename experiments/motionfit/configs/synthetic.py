r"""MotionFit on a rendered world: `make motionfit`.

python -m experiments.run_pipeline \
    --config=experiments/motionfit/configs/synthetic.py --workdir=runs/motionfit \
    --jobs=2 --threads=1

World FW: scenes whose sprites rise, sink, grow or shrink. A fifth or half of a small
target set is labelled, and 6,048 segments of web videos have no labels, but for the
queries that Sub-Pseudo Labels use. All rows of a seed have the same initial weights;
those of a table as many steps of learning from web videos.
`--strategies=scratch_20,motionfit_20 --seeds=0` is `make motionfit-demo`.
"""

from __future__ import annotations

from typing import Any

from ml_collections import config_dict

from experiments.motionfit.config import default_config
from experiments.pipeline.rules import set_rows
from experiments.spl.configs import tiny
from experiments.synthetic import render

STEPS, FINETUNING = 2400, 240
MOTION, APPEARANCE = "motion", "appearance"
SHARES = {20: 0.2, 50: 0.5}  # labelled, by percent


def get_config():
    """World, conversion, flow, teachers, recipes and rows; five seeds."""
    config = base_config()
    config.title = "MotionFit on a rendered world"
    rows, tables = {}, []
    for percent, share in SHARES.items():
        found = semi_supervised(percent, share)
        rows |= found
        names = tuple(found)
        tables.append(
            {
                "title": f"{percent} % of the target set labelled",
                "text": "Top-1 after fine-tuning; R@n of the features before it.",
                "rows": names,
                "reference": names[0],
                "paper": {},  # whose unlabelled clips are others, see `studies.py`
            }
        )
    on_top = spl_on_top()
    tables.append(
        {
            "title": "Sub-Pseudo Labels on top",
            "text": "Pre-training from random weights, with as many steps as "
            "self-training and pre-training have together; 20 % labelled.",
            "rows": tuple(on_top),
            "reference": "spl_b",
            "paper": {},
        }
    )
    set_rows(config, rows | on_top)
    config.tables = tuple(tables)
    return config


def base_config() -> config_dict.ConfigDict:
    """All but title, rows and tables."""
    config = default_config()
    # Nothing was chosen on these; world and recipes were made on others.
    config.seeds = tuple(range(10, 15))
    config.world = render.world_config("fw")
    config.world.target_clips_per_class = 30
    config.conversion = config_dict.create(
        short_side=0,  # the frames are rendered at the size they are used at
        jpeg_quality=95,
        num_shards=4,
        clips_per_video=config.world.segments_per_video,
        clip_seconds=config.world.frames_per_segment / config.world.frame_rate,
    )
    config.conversion_processes = 1
    config.flow.method = "farneback"
    config.num_clusters = 24
    config.teachers[MOTION] = motion_teacher()
    config.teachers[APPEARANCE] = tiny.recipe(0.1, STEPS + FINETUNING)
    config.scratch = tiny.recipe(0.1, STEPS + FINETUNING)
    config.selftrain = tiny.recipe(0.15, STEPS)
    config.pretrain = tiny.recipe(0.15, STEPS)
    config.finetune = tiny.recipe(0.05, FINETUNING)
    config.features.update(batch_size=64, num_clips=2)
    return config


def motion_teacher(clips: int = 2, clip_weight: float = 0.5) -> config_dict.ConfigDict:
    """The network of `tiny`, on the flow of 4 frames in a row.

    Args:
        clips: Clips of a video that a step sees.
        clip_weight: Weight of the losses of each beside that of their mean logits.
    """
    config = tiny.recipe(0.1, STEPS)
    config.data.update(
        modality="flow", stride=1, clips_per_item=clips, batch_size=32 // clips
    )
    config.optimizer.reference_batch_size = 32 // clips
    config.augmentation.update(dict.fromkeys(config.augmentation, 0.0))  # no colours
    config.loss.update(clips="loss_of_mean", clip_weight=clip_weight)
    return config


def semi_supervised(percent: int, share: float) -> dict[str, Any]:
    """From scratch, and from clusters of features of frames and of their motion."""
    rows = {
        "scratch": {},
        "appearance": {"teacher": APPEARANCE},
        "motionfit": {"teacher": MOTION},
    }
    return {
        f"{name}_{percent}": {"fraction": share, **row} for name, row in rows.items()
    }


def spl_on_top() -> dict[str, Any]:
    """Strategies' pre-training, from random and from self-trained weights."""
    longer = {"schedule": tiny.recipe(0.15, 2 * STEPS).schedule.to_dict()}
    rows = {}
    for strategy in ("agreement", "spl_b"):
        row = {"fraction": SHARES[20], "teacher": APPEARANCE, "labels": strategy}
        rows[strategy] = row | {"changes": {"pretrain": longer}}
        rows[f"{strategy}_on_motionfit"] = row | {"start": "motionfit_20"}
    return rows
