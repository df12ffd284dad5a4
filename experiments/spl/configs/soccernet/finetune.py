"""SoccerNet: fine-tuning, from the pre-training of the same argument.

python -m experiments.train \
    --config=experiments/spl/configs/soccernet/finetune.py:STRATEGY \
    --workdir=runs/soccernet/seed_0/runs/STRATEGY

STRATEGY as of `pretrain.py`, or imagenet for none. The paper's mAP without Background,
on 401K clips, not reproduced here (Table 5): weak 75.3, agreement 75.4, teacher 75.2,
spl 76.8.
Assumed: 64 GPUs or TPU cores, 6 clips each; the learning rate is scaled to others.
"""

from experiments.spl.configs import phases, recipes

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.small_target_finetuning


def get_config(argument: str):
    """The recipe on the target clips, from a pre-trained network."""
    return phases.finetune(recipe(), "soccernet", argument)
