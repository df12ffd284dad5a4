"""SoccerNet: the teacher, which is also the row without pre-training.

python -m experiments.train \
    --config=experiments/spl/configs/soccernet/teacher.py \
    --workdir=runs/soccernet/seed_0/runs/none

Assumed: 64 GPUs or TPU cores, 6 clips each; the learning rate is scaled to others. The
paper's mAP without Background, not reproduced here: 73.7 (Table 5, "Baseline").
"""

from experiments.spl.configs import phases, recipes

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.small_target_teacher


def get_config(argument: str = ""):
    """The recipe on the target clips."""
    return phases.teacher(recipe(), "soccernet", argument)
