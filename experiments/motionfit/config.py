"""The configuration of an experiment: its keys, their defaults and their rules."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from experiments.pipeline import datasets, registry
from experiments.pipeline.rules import check_evaluation, check_keys, check_views
from experiments.pipeline.trainings import check_recipe
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL, WEB
from spl_tf import training
from spl_tf.clips.frame_shape import FLOW
from spl_tf.labels import STRATEGIES
from spl_tf.training.config import default_source
from tfrecords_tools.conversion.flow_job import FlowSettings

NAME = "motionfit"  # what `config.experiment` calls it
LABEL_KINDS = {TARGET_TRAIN: "clean", TARGET_VAL: "clean", WEB: "weak"}
SOURCES = (WEB, TARGET_TRAIN)  # splits whose videos can be taken without labels
PHASES = ("scratch", "selftrain", "pretrain", "finetune")
LABELLED, UNLABELLED = "labelled", "unlabelled"  # sources of trainings


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: one way to train the network that is evaluated.

    Attributes:
        name: Name that `config.rows` has for it.
        fraction: Share of each class of the target set that is labelled.
        teacher: Of `config.teachers`, trained on the labelled part: what gives labels
            to other videos; "" for training on the labelled part from scratch.
        labels: "clusters" of the teacher's features; or a strategy of label maps, of
            the web videos' queries and the teacher's predictions (SPL).
        source: The split whose videos are clustered.
        without_labelled: Whether the labelled part is left out of them.
        num_clusters: How many clusters there are.
        num_clips: Runs of frames of a video whose features are averaged.
        start: The row whose self-trained network a strategy's pre-training starts from;
            "" for random weights.
        changes: Changed keys of the recipes, by phase.
    """

    name: str
    fraction: float = 1.0
    teacher: str = ""
    labels: str = "clusters"
    source: str = WEB
    without_labelled: bool = False
    num_clusters: int = 0
    num_clips: int = 0
    start: str = ""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def self_trains(self) -> bool:
        """Whether it learns clusters."""
        return bool(self.teacher) and self.labels == "clusters"

    @property
    def phases(self) -> tuple[str, ...]:
        """Its trainings, in turn."""
        if not self.teacher:
            return ("scratch",)
        return ("selftrain" if self.self_trains else "pretrain", "finetune")


def default_config() -> config_dict.ConfigDict:
    """All keys of an experiment; configs start from here.

    The data is either `world`, rendered anew for each seed, or `data`, converted once
    for all seeds; `experiments.pipeline.datasets` has their keys.
    """
    config = registry.default_config(NAME)
    # By name: keys of `Row`; those that are missing are as below, or as there.
    config.rows = config_dict.ConfigDict({"scratch": {}})
    config.strategies = ("scratch",)  # the rows to run, in the order of the table
    # Tables that the rows are shown in: dicts of "title", "text", "rows", "reference"
    # (the row that others are compared with) and "paper", by row its "top_1".
    config.tables = ()
    config.num_clusters = 100
    datasets.add_defaults(config, LABEL_KINDS)
    # See `tfrecords_tools.add_flow`.
    config.flow = config_dict.create(method="dis_medium", format="jpeg", quality=95)
    # By name: a recipe; that of one that sees motion has `data.modality` "flow".
    config.teachers = config_dict.ConfigDict()
    for phase in PHASES:
        config[phase] = training.default_config()
    # How a teacher looks at videos that are clustered; see `extract_features`.
    config.features = config_dict.create(batch_size=32, num_clips=4, num_crops=1)
    config.predict = config_dict.create(
        batch_size=32, top_k=5, num_clips=1, num_crops=1, classes="same"
    )
    config.evaluate = config_dict.create(
        protocol="views", num_clips=1, num_crops=1, exclude_classes=(), batch_size=32
    )
    # Whether the target's training clips are searched with those for validation, by the
    # features before fine-tuning.
    config.retrieve = True
    return config


def parse_row(config: config_dict.ConfigDict, name: str) -> Row:
    """The row of a name of `config.rows`.

    Raises:
        ValueError: There is no such row, or it has a key that is not known.
    """
    if name not in config.rows:
        raise ValueError(
            f"config.strategies has {name!r}, which is none of config.rows: "
            f"{sorted(config.rows)}"
        )
    settings = config.rows[name].to_dict()
    known = {field.name for field in dataclasses.fields(Row)} - {"name"}
    check_keys(settings, known, f"config.rows.{name}", all_needed=False)
    usual = {
        "num_clusters": config.num_clusters,
        "num_clips": config.features.num_clips,
    }
    return Row(name, **(usual | settings))


def rows_of(config: config_dict.ConfigDict) -> list[Row]:
    """All rows of the table, in order."""
    return [parse_row(config, name) for name in config.strategies]


def self_trained(config: config_dict.ConfigDict) -> list[Row]:
    """Rows whose self-training runs: those of the table, and those that others need."""
    found = {}
    for row in rows_of(config):
        for name in (row.name, row.start):
            if name and parse_row(config, name).self_trains:
                found[name] = parse_row(config, name)
    return list(found.values())


def used_splits(config: config_dict.ConfigDict) -> tuple[str, ...]:
    """Datasets that the rows read, in the order of `LABEL_KINDS`."""
    used = {TARGET_TRAIN, TARGET_VAL}
    used |= {row.source for row in self_trained(config)}
    if any(row.teacher and not row.self_trains for row in rows_of(config)):
        used.add(WEB)
    return tuple(split for split in LABEL_KINDS if split in used)


def needs_flow(config: config_dict.ConfigDict) -> bool:
    """Whether a teacher of a row sees flow, so that all records get it."""
    rows = (*rows_of(config), *self_trained(config))
    return any(
        config.teachers[row.teacher].data.modality == FLOW
        for row in rows
        if row.teacher
    )


def recipe(
    config: config_dict.ConfigDict, phase: str, row: Row, seed: int
) -> config_dict.ConfigDict:
    """The training of a phase of a row; paths are filled in by its stage."""
    settings = config[phase].copy_and_resolve_references()
    settings.update(row.changes.get(phase, {}))
    settings.seed = seed
    if phase in ("scratch", "finetune"):
        return on_labelled(settings, row.fraction)
    if phase == "selftrain":
        source = default_source()
        source.labels.kind = "assignment"
        settings.data.sources = {UNLABELLED: source}
    return settings


def on_labelled(
    settings: config_dict.ConfigDict, fraction: float
) -> config_dict.ConfigDict:
    """The same training on the labelled part of the target set alone."""
    if fraction < 1:
        settings.data.sources = {LABELLED: default_source()}
    return settings


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks a whole configuration, before any work.

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A file does not exist; the message names the key.
    """
    reference = default_config()
    check_keys(config, reference, "config")
    for key in ("flow", "features", "predict", "evaluate"):
        check_keys(config[key], reference[key], f"config.{key}")
    for name in (*config.rows, *config.teachers):
        if not re.fullmatch(r"\w+", name):
            raise ValueError(
                f"config has a row or teacher {name!r}; expected a name of letters, "
                "digits and _"
            )
    if not config.strategies:
        raise ValueError("config.strategies is empty, expected names of config.rows")
    try:
        FlowSettings(**config.flow)
    except ValueError as error:
        raise ValueError(f"config.flow: {error}") from error
    for row in rows_of(config):
        _check_row(config, row)
    for number, table in enumerate(config.tables):
        path = f"config.tables[{number}]"
        check_keys(table, ("title", "text", "rows", "reference", "paper"), path)
        check_keys(table["rows"], config.rows, f"{path}.rows", all_needed=False)
    for name, teacher in config.teachers.items():
        check_recipe(teacher, f"config.teachers.{name}")
    check_views(config.features, "config.features")
    check_views(config.predict, "config.predict")
    check_evaluation(config.evaluate, "config.evaluate")
    datasets.check_data(config, LABEL_KINDS, used_splits(config))


def _check_row(config, row: Row) -> None:
    path = f"config.rows.{row.name}"
    if not 0 < row.fraction <= 1:
        raise ValueError(f"{path}.fraction is {row.fraction}, expected above 0 to 1")
    if row.teacher not in ("", *config.teachers):
        raise ValueError(
            f"{path}.teacher is {row.teacher!r}, expected one of config.teachers: "
            f"{sorted(config.teachers)}"
        )
    if row.labels not in ("clusters", *STRATEGIES):
        raise ValueError(
            f"{path}.labels is {row.labels!r}, expected 'clusters' or one of "
            f"{STRATEGIES}"
        )
    if row.source not in SOURCES:
        raise ValueError(f"{path}.source is {row.source!r}, expected one of {SOURCES}")
    for key in ("num_clusters", "num_clips"):
        least = 2 if key == "num_clusters" else 1
        if getattr(row, key) < least:
            raise ValueError(
                f"{path}.{key} is {getattr(row, key)}, expected {least} or more"
            )
    if row.without_labelled and (row.source != TARGET_TRAIN or row.fraction == 1):
        raise ValueError(
            f"{path}.without_labelled leaves the labelled part out of "
            f"{TARGET_TRAIN!r}; source is {row.source!r}, fraction {row.fraction:g}"
        )
    if row.start:
        first = parse_row(config, row.start)
        if not first.self_trains or not row.teacher or row.self_trains:
            raise ValueError(
                f"{path}.start is {row.start!r}: labels of a strategy can start from "
                "a row of clusters, nothing else"
            )
    check_keys(row.changes, PHASES, f"{path}.changes", all_needed=False)
    for phase in row.phases:
        try:
            settings = recipe(config, phase, row, seed=0)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}.changes.{phase}: {error}") from error
        check_recipe(settings, f"config.{phase} with {path}")
        has_start = settings.init.checkpoint or settings.init.inflate
        if has_start and (phase == "finetune" or (phase == "pretrain" and row.start)):
            raise ValueError(
                f"config.{phase}.init: checkpoint and inflate must be empty: it starts "
                "from the training before it"
            )
