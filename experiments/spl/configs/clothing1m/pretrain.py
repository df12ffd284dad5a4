"""Clothing1M: pre-training, on the labels that the argument names.

python -m experiments.train \
    --config=experiments/spl/configs/clothing1m/pretrain.py:STRATEGY \
    --workdir=runs/clothing1m/seed_0/runs/STRATEGY_pretrain

STRATEGY is weak, teacher, agreement, data_parameters, forward_correction, spl, spl_m,
spl_d or spl_b; `spl_b,anchor` has anchor loss. 8 GPUs are assumed for the 256 images of
a step. Accuracies are those after fine-tuning; see `pipeline.py`.
"""

from experiments.spl.configs import base
from experiments.spl.configs.clothing1m import pipeline


def get_config(argument: str):
    """See `base.pretrain`."""
    return base.pretrain("clothing1m", pipeline.get_config, argument)
