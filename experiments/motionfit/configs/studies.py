r"""What matters in MotionFit, one thing at a time, on the rendered world.

python -m experiments.run_pipeline \
    --config=experiments/motionfit/configs/studies.py \
    --workdir=runs/motionfit_studies --jobs=2 --threads=1

The first three seeds of `synthetic.py`: `make motionfit-studies`. The argument may be
one of `STUDIES`, for its rows alone.
"""

from __future__ import annotations

from typing import Any

from experiments.motionfit.configs import synthetic
from experiments.motionfit.configs.synthetic import MOTION, SHARES
from experiments.pipeline.rules import set_rows
from experiments.synthetic.render import TARGET_TRAIN

_ONE_CLIP, _NO_WEIGHT = "motion_one_clip", "motion_mean_only"
_20 = {"fraction": SHARES[20], "teacher": MOTION}


def get_config(argument: str = ""):
    """Three seeds of the rows of a study, or of all.

    Args:
        argument: One of `STUDIES`; empty for all of them.

    Raises:
        ValueError: There is no such study.
    """
    if argument and argument not in STUDIES:
        raise ValueError(
            f"the argument is {argument!r}, expected one of {', '.join(STUDIES)}"
        )
    config = synthetic.base_config()
    config.title = "What matters in MotionFit, on a rendered world"
    config.seeds = config.seeds[:3]
    config.teachers[_ONE_CLIP] = synthetic.motion_teacher(clips=1, clip_weight=0.0)
    config.teachers[_NO_WEIGHT] = synthetic.motion_teacher(clip_weight=0.0)
    rows: dict[str, Any] = {}
    tables = []
    for name in [argument] if argument else STUDIES:
        says, found, paper = STUDIES[name]
        rows |= found
        tables.append(
            {
                "title": name.replace("_", " ").capitalize(),
                "text": says,
                "rows": tuple(found),
                "reference": next(iter(found)),
                "paper": paper,
            }
        )
    set_rows(config, rows)
    config.tables = tuple(tables)
    return config


def _sources() -> dict[str, Any]:
    rows = {}
    for percent, share in SHARES.items():
        row = {"fraction": share, "teacher": MOTION}
        target = row | {"source": TARGET_TRAIN}
        rows[f"motionfit_{percent}"] = row
        rows[f"training_set_{percent}"] = target
        rows[f"without_labelled_{percent}"] = target | {"without_labelled": True}
    return rows


STUDIES = {
    "source": (
        "Whose clips are clustered: web videos, the training set, or the training set "
        "without its labelled part.",
        _sources(),
        {
            "source": "Table 1 of the supplement (UCF101, split 1, R(2+1)D-18)",
            "rows": {
                "training_set_20": {"top_1": 0.577},
                "training_set_50": {"top_1": 0.590},
                "without_labelled_20": {"top_1": 0.576},
                "without_labelled_50": {"top_1": 0.566},
            },
        },
    ),
    "clusters": (
        "How many clusters there are, of 12 classes; the other studies have 24.",
        {
            "motionfit_20": _20,
            **{f"clusters_{n}": _20 | {"num_clusters": n} for n in (6, 12, 48, 96)},
        },
        {},
    ),
    "clips": (
        "How many clips of a video the motion network learns from in a step, and how "
        "many its features are the mean of: two, with a loss of the mean logits and "
        "half of each clip's own; with the former alone; one.",
        {
            "motionfit_20": _20,
            "mean_loss_only": _20 | {"teacher": _NO_WEIGHT},
            "one_clip": _20 | {"teacher": _ONE_CLIP, "num_clips": 1},
        },
        {},
    ),
}
