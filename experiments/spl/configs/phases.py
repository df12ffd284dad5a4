"""Single trainings of an experiment, of its recipes, in the workdir of its pipeline.

They read and start from what is in `runs/<dataset>`, and what they write goes, by the
commands of their docstrings, where the pipeline would have it: rows are named as
`spl_m_1600` and `spl_b_anchor` for `spl_m:1600` and `spl_b,anchor`. From then on go on
by hand: the pipeline takes over only what it ran itself, and would move the rest to
`stale/`.
"""

from __future__ import annotations

import dataclasses
import importlib

from ml_collections import config_dict

from experiments.spl.config import NONE, TARGET_TRAIN, TARGET_VAL, Row, parse_row
from experiments.spl.configs import smoke
from experiments.spl.configs.pipelines import (
    ANCHOR,
    SMOKE,
    parse_argument,
    workdir_of,
)
from experiments.spl.stages import Layout

IMAGENET = "imagenet"  # the papers' name of the row without pre-training
# What a pre-training can learn from; spl_m and spl_d also with a number of labels.
PRETRAININGS = (
    "weak",
    "teacher",
    "agreement",
    "data_parameters",
    "spl",
    "spl_m",
    "spl_d",
    "spl_b",
)


def teacher(
    recipe: config_dict.ConfigDict, dataset: str, argument: str = ""
) -> config_dict.ConfigDict:
    """The training of the teacher, which is the row without pre-training.

    Args:
        recipe: The teacher's recipe; what it reads, and a smoke run's size, are added.
        dataset: A folder of configs, which also names the workdir.
        argument: "" or "imagenet", which say the same; "smoke" for a run of a minute.
    """
    chosen, switches = parse_argument(argument)
    if chosen not in ("", IMAGENET, NONE) or ANCHOR in switches:
        raise ValueError(
            f"the argument is {argument!r}, and the teacher has only smoke"
        )
    return _on_target(recipe, _Place(dataset, switches))


def pretrain(
    recipe: config_dict.ConfigDict, dataset: str, argument: str
) -> config_dict.ConfigDict:
    """A pre-training on the web clips and a row's labels.

    Args:
        recipe: Recipe of all rows; that of this one is changed as its variant says.
        dataset: A folder of configs, which also names the workdir.
        argument: What to learn from, see `PRETRAININGS`; after commas switches, see
            `pipelines`.

    Raises:
        ValueError: There is no such strategy, or it has no pre-training.
    """
    chosen, switches = parse_argument(argument)
    if chosen in ("", IMAGENET, NONE):
        raise ValueError(
            f"the argument is {argument!r}; name the labels to pre-train on, such as "
            f"pretrain.py:spl_b, of {', '.join(PRETRAININGS)}. {IMAGENET!r} has no "
            "pre-training: it is what teacher.py trains"
        )
    place = _Place(dataset, switches)
    row = place.row(chosen)
    settings = place.sized(recipe)
    settings.update(row.changes.get("pretrain", {}))
    settings.data.train = place.of(place.layout.labelled)
    # Rows that differ in something else than labels share them.
    labels = row.labels + (f":{row.num_labels}" if row.num_labels else "")
    labels = place.layout.labels(parse_row(place.config, labels))
    settings.data.label_map = place.of(f"{labels}/label_map")
    return settings


def finetune(
    recipe: config_dict.ConfigDict, dataset: str, argument: str
) -> config_dict.ConfigDict:
    """A fine-tuning on the target clips, from the pre-training of the same argument.

    Args:
        recipe: Recipe of all rows; that of this one is changed as its variant says.
        dataset: A folder of configs, which also names the workdir.
        argument: That of the pre-training, or "imagenet" for the teacher's training;
            after commas switches, see `pipelines`.

    Raises:
        ValueError: There is no such strategy.
    """
    chosen, switches = parse_argument(argument)
    if chosen in (IMAGENET, NONE):
        return _config_of(dataset, "teacher").get_config(argument)
    place = _Place(dataset, switches)
    row = place.row(chosen)
    settings = _on_target(recipe, place)
    settings.update(row.changes.get("finetune", {}))
    settings.init.checkpoint = place.of(place.layout.pretrain(row))
    return settings


class _Place:
    """The experiment of a dataset and its workdir."""

    def __init__(self, dataset: str, switches: frozenset[str]):
        argument = SMOKE if SMOKE in switches else ""
        self.config = _config_of(dataset, "pipeline").get_config(argument)
        self.layout = Layout(self.config, seed=0)
        self._workdir = workdir_of(dataset, switches)
        self._switches = switches

    def of(self, path: str) -> str:
        """A path that the layout gives, from the folder of the command."""
        return f"{self._workdir}/{path}"

    def sized(self, recipe: config_dict.ConfigDict) -> config_dict.ConfigDict:
        """The recipe, or what stands for it in a smoke run."""
        if SMOKE in self._switches:
            smoke.shrink_recipe(recipe)
        return recipe

    def row(self, chosen: str) -> Row:
        """The row that the argument chooses."""
        row = parse_row(self.config, chosen)
        if ANCHOR not in self._switches:
            return row
        if row.changes:
            raise ValueError(
                f"{chosen!r} has a loss of its own; it takes no {ANCHOR!r}"
            )
        changes = {"pretrain": {"loss": {"name": "anchor"}}}
        return dataclasses.replace(row, name=f"{chosen}_{ANCHOR}", changes=changes)


def _config_of(dataset: str, name: str):
    return importlib.import_module(f"experiments.spl.configs.{dataset}.{name}")


def _on_target(recipe: config_dict.ConfigDict, place: _Place) -> config_dict.ConfigDict:
    settings = place.sized(recipe)
    settings.data.train = place.of(place.layout.clips(TARGET_TRAIN))
    settings.data.validation = place.of(place.layout.clips(TARGET_VAL))
    return settings
