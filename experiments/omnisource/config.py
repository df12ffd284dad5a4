"""The configuration of an experiment: its keys, their defaults and their rules."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ml_collections import config_dict

from experiments.pipeline import datasets, registry
from experiments.pipeline.rules import check_evaluation, check_keys, check_views
from experiments.pipeline.trainings import check_recipe
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL
from spl_tf import training
from spl_tf.inference.prediction import CLASSES
from spl_tf.models import IMAGENET
from spl_tf.runs.checkpoints import WEIGHTS
from spl_tf.training.config import STEP_PER_SOURCE, default_source

NAME = "omnisource"  # what `config.experiment` calls it
TARGET = "target"  # the source that is the target set
EVERY = "every"  # of a row's changes: of each of its sources
SOURCES = ("web_images", "web_short", "web_untrimmed")
_ROW_KEYS = ("sources", "changes", "target_share", "train", "start")


def default_config(*sources: str) -> config_dict.ConfigDict:
    """All keys of an experiment; configs start from here.

    The data is either `world`, rendered anew for each seed, or `data`, converted once
    for all seeds; `experiments.pipeline.datasets` has their keys.

    Args:
        *sources: Names of the kinds of web data; none for `SOURCES`.
    """
    sources = sources or SOURCES
    config = registry.default_config(NAME)
    # {"source": "Table 2, ...", "rows": {"all": {"top_1": 0.7, "top_5": 0.9}}}
    config.paper = config_dict.ConfigDict()
    # By name: "sources", those beside the target set; "changes" of `config.sources`,
    # by source or for "every" one; "train", changed keys of the recipe;
    # "target_share"; and "start", the teacher whose weights training starts from.
    config.rows = config_dict.ConfigDict({TARGET: {}})
    config.strategies = (TARGET,)  # the rows to run, in the order of the table
    # Tables that the rows are shown in, dicts of "title", "text", "rows" and "paper",
    # which is as `config.paper`; none for one of all rows.
    config.tables = ()
    datasets.add_defaults(config, (TARGET_TRAIN, TARGET_VAL, *sources))
    # By name: a recipe, trained on the target set; the workdir of a finished run; or
    # names of other teachers, which vote.
    config.teachers = config_dict.ConfigDict()
    config.sources = config_dict.ConfigDict(
        {name: default_web_source().to_dict() for name in sources}
    )
    # Of a batch, as the `share` of each of `sources`: 2 to 1, 1 and 1 in the paper.
    config.target_share = 2.0
    # Its `batch_size` is of target clips; the sources' come on top by their shares.
    config.train = training.default_config()
    # The search for near-copies of validation clips, which are then left out.
    config.duplicates = config_dict.create(
        checkpoint="",  # "imagenet", a teacher's name, or empty for no search
        threshold=0.0,  # 0 for the similarity of crops of one frame
        num_frames=4,  # of each clip
    )
    # What is looked at of the target clips, for images that move as they do.
    config.camera_motion = config_dict.create(num_frames=16, max_clips=1000)
    # How teachers look at clips; see `spl_tf.inference.prediction`.
    config.predict = config_dict.create(
        batch_size=32,
        top_k=5,
        num_clips=1,
        num_crops=1,
        classes="same",
        allow_3d_teacher_on_images=False,
    )
    config.evaluate = config_dict.create(
        protocol="views",
        num_clips=1,
        num_crops=1,
        crop_size=None,  # in pixels; None for that of the training, as the next
        num_frames=None,
        exclude_classes=(),
        batch_size=32,
    )
    return config


def default_web_source() -> config_dict.ConfigDict:
    """All keys of one of `config.sources`: those of a training's source, and a teacher.

    The authors' rule stands here: clips whose teacher agrees with the query.
    """
    source = default_source()
    source.teacher = ""  # of `config.teachers`
    source.labels.kind = "teacher"
    source.filter.agreement = True
    return source


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: one training.

    Attributes:
        name: Name that `config.rows` has for it.
        sources: Settings of each source beside the target set, by name; the keys of
            `default_web_source`.
        target_share: Share of the target set in a batch, beside those of the sources.
        changes: Keys of the recipe that the row changes, with their values.
        start: The teacher whose weights training starts from; "" for the recipe's.
    """

    name: str
    sources: Mapping[str, config_dict.ConfigDict]
    target_share: float
    changes: Mapping[str, Any]
    start: str


def parse_row(config: config_dict.ConfigDict, name: str) -> Row:
    """The row of a name in `config.strategies`.

    Raises:
        ValueError: There is no such row, or it names a source or key that is not there.
    """
    if name not in config.rows:
        raise ValueError(
            f"config.strategies has {name!r}, which is none of config.rows: "
            f"{sorted(config.rows)}"
        )
    path, settings = f"config.rows.{name}", config.rows[name].to_dict()
    check_keys(settings, _ROW_KEYS, path, all_needed=False)
    used = tuple(settings.get("sources", ()))
    check_keys(used, config.sources, f"{path}.sources", all_needed=False)
    changes = settings.get("changes", {})
    check_keys(changes, (*used, EVERY), f"{path}.changes", all_needed=False)
    sources = {}
    for source in used:
        sources[source] = config.sources[source].copy_and_resolve_references()
        for part in (EVERY, source):
            try:
                sources[source].update(changes.get(part, {}))
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}.changes.{part}: {error}") from error
    return Row(
        name,
        sources,
        settings.get("target_share", config.target_share),
        settings.get("train", {}),
        settings.get("start", ""),
    )


def rows_of(config: config_dict.ConfigDict) -> list[Row]:
    """All rows of the table, in order."""
    return [parse_row(config, name) for name in config.strategies]


def label_kinds(config: config_dict.ConfigDict) -> dict[str, str]:
    """Whether labels are "weak" or "clean", by split."""
    weak = dict.fromkeys(config.sources, "weak")
    return {TARGET_TRAIN: "clean", TARGET_VAL: "clean", **weak}


def used_sources(config: config_dict.ConfigDict) -> list[str]:
    """Names of the sources that a row trains on, in the config's order."""
    used = {name for row in rows_of(config) for name in row.sources}
    return [name for name in config.sources if name in used]


def recipe(
    config: config_dict.ConfigDict, row: Row, seed: int
) -> config_dict.ConfigDict:
    """The training of a row; paths of data are filled in by its stage.

    The batch has as many target clips as that of the row without sources, and
    `optimizer.learning_rate` grows with the clips on top: the loss is the sum over
    target and auxiliary clips (eq. 1). With `data.forward` "step_per_source", as
    released, it does not: each source's step has the target's rate.

    Raises:
        ValueError: The shares do not give whole clips; the message names the key.
    """
    settings = config.train.copy_and_resolve_references()
    settings.update(row.changes)
    settings.seed = seed
    if not row.sources:
        return settings
    if not row.target_share > 0:
        raise ValueError(
            f"config.target_share of row {row.name!r} is {row.target_share}, expected "
            "more than 0"
        )
    shares = {name: source.share for name, source in row.sources.items()}
    whole = sum(map(Fraction, shares.values())) / Fraction(row.target_share) + 1
    for key in ("batch_size", "global_batch_size"):
        clips = settings.data[key] * whole.limit_denominator(10**6)
        if clips.denominator != 1:
            raise ValueError(
                f"row {row.name!r}: {settings.data[key]} target clips of "
                f"config.train.data.{key} at shares {row.target_share:g} to {shares} "
                f"are a batch of {float(clips):g}, expected a whole number"
            )
        settings.data[key] = int(clips)
    if settings.data.forward == STEP_PER_SOURCE:
        settings.optimizer.learning_rate /= float(whole)
    target = default_source()
    target.share = row.target_share
    sources = {TARGET: target}
    for name, source in row.sources.items():
        settled = source.to_dict()
        settled.pop("teacher")
        sources[name] = config_dict.ConfigDict(settled)
    settings.data.sources = sources
    settings.data.epoch_of = TARGET
    return settings


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks a whole configuration, before any work.

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A file does not exist; the message names the key.
    """
    if not config.get("sources"):
        raise ValueError("config.sources is empty, expected kinds of web data")
    reference = default_config(*config.sources)
    check_keys(config, reference, "config")
    for key in ("predict", "evaluate", "duplicates", "camera_motion"):
        check_keys(config[key], reference[key], f"config.{key}")
    for name in (*config.rows, *config.sources, *config.teachers):
        if not re.fullmatch(r"\w+", name) or name == EVERY:
            raise ValueError(
                f"config has a row, source or teacher {name!r}; expected a name of "
                f"letters, digits and _ that is not {EVERY!r}"
            )
    if not config.strategies:
        raise ValueError("config.strategies is empty, expected names of config.rows")
    for name in config.teachers:
        _check_teacher(config, name)
    for name in used_sources(config):
        path = f"config.sources.{name}.teacher"
        _check_name_of_teacher(config, config.sources[name].teacher, path)
    for row in rows_of(config):
        _check_row(config, row)
    for number, table in enumerate(config.tables):
        path = f"config.tables[{number}]"
        check_keys(table, ("title", "text", "rows", "paper"), path)
        check_keys(table["rows"], config.rows, f"{path}.rows", all_needed=False)
    _check_duplicates(config)
    check_views(config.predict, "config.predict")
    if config.predict.classes not in CLASSES:
        raise ValueError(
            f"config.predict.classes is {config.predict.classes!r}, expected one of "
            f"{CLASSES}"
        )
    check_evaluation(config.evaluate, "config.evaluate")
    used = (TARGET_TRAIN, TARGET_VAL, *used_sources(config))
    datasets.check_data(config, label_kinds(config), used)


def is_ensemble(teacher: Any) -> bool:
    """Whether one of `config.teachers` is several of them."""
    return isinstance(teacher, (tuple, list))


def _check_teacher(config, name: str) -> None:
    teacher, path = config.teachers[name], f"config.teachers.{name}"
    if is_ensemble(teacher):
        for other in teacher:
            _check_name_of_teacher(config, other, path)
            if is_ensemble(config.teachers[other]):
                raise ValueError(
                    f"{path}: {other!r} is several teachers; name each that votes"
                )
    elif not isinstance(teacher, str):
        check_recipe(teacher, path)
    elif not os.path.exists(os.path.join(teacher, WEIGHTS)):
        raise FileNotFoundError(
            f"{path}: {teacher} has no {WEIGHTS}; expected the workdir of a finished "
            "run"
        )


def _check_row(config, row: Row) -> None:
    path = f"config.rows.{row.name}"
    for name, source in row.sources.items():
        _check_name_of_teacher(config, source.teacher, f"{path}: sources.{name}")
        if source.filter.exclude_ids or source.clips.motion:
            raise ValueError(
                f"{path}: sources.{name} names a file of excluded ids or of motion; "
                "the stages before make both, see config.duplicates and clips.kind"
            )
    if row.start:
        _check_name_of_one(config, row.start, f"{path}.start")
    try:
        settings = recipe(config, row, seed=0)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}.train: {error}") from error
    check_recipe(settings, f"config.train with {path}")
    if row.start and (settings.init.checkpoint or settings.init.inflate):
        raise ValueError(
            f"{path}.start is {row.start!r}, and config.train.init names other weights"
        )


def _check_name_of_teacher(config, name: str, path: str) -> None:
    if name not in config.teachers:
        raise ValueError(
            f"{path}: {name!r} is none of config.teachers, which are "
            f"{sorted(config.teachers)}"
        )


def _check_name_of_one(config, name: str, path: str) -> None:
    _check_name_of_teacher(config, name, path)
    if is_ensemble(config.teachers[name]):
        raise ValueError(f"{path}: {name!r} is several teachers, expected one")


def _check_duplicates(config) -> None:
    settings = config.duplicates
    if settings.checkpoint not in ("", IMAGENET):
        path = "config.duplicates.checkpoint"
        _check_name_of_one(config, settings.checkpoint, path)
    if not 0 <= settings.threshold <= 1 or settings.num_frames < 1:
        raise ValueError(
            f"config.duplicates has threshold {settings.threshold} and num_frames "
            f"{settings.num_frames}, expected 0 to 1, and 1 or more"
        )
    if config.camera_motion.num_frames < 2 or config.camera_motion.max_clips < 0:
        raise ValueError(
            f"config.camera_motion is {config.camera_motion.to_dict()}, expected 2 "
            "frames or more, and 0 clips (all) or more"
        )
