r"""What matters in OmniSource, one thing at a time, on the rendered world.

python -m experiments.run_pipeline \
    --config=experiments/omnisource/configs/studies.py \
    --workdir=runs/omnisource_studies --jobs=2 --threads=1

All of `TOGETHER`, on the first three seeds of `synthetic.py`: they have world, teachers
and many rows in common. The argument may be one of them, or one of `FIGURE_7`, whose
target sets are others. `make omnisource-studies` runs them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ml_collections import config_dict

from experiments.omnisource.config import SOURCES, TARGET
from experiments.omnisource.configs import synthetic
from experiments.omnisource.configs.files import paper
from experiments.omnisource.configs.synthetic import IMAGES, SHORT
from experiments.pipeline.rules import set_rows

_IMAGES_ONLY = {"sources": (IMAGES,)}
_Found = tuple[dict[str, Any], dict[str, Any]]
_ALL_CLIPS = 33  # of a class, of which figure 7 takes shares


@dataclasses.dataclass(frozen=True)
class Study:
    """What a study varies.

    Attributes:
        says: The same for a reader of the report.
        change: Changes the experiment's config, and gives the rows beside the target's,
            whose names mean the same in all studies, and the paper's numbers.
    """

    says: str
    change: Callable[[config_dict.ConfigDict], _Found]


def get_config(argument: str = ""):
    """Three seeds of the rows of a study, or of all those that have the same world.

    Args:
        argument: One of `TOGETHER` or `FIGURE_7`; empty for all of `TOGETHER`.

    Raises:
        ValueError: There is no such study.
    """
    known = TOGETHER | FIGURE_7
    if argument and argument not in known:
        raise ValueError(
            f"the argument is {argument!r}, expected one of {', '.join(known)}"
        )
    names = [argument] if argument else list(TOGETHER)
    config = synthetic.get_config()
    what = argument.replace("_", " ") or "what matters"
    config.title = f"OmniSource on the rendered world: {what}"
    config.seeds = config.seeds[:3]
    config.paper = config_dict.ConfigDict()
    rows: dict[str, Any] = {TARGET: {}}
    tables = []
    for name in names:
        found, from_paper = known[name].change(config)
        rows |= found
        tables.append(
            {
                "title": name.replace("_", " ").capitalize(),
                "text": known[name].says,
                "rows": (TARGET, *found),
                "paper": from_paper,
            }
        )
    set_rows(config, rows)
    config.tables = tuple(tables)
    return config


def _images(**changes: Any) -> dict[str, Any]:
    """A row with web images, and changes of that source."""
    return {**_IMAGES_ONLY, "changes": {IMAGES: changes}}


def _table_8(_) -> _Found:
    from_paper = paper(
        "Table 8 (Kinetics-400, SlowOnly-4x16, Google images)",
        {
            TARGET: (0.738, 0.909),
            "still": (0.741, 0.912),
            "translate_random": (0.737, 0.909),
            "translate_constant": (0.738, 0.908),
            "by_class": (0.744, 0.913),
            "images": (0.745, 0.914),
        },
    )
    kinds = ("still", "translate_random", "translate_constant")
    rows = {kind: _images(clips={"kind": kind}) for kind in kinds}
    rows["by_class"] = _images(clips={"kind": "perspective", "by_class": True})
    return rows | {"images": _IMAGES_ONLY}, from_paper


def _table_9(_) -> _Found:
    from_paper = paper(
        "Table 9 (Kinetics-400, SlowOnly-4x16; from ImageNet instead of the teacher)",
        {
            TARGET: (0.729, 0.909),
            "target_mixup": (0.733, 0.909),
            "images": (0.741, 0.910),
            "images_mixup": (0.744, 0.914),
            "target_from_teacher": (0.738, 0.909),
            "target_mixup_from_teacher": (0.736, 0.911),
        },
    )
    mixed = {"data": {"mixup": 0.2}}
    across = {"data": {"mixup": 0.2, "mixup_across": True}}
    rows = {
        "target_mixup": {"train": mixed},
        "images": _IMAGES_ONLY,
        "images_mixup": {**_IMAGES_ONLY, "train": across},
        "target_from_teacher": {"start": "video_teacher"},
        "target_mixup_from_teacher": {"start": "video_teacher", "train": mixed},
    }
    return rows, from_paper


def _table_10(_) -> _Found:
    from_paper = paper(
        "Table 10 (Kinetics-400, TSN-3seg, Google images; the limit is 5,000)",
        {
            "images": (0.715, 0.895),
            "limit": (0.719, 0.900),
            "power_05": (0.718, 0.897),
            "power_02": (0.720, 0.900),
        },
    )
    rows = {
        "images": _IMAGES_ONLY,
        "limit": _images(resampling={"limit": 20}),
        "power_05": _images(resampling={"power": 0.5}),
        "power_02": _images(resampling={"power": 0.2}),
    }
    return rows, from_paper


def _figure_4(_) -> _Found:
    # For each class 100 images were found and 60 short videos; a filter of 60 % of the
    # first and all of the second would keep as many of each.
    rows = {}
    for percent in (100, 75, 50, 25, 0):
        shares = {IMAGES: percent / 100, SHORT: 1 - percent / 100}
        kept = {IMAGES: 0.6 * shares[IMAGES], SHORT: shares[SHORT]}
        used = tuple(name for name, share in shares.items() if share)
        rows[f"images_{percent}"] = {
            "sources": used,
            "changes": {
                name: {"share": shares[name], "filter": {"keep_fraction": kept[name]}}
                for name in used
            },
        }
    return rows, {}


def _figure_6(config) -> _Found:
    config.teachers.worse, config.teachers.wider = (
        synthetic.recipe(synthetic.STEPS // 8),
        synthetic.recipe(),
    )
    config.teachers.wider.model.width = 1.5
    config.teachers.ensemble = ("video_teacher", "wider")
    rows = {
        f"teacher_{teacher}": {
            "sources": (SHORT,),
            "changes": {SHORT: {"teacher": teacher}},
        }
        for teacher in ("worse", "wider", "ensemble")
    }
    return {"short": {"sources": (SHORT,)}} | rows, {}


def _figure_8(_) -> _Found:
    # The other studies have 2 to 1.
    shares = {"4_to_1": 4.0, "1_to_1": 1.0, "1_to_2": 0.5}
    rows = {
        f"ratio_{row}": {**_IMAGES_ONLY, "target_share": share}
        for row, share in shares.items()
    }
    return {"images": _IMAGES_ONLY} | rows, {}


def _figure_7(percent: int) -> Study:
    def change(config) -> _Found:
        clips = max(1, round(percent * _ALL_CLIPS / 100))
        config.world.target_clips_per_class = clips
        return {"all": {"sources": SOURCES}}, {}

    says = (
        f"{percent} % of a target set of {_ALL_CLIPS} clips a class, also for the "
        "teachers."
    )
    return Study(says, change)


TOGETHER = {
    "table_8": Study(
        "How images become clips: still, moved by translations, or warped as the "
        "target's cameras move, over all classes or each as its own.",
        _table_8,
    ),
    "table_9": Study(
        "Mixup within the target set, and across target set and images; from random "
        "weights, and from those of the teacher.",
        _table_9,
    ),
    "table_10": Study(
        "How classes of unequal size are drawn: as they are, at most N of each, or in "
        "proportion to a power of their size.",
        _table_10,
    ),
    "figure_4": Study(
        "Two sources at a fixed number of items: images, in parts replaced by short "
        "videos (the paper has images of two origins).",
        _figure_4,
    ),
    "figure_6": Study(
        "Worse and better teachers, and two that vote, for the labels of short videos.",
        _figure_6,
    ),
    "figure_8": Study(
        "How many target clips there are in a batch for each clip of a web image.",
        _figure_8,
    ),
}
FIGURE_7 = {f"figure_7_{percent}": _figure_7(percent) for percent in (3, 10, 30, 100)}
