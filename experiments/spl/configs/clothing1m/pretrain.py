"""Clothing1M: pre-training, on the labels that the argument names.

python -m experiments.train \
    --config=experiments/spl/configs/clothing1m/pretrain.py:STRATEGY \
    --workdir=runs/clothing1m/seed_0/runs/STRATEGY_pretrain

STRATEGY is weak, teacher, agreement, data_parameters, forward_correction, spl, spl_m,
spl_d or spl_b; `spl_b,anchor` has anchor loss. 8 GPUs are assumed for the 256 images of
a step. Accuracies are those after fine-tuning; see `pipeline.py`.
"""

from experiments.spl.configs import phases, recipes

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.image_pretraining


def get_config(argument: str):
    """The recipe on the web clips, with the labels of a strategy."""
    return phases.pretrain(recipe(), "clothing1m", argument)
