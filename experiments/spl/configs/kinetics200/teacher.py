"""Kinetics-200: the teacher, which is also the row without pre-training.

python -m experiments.train \
    --config=experiments/spl/configs/kinetics200/teacher.py \
    --workdir=runs/kinetics200/seed_0/runs/none

Assumed: 64 GPUs or TPU cores, 6 clips each; the learning rate is scaled to others. The
paper's top-1 / top-5, not reproduced here: 80.6 / 94.7 (Table 1, "ImageNet").
"""

from experiments.spl.configs import phases, recipes

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.video_teacher


def get_config(argument: str = ""):
    """The recipe on the target clips."""
    return phases.teacher(recipe(), "kinetics200", argument)
