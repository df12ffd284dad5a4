"""UCF-101: its row without pre-training; the labels' teacher is Kinetics-200's.

python -m experiments.train \
    --config=experiments/spl/configs/ucf101/teacher.py \
    --workdir=runs/ucf101/seed_0/runs/none

One GPU with 6 clips per step is assumed to do. The paper's top-1, not reproduced here:
84.9 (Table 4, "Our baseline").
"""

from experiments.spl.configs import base
from experiments.spl.configs.ucf101 import pipeline


def get_config(argument: str = ""):
    """See `base.teacher`."""
    return base.teacher("ucf101", pipeline.get_config, argument)
