"""SoccerNet: pre-training, on the labels that the argument names.

python -m experiments.train \
    --config=experiments/spl/configs/soccernet/pretrain.py:STRATEGY \
    --workdir=runs/soccernet/seed_0/runs/STRATEGY_pretrain

STRATEGY is weak, teacher, agreement, data_parameters, spl, spl_m, spl_d or spl_b;
`spl_m:1600` has 1,600 labels, and `spl_b,anchor` has anchor loss.
Assumed: 64 GPUs or TPU cores, 6 clips each; the learning rate is scaled to others.
Results are those after fine-tuning; see `pipeline.py`.
"""

from experiments.spl.configs import base
from experiments.spl.configs.soccernet import pipeline


def get_config(argument: str):
    """See `base.pretrain`."""
    return base.pretrain("soccernet", pipeline.get_config, argument)
