"""SoccerNet: the teacher, which is also the row without pre-training.

python -m experiments.train \
    --config=experiments/spl/configs/soccernet/teacher.py \
    --workdir=runs/soccernet/seed_0/runs/none

Assumed: 64 GPUs or TPU cores, 6 clips each; the learning rate is scaled to others. The
paper's mAP without Background, not reproduced here: 73.7 (Table 5, "Baseline").
"""

from experiments.spl.configs import base
from experiments.spl.configs.soccernet import pipeline


def get_config(argument: str = ""):
    """See `base.teacher`."""
    return base.teacher("soccernet", pipeline.get_config, argument)
