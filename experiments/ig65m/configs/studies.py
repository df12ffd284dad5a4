r"""What matters in IG-65M, one thing at a time, on the rendered world.

python -m experiments.run_pipeline \
    --config=experiments/ig65m/configs/studies.py \
    --workdir=runs/ig65m_studies --jobs=2 --threads=1

The first three seeds of `synthetic.py`: `make ig65m-studies`. The argument may be one
of `STUDIES`, for its rows alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import config_dict

from experiments.ig65m.configs import synthetic
from experiments.ig65m.configs.synthetic import (
    AMOUNTS,
    FINETUNING,
    STEPS,
    subset,
)
from experiments.pipeline.rules import set_rows
from experiments.spl.configs import tiny

_ALL = "target_all"
# Networks of Table 2, by their names here: factors on channels and on cells.
_CAPACITIES = {
    "narrow": {"width": 0.5},
    "usual": {},
    "wide": {"width": 2.0},
    "wide_and_deep": {"width": 2.0, "depth": 2.0},
}
_LABELS = {"verb_noun": (6, 12, 24), "target": (3, 6, 12)}
_VIDEOS_OF_LABELS = {"verb_noun": 200, "target": 100}
_LONG_VIDEOS = 150
_SHORT, _LONG = "0.9:1.1", "9.9:10.1"  # seconds


@dataclasses.dataclass(frozen=True)
class Study:
    """What a study varies.

    Attributes:
        says: The same for a reader of the report.
        change: Adds the study's subsets to a config, and gives its rows.
        figure: Of its table, see `default_config`.
        paper: The paper's numbers, see there.
    """

    says: str
    change: Callable[[config_dict.ConfigDict], dict[str, Any]]
    figure: str = ""
    paper: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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
    config.title = "What matters in IG-65M, on a rendered world"
    config.seeds = config.seeds[:3]
    subset(config, _ALL)
    rows: dict[str, Any] = {}
    tables = []
    for name in [argument] if argument else STUDIES:
        study = STUDIES[name]
        found = study.change(config)
        rows |= found
        tables.append(
            {
                "title": name.replace("_", " ").capitalize(),
                "text": study.says,
                "rows": tuple(found),
                "reference": next(iter(found)),
                "paper": study.paper,
                "figure": study.figure,
            }
        )
    set_rows(config, rows)
    config.tables = tuple(tables)
    return config


def _sampling(config) -> dict[str, Any]:
    rows = {}
    for way in ("random", "tail_preserving"):
        for number in AMOUNTS:
            name = f"{way}_{number}"
            subset(config, name, num_videos=number, sampling=way)
            rows[name] = {"subset": name}
    return rows


def _capacity(_) -> dict[str, Any]:
    rows = {}
    for name, model in _CAPACITIES.items():
        rows[f"scratch_{name}"] = {"changes": {"scratch": {"model": model}}}
        changes = {phase: {"model": model} for phase in ("pretrain", "finetune")}
        rows[name] = {"subset": _ALL, "changes": changes}
    return rows


def _number_of_labels(space: str) -> Callable[[config_dict.ConfigDict], dict[str, Any]]:
    def change(config) -> dict[str, Any]:
        rows = {}
        for number in _LABELS[space]:
            name, videos = f"{space}_{number}_labels", _VIDEOS_OF_LABELS[space]
            subset(config, name, space, num_labels=str(number), num_videos=videos)
            rows[name] = {"subset": name}
        return rows

    return change


def _length(config) -> dict[str, Any]:
    long = {"seconds": _LONG, "num_videos": _LONG_VIDEOS}
    subset(config, "long", **long)
    subset(config, "short", seconds=_SHORT, like="long")
    subset(config, "long_center", **long, center_seconds=1.0)
    tenth = long | {"num_videos": _LONG_VIDEOS // 10}
    subset(config, "long_tenth", **tenth, like="long")
    names = ("long", "short", "long_center", "long_tenth")
    return {name: {"subset": name} for name in names}


def _frames(_) -> dict[str, Any]:
    # Frames of 36 pixels and half of the steps: networks with five strides need 32
    # pixels, and take long.
    data = {"crop_size": 32, "short_side": (36, 36), "test_short_side": 36}
    size = {"width": 0.125, "depth": 0.5}
    clips = {
        "model": {"name": "r3d_18", **size},
        "data": data | {"num_frames": 8, "stride": 1},
    }
    frames = {
        "model": {"name": "resnet_18", **size},
        "data": data | {"num_frames": 1, "stride": 1},
    }
    pretrain, scratch = (
        {"schedule": tiny.recipe(0.1, steps).schedule.to_dict()}
        for steps in (STEPS // 2, STEPS // 2 + FINETUNING)
    )
    return {
        "r3d_scratch": {"changes": {"scratch": clips | scratch}},
        "r3d_frames": {
            "subset": _ALL,
            "inflate": True,
            "changes": {"pretrain": frames | pretrain, "finetune": clips},
        },
        "r3d_clips": {
            "subset": _ALL,
            "changes": {"pretrain": clips | pretrain, "finetune": clips},
        },
    }


STUDIES = {
    "sampling": Study(
        "Random subsets, and those that keep the videos of the tail; Figure 1 c.",
        _sampling,
        "videos",
        {
            "source": "section 4.1.1 (Kinetics, linear classifier)",
            "says": ("tail-preserving is better at each amount",),
        },
    ),
    "capacity": Study(
        "Networks of half and twice the channels, and of twice the cells too, each "
        "trained on the target alone and pre-trained; Table 2.",
        _capacity,
        "bars",
        {
            "source": "Table 2 (Kinetics, R(2+1)D-18, -34, -101 and -152)",
            "says": (
                "from scratch 69.3, 69.6, 71.7, 72.0 %",
                "pre-trained on 65M videos 76.0, 78.2, 79.1, 79.9 %",
            ),
        },
    ),
    "number_of_labels": Study(
        f"{_VIDEOS_OF_LABELS['verb_noun']} videos of more and more labels of scene and "
        "motion, the fewer among the more; Figure 4 a.",
        _number_of_labels("verb_noun"),
        "labels",
        {
            "source": "section 4.2.2 (1M videos of 675 to 10,653 labels)",
            "says": (
                "fine-tuned about 1 point until 1,350 labels",
                "linear classifier about 9 points until 2,700",
            ),
        },
    ),
    "number_of_target_labels": Study(
        f"{_VIDEOS_OF_LABELS['target']} videos of some of the target's classes, and of "
        "all; Figure 4 b.",
        _number_of_labels("target"),
        "labels",
        {
            "source": "section 4.2.2 (1M videos of 20 to 360 labels)",
            "says": ("both grow log-linearly",),
        },
    ),
    "length": Study(
        f"{_LONG_VIDEOS} videos of 10 s, of 1 s, the central second of the long ones, "
        f"and {_LONG_VIDEOS // 10} of 10 s, which last as long as the short ones; the "
        "videos per label are the same; Table 3.",
        _length,
        "bars",
        {
            "source": "Table 3 (Kinetics, linear classifier, 5M and 500K videos)",
            "rows": {
                "long": {"linear": 0.606},
                "short": {"linear": 0.574},
                "long_center": {"linear": 0.514},
                "long_tenth": {"linear": 0.506},
            },
        },
    ),
    "frames": Study(
        "R3D-18 of an eighth of the channels and half of the cells, with 8 frames: on "
        "the target alone, inflated from a 2D network that learned single frames of "
        "the videos, and pre-trained on clips; Table 4.",
        _frames,
        "bars",
        {
            "source": "Table 4 (Kinetics, R3D-18, 8 frames, 19M videos)",
            "rows": {
                "r3d_scratch": {"top_1": 0.656},
                "r3d_frames": {"top_1": 0.675},
                "r3d_clips": {"top_1": 0.717},
            },
        },
    ),
}
