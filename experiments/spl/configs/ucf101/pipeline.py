"""UCF-101 after pre-training on WebK200: Table 4, from videos to the report.

python -m experiments.run_pipeline \
    --config=experiments/spl/configs/ucf101/pipeline.py \
    --workdir=runs/ucf101

Reads, in `data/ucf101`, `classes.txt`, `target.csv` with one of the three official
divisions into train and test, and the videos in `target/`; and the pre-trained network
in `runs/kinetics200/seed_0/runs/spl_b_pretrain`, which must be there
(`--config.variants.spl_b_kinetics200.scratch.init.checkpoint=DIR` for another). No web
videos are collected for this target. `smoke` starts from the smoke run of Kinetics-200.

One GPU with 6 clips per step is assumed to do. The paper's top-1, not reproduced here
(Table 4): ImageNet 84.9, SPL 94.6. It does not say of which split, or of how many.
"""

from experiments.spl.configs import transfer
from experiments.spl.configs.ucf101 import finetune, teacher

# Top-1, Table 4.
_PAPER = {"none": 0.849, "spl_b_kinetics200": 0.946}


def get_config(argument: str = ""):
    """The rows "Our baseline" and "SPL" of Table 4.

    Args:
        argument: "", or "smoke" for a run of a minute.
    """
    recipes = (teacher.recipe(), finetune.recipe())
    return transfer.experiment("ucf101", "UCF-101", _PAPER, *recipes, argument)
