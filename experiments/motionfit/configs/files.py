"""What the experiments on a user's own videos share: data, recipes, size of a smoke.

A dataset is a folder of `data/`: `classes.txt`; `target_1.csv`, `target_2.csv` and
`target_3.csv`, the official divisions into train and test; and the videos in `target/`.
Videos without labels are those of `data/kinetics400/target.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from experiments.motionfit.config import PHASES, default_config
from experiments.motionfit.configs import recipes, synthetic
from experiments.pipeline.rules import chosen_words, set_rows
from experiments.spl.configs.smoke import shrink_recipe
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL, WEB

SMOKE = "smoke"
KINETICS, SEMI = TABLES = ("kinetics400", "semi_supervised")
FOLDS = ("1", "2", "3")
_MOTION = {"teacher": synthetic.MOTION}


def experiment(
    dataset: str, paper: Mapping[str, Mapping[str, Mapping[str, Any]]], argument: str
) -> config_dict.ConfigDict:
    """An experiment on the videos of `data/<dataset>`.

    Args:
        dataset: Name of a folder of `data/`.
        paper: By table and network, `config.paper` of the table.
        argument: A table (`TABLES`), a network (`recipes.NETWORKS`), a fold (`FOLDS`),
            each the first if it is not named, and perhaps `smoke`, between commas.

    Raises:
        ValueError: The argument names something else.
    """
    choices = (TABLES, tuple(recipes.NETWORKS), FOLDS)
    (table, network, fold), switches = chosen_words(argument, choices, (SMOKE,))
    config = default_config()
    config.title = f"MotionFit on {dataset}, fold {fold}, {network}"
    config.data.classes = f"data/{dataset}/classes.txt"
    for split, name in ((TARGET_TRAIN, "train"), (TARGET_VAL, "test")):
        config.data[split].manifest = f"data/{dataset}/target_{fold}.csv"
        config.data[split].root = f"data/{dataset}/target"
        config.data[split].settings = {"split": name}
    crop = recipes.NETWORKS[network][1]
    config.conversion = {"short_side": crop * 8 // 7}
    config.teachers[synthetic.MOTION] = recipes.motion_teacher(network)
    config.scratch = recipes.recipe(network, epochs=150.0, rate=0.05)
    config.selftrain = recipes.self_training(network)
    config.pretrain = recipes.self_training(network)
    config.finetune = recipes.fine_tuning(network)
    config.features.update(num_clips=4)
    config.evaluate.update(num_clips=10, num_crops=3)
    rows = (
        _semi_supervised() if table == SEMI else {"scratch": {}, "motionfit": _MOTION}
    )
    if table == KINETICS:
        config.data[WEB].manifest = "data/kinetics400/target.csv"
        config.data[WEB].root = "data/kinetics400/target"
        config.data[WEB].settings = {"split": "train"}
        config.num_clusters = 1000
    set_rows(config, rows)
    config.tables = (
        {
            "title": config.title,
            "text": "",
            "rows": tuple(rows),
            "reference": next(iter(rows)),
            "paper": paper.get(table, {}).get(network, {}),
        },
    )
    return _shrunk(config) if switches else config


def _semi_supervised() -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for percent, share in synthetic.SHARES.items():
        row = {"fraction": share, "source": TARGET_TRAIN}
        rows[f"scratch_{percent}"] = {"fraction": share}
        rows[f"motionfit_{percent}"] = row | _MOTION
        trimmed = row | _MOTION | {"without_labelled": True}
        rows[f"without_labelled_{percent}"] = trimmed
    return rows


def _shrunk(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The same on a small rendered world, with tiny networks and two steps each."""
    small = synthetic.base_config()
    small.title = f"{config.title} (smoke run)"
    small.seeds = (0,)
    small.world.update(
        target_clips_per_class=3,
        validation_clips_per_class=1,
        web_videos_per_class=2,
        segments_per_video=2,
        frame_size=36,
    )
    small.conversion.update(num_shards=2, clips_per_video=2)
    small.max_skipped_fraction = 0.5  # of so few videos, some are damaged
    small.num_clusters = 4
    small.rows, small.strategies = config.rows, config.strategies
    small.tables = config.tables
    small.teachers = config.teachers
    for phase in PHASES:
        small[phase] = config[phase]
    for settings in (*small.teachers.values(), *(small[phase] for phase in PHASES)):
        _shrink(settings)
    small.features.batch_size = small.predict.batch_size = 8
    small.evaluate.update(config.evaluate.to_dict() | {"batch_size": 8})
    return small


def _shrink(settings: config_dict.ConfigDict) -> None:
    """Changes the config of a training to a tiny network and two steps."""
    clips = settings.data.clips_per_item
    shrink_recipe(settings)
    settings.data.update(
        batch_size=8 // clips, short_side=(), test_short_side=0, strides=()
    )
    settings.optimizer.reference_batch_size = 8 // clips
