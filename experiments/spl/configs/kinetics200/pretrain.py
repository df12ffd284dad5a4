"""Kinetics-200: pre-training, on the labels that the argument names.

python -m experiments.train \
    --config=experiments/spl/configs/kinetics200/pretrain.py:STRATEGY \
    --workdir=runs/kinetics200/seed_0/runs/STRATEGY_pretrain

STRATEGY is weak, teacher, agreement, data_parameters, spl, spl_m, spl_d or spl_b;
`spl_m:1600` has 1,600 labels, and `spl_b,anchor` has anchor loss.
Assumed: 64 GPUs or TPU cores, 6 clips each; the learning rate is scaled to others.
Accuracies are those after fine-tuning; see `pipeline.py`.
"""

from experiments.spl.configs import phases, recipes

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.video_pretraining


def get_config(argument: str):
    """The recipe on the web clips, with the labels of a strategy."""
    return phases.pretrain(recipe(), "kinetics200", argument)
