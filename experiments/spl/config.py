"""The configuration of an experiment: its keys, their defaults and their rules."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from experiments.pipeline import datasets, registry
from experiments.pipeline.rules import check_evaluation, check_keys, check_views
from experiments.pipeline.trainings import check_recipe
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL, WEB
from spl_tf import training
from spl_tf.inference.prediction import CLASSES
from spl_tf.labels import STRATEGIES
from spl_tf.labels.mapping import SIZED_STRATEGIES
from spl_tf.runs.checkpoints import WEIGHTS

NAME = "spl"  # what `config.experiment` calls it
NONE = "none"  # the row without pre-training
LABEL_KINDS = {TARGET_TRAIN: "clean", TARGET_VAL: "clean", WEB: "weak"}
SPLITS = tuple(LABEL_KINDS)
PHASES = ("scratch", "pretrain", "finetune")


def default_config() -> config_dict.ConfigDict:
    """All keys of an experiment; configs start from here.

    The data is either `world`, rendered anew for each seed, or `data`, converted once
    for all seeds; `experiments.pipeline.datasets` has their keys.
    """
    config = registry.default_config(NAME)
    # {"source": "Table 1, ...", "rows": {"spl_b": {"top_1": 0.7, "top_5": 0.9}}}
    config.paper = config_dict.ConfigDict()
    # "none", a strategy of `spl_tf.labels` ("spl_m:36" has 36 labels), or a variant.
    config.strategies = (NONE, "weak", "agreement", "spl_b")
    config.curve = ()  # further rows, for the plot over the number of labels
    # Rows with a name of their own: {"labels": a strategy, and per phase the changed
    # keys of its recipe, e.g. "pretrain": {"loss": {"name": "data_parameters"}}}.
    config.variants = config_dict.ConfigDict()
    datasets.add_defaults(config, SPLITS)
    # A recipe, or the workdir of a finished run, such as `import_weights` writes; None
    # takes the row "none" for the teacher.
    config.teacher = None
    config.scratch = training.default_config()
    config.pretrain = training.default_config()
    # Pre-training starts from the teacher's weights, not as `pretrain.init` says.
    config.pretrain_from_teacher = False
    config.finetune = training.default_config()
    config.predict = config_dict.create(
        batch_size=32, top_k=5, num_clips=1, num_crops=1, classes="same"
    )
    config.evaluate = config_dict.create(
        protocol="views", num_clips=1, num_crops=1, exclude_classes=(), batch_size=32
    )
    config.probe = False  # a linear classifier on the pre-trained features, too
    return config


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: one way to pre-train.

    Attributes:
        name: Name that the config has for it.
        labels: Strategy of the label map; `NONE` without pre-training.
        num_labels: Size of the label space of `spl_m` and `spl_d`; None for their
            default.
        changes: Changed keys of the recipes by phase.
    """

    name: str
    labels: str
    num_labels: int | None = None
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def folder(self) -> str:
        """What the row is called in paths."""
        return self.name.replace(":", "_")


def parse_row(config: config_dict.ConfigDict, name: str) -> Row:
    """The row of a name in `config.strategies` or `config.curve`.

    Raises:
        ValueError: There is no such strategy or variant.
    """
    if name in config.variants:
        variant = config.variants[name].to_dict()
        labels, num_labels = _parse_labels(config, variant.pop("labels", ""))
        return Row(name, labels, num_labels, variant)
    return Row(name, *_parse_labels(config, name))


def _parse_labels(config, text: str) -> tuple[str, int | None]:
    strategy, colon, number = text.partition(":")
    if strategy not in (NONE, *STRATEGIES):
        raise ValueError(
            f"{text!r} is no strategy; known are {[NONE, *STRATEGIES]}, "
            f"{' and '.join(SIZED_STRATEGIES)} with a number of labels such as "
            f"'spl_m:36', and config.variants, which are {sorted(config.variants)}"
        )
    if not colon:
        return strategy, None
    if strategy not in SIZED_STRATEGIES or not number.isdecimal() or not int(number):
        raise ValueError(
            f"{text!r}: only {' and '.join(SIZED_STRATEGIES)} take a number of labels, "
            "1 or more"
        )
    return strategy, int(number)


def uses_web(config: config_dict.ConfigDict) -> bool:
    """Whether a row is pre-trained on the web clips, so that they need labels."""
    names = (*config.strategies, *config.curve)
    return any(parse_row(config, name).labels != NONE for name in names)


def recipe(config: config_dict.ConfigDict, phase: str, row: Row, seed: int):
    """The training config of a phase for a row; paths are filled in by the stage."""
    settings = config[phase].copy_and_resolve_references()
    settings.update(row.changes.get(phase, {}))
    settings.seed = seed
    return settings


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks a whole configuration, before any work.

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A file does not exist; the message names the key.
    """
    reference = default_config()
    # Configs from before there were several experiments do not name theirs.
    check_keys({"experiment", *config}, reference, "config")
    for key in ("predict", "evaluate"):
        check_keys(config[key], reference[key], f"config.{key}")
    for name in config.variants:
        if name in (NONE, *STRATEGIES) or not re.fullmatch(r"[\w-]+", name):
            raise ValueError(
                f"config.variants.{name}: expected a name of letters, digits, - and _ "
                "that is no strategy's"
            )
    for name in (*config.strategies, *config.curve):
        row = parse_row(config, name)
        path = f"config.variants.{name}"
        check_keys(row.changes, PHASES, path, all_needed=False)
        _check_recipes(config, row)
    if isinstance(config.teacher, str):
        if not os.path.exists(os.path.join(config.teacher, WEIGHTS)):
            raise FileNotFoundError(
                f"config.teacher: {config.teacher} has no {WEIGHTS}; expected the "
                "workdir of a finished run"
            )
    elif config.teacher is not None:
        check_recipe(config.teacher, "config.teacher")
    check_views(config.predict, "config.predict")
    if config.predict.classes not in CLASSES:
        raise ValueError(
            f"config.predict.classes is {config.predict.classes!r}, expected one of "
            f"{CLASSES}"
        )
    check_evaluation(config.evaluate, "config.evaluate")
    used = SPLITS if uses_web(config) else (TARGET_TRAIN, TARGET_VAL)
    datasets.check_data(config, LABEL_KINDS, used)


def _check_recipes(config, row: Row) -> None:
    for phase in ("scratch",) if row.labels == NONE else ("pretrain", "finetune"):
        path = f"config.{phase}"
        if phase in row.changes:
            path += f" with config.variants.{row.name}"
        try:
            settings = recipe(config, phase, row, seed=0)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: {error}") from error
        check_recipe(settings, path)
        has_start = settings.init.checkpoint or settings.init.inflate
        if phase == "finetune" and has_start:
            raise ValueError(
                f"{path}.init: checkpoint and inflate must be empty: fine-tuning "
                "starts from the row's pre-training"
            )
        if phase == "pretrain" and has_start and config.pretrain_from_teacher:
            raise ValueError(
                f"{path}.init: checkpoint and inflate must be empty, as "
                "config.pretrain_from_teacher is set"
            )
