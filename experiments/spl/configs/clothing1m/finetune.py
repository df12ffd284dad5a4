"""Clothing1M: fine-tuning, from the pre-training of the same argument.

python -m experiments.train \
    --config=experiments/spl/configs/clothing1m/finetune.py:STRATEGY \
    --workdir=runs/clothing1m/seed_0/runs/STRATEGY

STRATEGY as of `pretrain.py`, or imagenet for none. One GPU is assumed to do; a step has
32 images. The paper's top-1, not reproduced here (Table 6): weak 79.43,
forward_correction 80.38, spl 80.50.
"""

from experiments.spl.configs import phases, recipes

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.image_finetuning


def get_config(argument: str):
    """The recipe on the target clips, from a pre-trained network."""
    return phases.finetune(recipe(), "clothing1m", argument)
