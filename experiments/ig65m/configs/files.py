"""What the experiments on a user's own posts and videos share.

Read are, in `data/`,

- `ig65m/posts.csv` and the posts' videos, in `ig65m/videos` (`make_manifest
  --format=hashtags` says how), and the seed labels `ig65m/nouns.txt` and `verbs.txt`;
- of the target: its classes, its manifest with a training and a validation split, and
  its videos;
- of `kinetics400` and `sports1m`, where rows are pre-trained on them: `classes.txt`,
  `train.csv`, and the videos in `target`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from experiments.ig65m.config import PHASES, default_config
from experiments.ig65m.configs import recipes, synthetic
from experiments.pipeline.rules import chosen_words, set_rows
from experiments.spl.configs.smoke import shrink_recipe
from experiments.synthetic.render import (
    CLASSES_FILE,
    NOUNS_FILE,
    TARGET_TRAIN,
    TARGET_VAL,
    VERBS_FILE,
)

SMOKE, SHORT_EDGE = "smoke", "se"
_NOUNS, _VERBS = "data/ig65m/nouns.txt", "data/ig65m/verbs.txt"
_SPACES = {
    "kinetics": {"classes": "data/kinetics400/classes.txt"},
    "noun": {"classes": _NOUNS},
    "verb": {"classes": _VERBS},
    "verb_noun": {"verbs": _VERBS, "nouns": _NOUNS},
    **{
        f"{name}_videos": {
            "classes": f"data/{name}/classes.txt",
            "manifest": f"data/{name}/train.csv",
            "root": f"data/{name}/target",
        }
        for name in ("kinetics400", "sports1m")
    },
}
# Where a rendered world has what these files hold.
_RENDERED = {
    _NOUNS: NOUNS_FILE,
    _VERBS: VERBS_FILE,
    **{
        f"data/{name}/train.csv": f"{TARGET_TRAIN}.csv"
        for name in ("kinetics400", "sports1m")
    },
}
AMOUNTS = {"500k": 500_000, "1m": 1_000_000, "5m": 5_000_000, "10m": 10_000_000}
AMOUNTS |= {"19m": 19_000_000}
# What can be pre-trained on, as `config.subsets` has it.
_SUBSETS = {
    "kinetics": {"space": "kinetics400_videos"},
    "sports1m": {"space": "sports1m_videos"},
    "ig_65m": {"space": "kinetics"},
    **{
        f"ig_{name}": {"space": "kinetics", "num_videos": count}
        for name, count in AMOUNTS.items()
    },
    **{
        f"{space}_19m": {
            "space": space,
            "num_videos": AMOUNTS["19m"],
            "sampling": "tail_preserving",
        }
        for space in ("kinetics", "noun", "verb", "verb_noun")
    },
}
_SCRATCH = "scratch"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table or figure of the paper.

    Attributes:
        title: What it is about.
        source: Where in the paper it is.
        rows: By name what is pre-trained on, "scratch" for nothing, and the depth.
        paper: By row, the metric's value as `top_1` and that of the linear classifier
            as `linear`, shares of 1.
        frames: Of a clip.
        metric: One of `experiments.ig65m.config.METRICS`.
        figure: One of `experiments.ig65m.config.FIGURES`.
        linear: Whether a linear classifier is trained, too.
        dense: Whether all positions of 128 x 128 pixels are classified (section 4.4).
    """

    title: str
    source: str
    rows: Mapping[str, tuple[str, int]]
    paper: Mapping[str, Mapping[str, float]]
    frames: int = 32
    metric: str = "top_1"
    figure: str = ""
    linear: bool = False
    dense: bool = False


def by_depth(*subsets: str) -> dict[str, tuple[str, int]]:
    """A row for each of some subsets and each depth."""
    return {
        f"{subset}_{depth}": (subset, depth)
        for depth in recipes.DEPTHS
        for subset in subsets
    }


def amounts(base: str) -> dict[str, tuple[str, int]]:
    """The rows of Figure 1: one to compare with, and amounts of posts' videos."""
    names = (base, *(f"ig_{name}" for name in AMOUNTS), "ig_65m")
    return {name: (name, 34) for name in names}


def label_spaces(base: str) -> dict[str, tuple[str, int]]:
    """The rows of Figure 2: one to compare with, and four label spaces."""
    spaces = ("kinetics", "noun", "verb", "verb_noun")
    names = (base, *(f"{name}_19m" for name in spaces))
    return {name: (name, 34) for name in names}


def of_top(rows: Mapping[str, tuple[float, float]]) -> dict[str, dict[str, float]]:
    """`Table.paper` of top-1 and top-5 by row."""
    return {
        row: {"top_1": top_1, "top_5": top_5} for row, (top_1, top_5) in rows.items()
    }


def experiment(
    dataset: str,
    tables: Mapping[str, Table],
    words: list[str],
    switches: set[str],
    validation: str = "validation",
    files: Mapping[str, str] | None = None,
) -> config_dict.ConfigDict:
    """An experiment on the videos of `data/<dataset>`.

    Args:
        dataset: Name of a folder of `data/`.
        tables: The paper's tables of this dataset.
        words: The chosen key of `tables` first, then words for the title alone.
        switches: Of `SMOKE` and `SHORT_EDGE`, those that are on.
        validation: The validation split's name in the manifest.
        files: Names of "classes" and "manifest", where they are not `classes.txt` and
            `target.csv`.
    """
    table = tables[words[0]]
    names = {"classes": "classes.txt", "manifest": "target.csv", **(files or {})}
    config = default_config()
    config.title = f"IG-65M on {dataset}: {', '.join([table.title, *words[1:]])}"
    config.data.classes = f"data/{dataset}/{names['classes']}"
    for split, name in ((TARGET_TRAIN, "train"), (TARGET_VAL, validation)):
        config.data[split].manifest = f"data/{dataset}/{names['manifest']}"
        config.data[split].root = f"data/{dataset}/target"
        config.data[split].settings = {"split": name}
    config.posts.update(files=("data/ig65m/posts.csv",), root="data/ig65m/videos")
    # All frames of one size, or with their aspect kept ("SE" in Tables 5 to 7).
    size = {"short_side": 128} if SHORT_EDGE in switches else {"frame_size": "128x171"}
    config.conversion = size
    config.spaces = config_dict.ConfigDict(_SPACES)
    config.subsets = config_dict.ConfigDict(
        {name: _SUBSETS[name] for name, _ in table.rows.values() if name != _SCRATCH}
    )
    config.metric = table.metric
    config.scratch = recipes.from_scratch(table.frames)
    config.pretrain = recipes.pretraining(table.frames)
    config.finetune = recipes.finetuning(table.frames)
    config.tuning.learning_rates = recipes.RATES
    config.linear.run = table.linear
    if table.dense:
        config.evaluate.update(fully_convolutional=True, crop_size=128)
    set_rows(config, {name: _row(*row) for name, row in table.rows.items()})
    config.tables = (
        {
            "title": config.title,
            "text": "",
            "rows": tuple(table.rows),
            "reference": next(iter(table.rows)),
            "paper": {"source": table.source, "rows": dict(table.paper)},
            "figure": table.figure,
        },
    )
    return _shrunk(config) if SMOKE in switches else config


def parse(
    argument: str, *choices: tuple[str, ...], switches: tuple[str, ...] = (SHORT_EDGE,)
) -> tuple[list[str], set[str]]:
    """What a config's argument says; see `chosen_words`."""
    return chosen_words(argument, choices, (*switches, SMOKE))


def _row(subset: str, depth: int) -> dict[str, Any]:
    phases = ("scratch",) if subset == _SCRATCH else ("pretrain", "finetune")
    model = {"model": {"name": recipes.network(depth)}}
    row = {"changes": dict.fromkeys(phases, model)}
    return row if subset == _SCRATCH else {"subset": subset, **row}


def _shrunk(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The same on a small rendered world, with tiny networks and two steps each."""
    small = synthetic.base_config()
    small.title = f"{config.title} (smoke run)"
    small.seeds = (0,)
    small.world.update(
        posts=150, target_clips_per_class=3, validation_clips_per_class=1, frame_size=36
    )
    small.conversion.num_shards = 2
    small.max_skipped_fraction = 0.5  # of so few videos, some are damaged
    small.posts.min_videos = 1
    for key in ("strategies", "tables", "metric", "linear"):
        small[key] = config[key]
    small.rows = config_dict.ConfigDict(
        {
            # Without the changes, which are of the size of networks.
            name: {key: value for key, value in row.items() if key != "changes"}
            for name, row in config.rows.to_dict().items()
        }
    )
    small.subsets = config_dict.ConfigDict(
        {name: _of_size(subset) for name, subset in config.subsets.to_dict().items()}
    )
    small.spaces = config_dict.ConfigDict(
        {
            name: {
                key: _RENDERED.get(path, CLASSES_FILE)
                for key, path in space.items()
                if key != "root"
            }
            for name, space in config.spaces.to_dict().items()
        }
    )
    for phase in PHASES:
        small[phase] = config[phase]
        shrink_recipe(small[phase])
    small.tuning.update(learning_rates=config.tuning.learning_rates[:2], held_out=0.3)
    size = 36 if config.evaluate.crop_size else 0
    changed = {"batch_size": 8, "num_clips": 2, "crop_size": size}
    small.evaluate.update(config.evaluate.to_dict() | changed)
    return small


def _of_size(subset: Mapping[str, Any]) -> dict[str, Any]:
    return {**subset, "num_videos": 40} if "num_videos" in subset else dict(subset)
