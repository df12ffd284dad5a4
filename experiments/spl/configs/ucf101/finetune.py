"""UCF-101: fine-tuning, from a pre-training of `kinetics200/pretrain.py`.

python -m experiments.train \
    --config=experiments/spl/configs/ucf101/finetune.py:spl_b \
    --workdir=runs/ucf101/seed_0/runs/spl_b_kinetics200

The argument is that of the pre-training, or imagenet for none. One GPU with 6 clips per
step is assumed to do. The paper's top-1 with spl_b on WebK200, not reproduced here:
94.6 (Table 4).
"""

from experiments.spl.configs import recipes, transfer

# Network, clips, batch, learning rate, schedule and augmentation.
recipe = recipes.small_target_finetuning


def get_config(argument: str):
    """The recipe on the target clips, from a pre-trained network."""
    return transfer.finetune(recipe(), "ucf101", argument)
