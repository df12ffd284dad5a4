"""UCF-101: its row without pre-training; the labels' teacher is Kinetics-200's.

python -m experiments.train \
    --config=experiments/spl/configs/ucf101/teacher.py \
    --workdir=runs/ucf101/seed_0/runs/none

One GPU with 6 clips per step is assumed to do. The paper's top-1, not reproduced here:
84.9 (Table 4, "Our baseline").
"""

from experiments.spl.configs import phases, recipes

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.small_target_teacher


def get_config(argument: str = ""):
    """The recipe on the target clips."""
    return phases.teacher(recipe(), "ucf101", argument)
