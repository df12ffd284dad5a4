"""HMDB-51: fine-tuning, from a pre-training of `kinetics200/pretrain.py`.

python -m experiments.train \
    --config=experiments/spl/configs/hmdb51/finetune.py:spl_b \
    --workdir=runs/hmdb51/seed_0/runs/spl_b_kinetics200

The argument is that of the pre-training, or imagenet for none. One GPU with 6 clips per
step is assumed to do. The paper's top-1 with spl_b on WebK200, not reproduced here:
67.6 (Table 4).
"""

from experiments.spl.configs import base
from experiments.spl.configs.hmdb51 import pipeline
from experiments.spl.configs.kinetics200 import finetune


def get_config(argument: str):
    """See `base.finetune`."""
    config = base.finetune("hmdb51", pipeline.get_config, argument)
    config.init.checkpoint = finetune.get_config(argument).init.checkpoint
    return config
