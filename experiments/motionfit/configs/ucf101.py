"""UCF101 by MotionFit: Tables 1 to 3 of the supplement.

python -m experiments.run_pipeline \
    --config=experiments/motionfit/configs/ucf101.py:kinetics400,r2plus1d_18,1 \
    --workdir=runs/motionfit_ucf101_1

The argument's words are a table, a network and a fold: `kinetics400` (the videos to
cluster are those of Kinetics-400, the labelled set is UCF101's training set) or
`semi_supervised` (20 and 50 % of the training set are labelled, and all of it, or the
rest, is clustered); `r2plus1d_18` (32 frames of 112 x 112) or `s3d_g` (64 of 224 x
224); `1`, `2` or `3`; and `smoke`, which needs no data.

Reads, in `data/ucf101`, `classes.txt`, `target_1.csv` (as `make_manifest
--format=ucf101 --fold=1` writes it), and the videos in `target/`; for `kinetics400`
also `data/kinetics400`.

Top-1 and recall in percent, none of it reproduced here:

| network | fine-tuned, 3 folds (Table 2) | R@1, 5, 20 of fold 1 (Table 3) |
| --- | --- | --- |
| R(2+1)D-18 | 88.9 | 61.6, 75.6, 85.5 |
| S3D-G | 90.1 | 31.6, 51.7, 70.3 |

| clustered (Table 1, fold 1) | 20 % labelled | 50 % labelled |
| --- | --- | --- |
| training set | 57.7 | 59.0 |
| training set without the labelled part | 57.6 | 56.6 |
"""

from __future__ import annotations

from experiments.motionfit.configs import files

_TABLE_2 = "Table 2 of the supplement (mean of 3 folds)"
_TABLE_1 = {
    "source": "Table 1 of the supplement (fold 1)",
    "rows": {
        "motionfit_20": {"top_1": 0.577},
        "motionfit_50": {"top_1": 0.590},
        "without_labelled_20": {"top_1": 0.576},
        "without_labelled_50": {"top_1": 0.566},
    },
}
_PAPER = {
    files.KINETICS: {
        "r2plus1d_18": {"source": _TABLE_2, "rows": {"motionfit": {"top_1": 0.889}}},
        "s3d_g": {"source": _TABLE_2, "rows": {"motionfit": {"top_1": 0.901}}},
    },
    files.SEMI: {"r2plus1d_18": _TABLE_1},
}


def get_config(argument: str = ""):
    """The rows of a table.

    Args:
        argument: See above.
    """
    return files.experiment("ucf101", _PAPER, argument)
