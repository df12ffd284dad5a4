"""UCF-101: fine-tuning, from a pre-training of `kinetics200/pretrain.py`.

python -m experiments.train \
    --config=experiments/spl/configs/ucf101/finetune.py:spl_b \
    --workdir=runs/ucf101/seed_0/runs/spl_b_kinetics200

The argument is that of the pre-training, or imagenet for none. One GPU with 6 clips per
step is assumed to do. The paper's top-1 with spl_b on WebK200, not reproduced here:
94.6 (Table 4).
"""

from experiments.spl.configs import base
from experiments.spl.configs.kinetics200 import finetune
from experiments.spl.configs.ucf101 import pipeline


def get_config(argument: str):
    """See `base.finetune`."""
    config = base.finetune("ucf101", pipeline.get_config, argument)
    config.init.checkpoint = finetune.get_config(argument).init.checkpoint
    return config
