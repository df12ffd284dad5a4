"""Clothing1M: the teacher, which is also the row without pre-training.

python -m experiments.train \
    --config=experiments/spl/configs/clothing1m/teacher.py \
    --workdir=runs/clothing1m/seed_0/runs/none

One GPU is assumed to do; a step has 32 images. Open: it starts from ImageNet. The
papers give no number for it.
"""

from experiments.spl.configs import phases, recipes

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.image_teacher


def get_config(argument: str = ""):
    """The recipe on the target clips."""
    return phases.teacher(recipe(), "clothing1m", argument)
