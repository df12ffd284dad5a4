"""Clothing1M: the teacher, which is also the row without pre-training.

python -m experiments.train \
    --config=experiments/spl/configs/clothing1m/teacher.py \
    --workdir=runs/clothing1m/seed_0/runs/none

One GPU is assumed to do; a step has 32 images. Open: it starts from ImageNet. The
papers give no number for it.
"""

from experiments.spl.configs import base
from experiments.spl.configs.clothing1m import pipeline


def get_config(argument: str = ""):
    """See `base.teacher`."""
    return base.teacher("clothing1m", pipeline.get_config, argument)
