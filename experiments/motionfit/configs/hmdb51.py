"""HMDB51 by MotionFit: Tables 2 and 3 of the supplement.

python -m experiments.run_pipeline \
    --config=experiments/motionfit/configs/hmdb51.py:kinetics400,r2plus1d_18,1 \
    --workdir=runs/motionfit_hmdb51_1

The argument and what is read are as those of `ucf101.py`, in `data/hmdb51`. Top-1 and
recall in percent, none of it reproduced here:

| network | fine-tuned, 3 folds (Table 2) | R@1, 5, 20 of fold 1 (Table 3) |
| --- | --- | --- |
| R(2+1)D-18 | 61.4 | 29.4, 46.5, 66.7 |
| S3D-G | 50.6 | |
"""

from __future__ import annotations

from experiments.motionfit.configs import files

_TABLE_2 = "Table 2 of the supplement (mean of 3 folds)"
_PAPER = {
    files.KINETICS: {
        "r2plus1d_18": {"source": _TABLE_2, "rows": {"motionfit": {"top_1": 0.614}}},
        "s3d_g": {"source": _TABLE_2, "rows": {"motionfit": {"top_1": 0.506}}},
    }
}


def get_config(argument: str = ""):
    """The rows of a table.

    Args:
        argument: See `ucf101.py`.
    """
    return files.experiment("hmdb51", _PAPER, argument)
