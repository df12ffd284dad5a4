"""Kinetics-200: fine-tuning, from the pre-training of the same argument.

python -m experiments.train \
    --config=experiments/spl/configs/kinetics200/finetune.py:STRATEGY \
    --workdir=runs/kinetics200/seed_0/runs/STRATEGY

STRATEGY as of `pretrain.py`, or imagenet for none. The paper's top-1 / top-5, not
reproduced here (Table 1): weak 82.8 / 95.6, teacher 81.9 / 95.0, agreement 82.9 / 95.4,
data_parameters 83.2 / 95.5, spl_b 84.3 / 95.7.
Assumed: 64 GPUs or TPU cores, 6 clips each; the learning rate is scaled to others.
"""

from experiments.spl.configs import phases, recipes

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.video_finetuning


def get_config(argument: str):
    """The recipe on the target clips, from a pre-trained network."""
    return phases.finetune(recipe(), "kinetics200", argument)
