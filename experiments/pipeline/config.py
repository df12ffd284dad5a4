"""The configuration of an experiment: its keys, their defaults and their rules."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import config_dict

from experiments.synthetic import render
from spl_tf import training
from spl_tf.labels import STRATEGIES
from spl_tf.labels.mapping import SIZED_STRATEGIES
from tfrecords_tools.conversion.conversion import FileSettings
from tfrecords_tools.convert_tfds import TfdsSettings
from tfrecords_tools.convert_videos import ConversionSettings

NONE = "none"  # the row without pre-training
TARGET_TRAIN, TARGET_VAL, WEB = SPLITS = ("target_train", "target_val", "web")
PHASES = ("scratch", "pretrain", "finetune")

# What a conversion of each kind can choose; "clips" are records already.
SETTINGS = {
    "videos": ConversionSettings,
    "images": FileSettings,
    "tfds": TfdsSettings,
    "clips": None,
}
# Of which of a split's keys each kind needs one.
_SOURCES = {
    "videos": ("manifest",),
    "images": ("manifest", "root"),
    "tfds": ("name",),
    "clips": ("folder",),
}


def default_config() -> config_dict.ConfigDict:
    """All keys of an experiment; configs start from here.

    The data is either `world`, rendered anew for each seed, or `data`, converted once
    for all seeds.
    """
    config = config_dict.ConfigDict()
    config.title = ""
    config.description = ""
    # {"source": "Table 1, ...", "rows": {"spl_b": {"top_1": 0.7, "top_5": 0.9}}}
    config.paper = config_dict.ConfigDict()
    config.seeds = (0,)
    # "none", a strategy of `spl_tf.labels` ("spl_m:36" has 36 labels), or a variant.
    config.strategies = (NONE, "weak", "agreement", "spl_b")
    config.curve = ()  # further ones, for the plot over the number of labels
    # Rows with a name of their own: {"labels": a strategy, and per phase the changed
    # keys of its recipe, e.g. "pretrain": {"loss": {"name": "data_parameters"}}}.
    config.variants = config_dict.ConfigDict()
    config.world = None  # see `experiments.synthetic.render`
    config.data = config_dict.create(
        classes="",  # file of class names, for all but kinds "tfds" and "clips"
        **{split: _default_split() for split in SPLITS},
    )
    config.conversion = config_dict.ConfigDict()  # settings of all splits
    config.max_skipped_fraction = 0.1
    # Of a conversion; 0 for the cores that are free. Each takes seconds to start, so
    # that small videos are sooner converted by one.
    config.conversion_processes = 0
    config.teacher = None  # a recipe; None takes the row "none" for the teacher
    config.scratch = training.default_config()
    config.pretrain = training.default_config()
    # Pre-training starts from the teacher's weights, not as `pretrain.init` says.
    config.pretrain_from_teacher = False
    config.finetune = training.default_config()
    config.predict = config_dict.create(
        batch_size=32, top_k=5, num_clips=1, num_crops=1
    )
    config.evaluate = config_dict.create(
        protocol="views", num_clips=1, num_crops=1, exclude_classes=(), batch_size=32
    )
    config.probe = False  # a linear classifier on the pre-trained features, too
    config.report = True
    return config


def _default_split() -> config_dict.ConfigDict:
    return config_dict.create(
        kind="videos",
        manifest="",  # of "videos" and "images"
        root="",  # folder that its paths start from; of "images" a folder per class
        name="",  # of "tfds", as the next two
        split="",
        data_dir="",
        folder="",  # of "clips": a dataset that is used where it is
        settings=config_dict.ConfigDict(),  # beside or instead of `conversion`
    )


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: one way to pre-train.

    Attributes:
        name: As the config has it.
        labels: Strategy of the label map; `NONE` without pre-training.
        num_labels: Of `spl_m` and `spl_d`; None for their default.
        changes: Changed keys of the recipes by phase.
    """

    name: str
    labels: str
    num_labels: int | None = None
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Its name in paths."""
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


def conversion_settings(config: config_dict.ConfigDict, split: str) -> dict[str, Any]:
    """What a split's conversion is told, as fields of the dataclass of its kind."""
    kind = config.data[split].kind
    known = {field.name for field in dataclasses.fields(SETTINGS[kind])}
    # Of the settings for all splits, those that the kind knows.
    shared = {k: v for k, v in config.conversion.items() if k in known}
    label_kind = "weak" if split == WEB else "clean"
    own = config.data[split].settings.to_dict()
    return {"label_kind": label_kind, **shared, **own}


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks a whole configuration, before any work.

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A file does not exist; the message names the key.
    """
    reference = default_config()
    _check_keys(config, reference, "config")
    for key in ("predict", "evaluate"):
        _check_keys(config[key], reference[key], f"config.{key}")
    check_seeds(config.seeds, "config.seeds")
    for name in config.variants:
        if name in (NONE, *STRATEGIES) or not re.fullmatch(r"[\w-]+", name):
            raise ValueError(
                f"config.variants.{name}: expected a name of letters, digits, - and _ "
                "that is no strategy's"
            )
    for name in (*config.strategies, *config.curve):
        row = parse_row(config, name)
        _check_keys(
            row.changes,
            dict.fromkeys(PHASES),
            f"config.variants.{name}",
            all_needed=False,
        )
        _check_recipes(config, row)
    if config.teacher is not None:
        _check_recipe(config.teacher, "config.teacher")
    _check_evaluation(config)
    _check_keys(config.data, reference.data, "config.data")
    for split in SPLITS:
        _check_keys(config.data[split], _default_split(), f"config.data.{split}")
    if config.world is None:
        _check_data(config)
    else:
        _check_world(config)


def check_seeds(seeds: Iterable[int], name: str) -> None:
    """Raises ValueError unless these are different seeds of training, at least one."""
    seeds = tuple(seeds)
    valid = all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in seeds)
    if not seeds or not valid or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"{name} is {seeds}, expected different integers from 0 to {2**32 - 1}"
        )


def _check_keys(found, reference, path: str, all_needed: bool = True) -> None:
    unknown, missing = set(found) - set(reference), set(reference) - set(found)
    if unknown:
        raise ValueError(
            f"{path}.{min(unknown)} is unknown; known are {sorted(reference)}"
        )
    if missing and all_needed:
        raise ValueError(f"{path}.{min(missing)} is missing")


def _check_recipes(config, row: Row) -> None:
    for phase in ("scratch",) if row.labels == NONE else ("pretrain", "finetune"):
        path = f"config.{phase}"
        if phase in row.changes:
            path += f" with config.variants.{row.name}"
        try:
            settings = recipe(config, phase, row, seed=0)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: {error}") from error
        _check_recipe(settings, path)
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


def _check_recipe(settings, path: str) -> None:
    given = settings.data.train or settings.data.validation or settings.data.label_map
    if given:
        raise ValueError(
            f"{path}.data names {given!r}; train, validation and label_map must be "
            "empty: the stages before say what they are"
        )
    if settings.runtime.strategy == "multi_worker":
        raise ValueError(
            f"{path}.runtime.strategy is 'multi_worker', and the pipeline runs on one "
            "machine; run `experiments.train` on each of several"
        )
    settings = settings.copy_and_resolve_references()
    settings.data.train = os.curdir  # the real one does not exist yet
    try:
        training.check_config(settings)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{path}: {error}") from error


def _check_evaluation(config) -> None:
    for key in ("predict", "evaluate"):
        settings = config[key]
        for name in ("num_clips", "batch_size"):
            if settings[name] < 1:
                raise ValueError(f"config.{key}.{name} is {settings[name]}, not 1 up")
        if settings.num_crops not in (1, 3):
            raise ValueError(
                f"config.{key}.num_crops is {settings.num_crops}, expected 1 or 3"
            )
    protocol = config.evaluate.protocol
    if protocol not in ("views", "paper"):
        raise ValueError(
            f"config.evaluate.protocol is {protocol!r}, expected 'views' or 'paper'"
        )
    views = (config.evaluate.num_clips, config.evaluate.num_crops)
    if protocol == "paper" and views != (1, 1):
        raise ValueError(
            f"config.evaluate.protocol is 'paper', which has one view, and num_clips, "
            f"num_crops are {views}"
        )


def _check_world(config) -> None:
    for name in SPLITS:
        if config.data[name].kind != "videos":
            raise ValueError(
                f"config.data.{name}.kind is {config.data[name].kind!r}, expected "
                "'videos', which config.world renders"
            )
    given = [name for name in SPLITS if _source(config.data[name])]
    if given or config.data.classes:
        raise ValueError(
            f"config.world is set, and so is config.data.{(*given, 'classes')[0]}; "
            "keep one"
        )
    render.check_config(config.world)
    for split in SPLITS:
        _check_settings(config, split)


def _check_data(config) -> None:
    for split in SPLITS if uses_web(config) else (TARGET_TRAIN, TARGET_VAL):
        path, settings = f"config.data.{split}", config.data[split]
        if settings.kind not in SETTINGS:
            raise ValueError(
                f"{path}.kind is {settings.kind!r}, expected one of {list(SETTINGS)}"
            )
        if not _source(settings):
            needed = " or ".join(_SOURCES[settings.kind])
            raise ValueError(
                f"{path}.{needed} is empty, and config.world is not set: there is no "
                f"data. Kind {settings.kind!r} needs it"
            )
        if settings.kind == "tfds" and not settings.split:
            raise ValueError(f"{path}.split is empty, expected a TFDS split")
        if settings.kind in ("videos", "images"):
            _check_exists(config.data.classes, "config.data.classes")
        for key in ("manifest", "root", "data_dir", "folder"):
            if settings[key]:
                _check_exists(settings[key], f"{path}.{key}")
        _check_settings(config, split)


def _source(settings) -> str:
    """What a split is made from; empty if nothing says so."""
    return next((settings[key] for key in _SOURCES[settings.kind] if settings[key]), "")


def _check_settings(config, split: str) -> None:
    kind = config.data[split].kind
    if kind == "clips":
        return
    unknown = set(config.conversion) - {
        field.name
        for other in SETTINGS.values()
        if other is not None
        for field in dataclasses.fields(other)
    }
    if unknown:
        raise ValueError(f"config.conversion.{min(unknown)} is unknown")
    settings = conversion_settings(config, split)
    known = {field.name for field in dataclasses.fields(SETTINGS[kind])}
    if set(settings) - known:
        raise ValueError(
            f"config.data.{split}.settings.{min(set(settings) - known)} is unknown; "
            f"kind {kind!r} knows {sorted(known)}"
        )
    try:
        SETTINGS[kind](**settings)
    except ValueError as error:
        raise ValueError(
            f"config.conversion or config.data.{split}.settings: {error}"
        ) from error
    if settings.get("exclude_ids"):
        key = f"exclude_ids in config.conversion or config.data.{split}.settings"
        _check_exists(settings["exclude_ids"], key)


def _check_exists(path: str, key: str) -> None:
    if not path:
        raise ValueError(f"{key} is empty")
    if "://" not in path and not os.path.exists(path):
        raise FileNotFoundError(f"{key}: there is no {path}")
