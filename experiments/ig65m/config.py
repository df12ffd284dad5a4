"""The configuration of an experiment: its keys, their defaults and their rules."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from experiments.pipeline import datasets, registry
from experiments.pipeline.rules import check_evaluation, check_exists, check_keys
from experiments.pipeline.trainings import check_recipe
from experiments.synthetic.render import (
    CLASSES_FILE,
    NOUNS_FILE,
    TARGET_TRAIN,
    TARGET_VAL,
    VERBS_FILE,
)
from experiments.synthetic.settings import has_posts
from spl_tf import training
from spl_tf.training.config import default_source
from tfrecords_tools.subsets.requests import SubsetSettings

NAME = "ig65m"  # what `config.experiment` calls it
LABEL_KINDS = {TARGET_TRAIN: "clean", TARGET_VAL: "clean"}
POSTS = "posts"  # the source of pre-training
PHASES = ("scratch", "pretrain", "finetune")
FIGURES = ("", "videos", "labels", "bars")
METRICS = ("top_1", "mAP")
_VIEWS = ("fully_convolutional", "crop_size", "short_side")
# Of the world: the target's classes, scenes, motions, and scenes with motions (3.1.1).
_WORLD_SPACES = {
    "target": {"classes": CLASSES_FILE},
    "noun": {"classes": NOUNS_FILE},
    "verb": {"classes": VERBS_FILE},
    "verb_noun": {"verbs": VERBS_FILE, "nouns": NOUNS_FILE},
}


@dataclasses.dataclass(frozen=True)
class Space:
    """A label space: seed labels, whose hashtags give posts their labels.

    Attributes:
        name: Name that `config.spaces` has for it.
        classes: File of seed labels, one a line.
        verbs: Instead of it, a file of verbs: labels are the pairs that occur.
        nouns: With `verbs`, a file of nouns.
        manifest: With `classes`, videos with these labels; the posts count for nothing.
        root: Of `manifest`: folder that its paths start from; its own when empty.
    """

    name: str
    classes: str = ""
    verbs: str = ""
    nouns: str = ""
    manifest: str = ""
    root: str = ""


@dataclasses.dataclass(frozen=True)
class Subset:
    """The videos of a pre-training.

    Attributes:
        name: Name that `config.subsets` has for it.
        space: Of `config.spaces`.
        like: Of `config.subsets`: whose videos per label are taken.
        settings: Which of the space's videos, see `SubsetSettings`; the rest is as
            there, all videos if it is empty.
    """

    name: str
    space: str
    like: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether it is all videos of its space."""
        return not self.settings and not self.like


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: what a network is pre-trained on, and how.

    Attributes:
        name: Name that `config.rows` has for it.
        subset: Of `config.subsets`; "" for the target's training set alone.
        inflate: Whether a 2D network is pre-trained, to be inflated (4.3.2).
        changes: Changed keys of the recipes, by phase.
    """

    name: str
    subset: str = ""
    inflate: bool = False
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def phases(self) -> tuple[str, ...]:
        """Its trainings, in turn."""
        return ("pretrain", "finetune") if self.subset else ("scratch",)


def default_config() -> config_dict.ConfigDict:
    """All keys of an experiment; configs start from here.

    The data is either `world`, rendered anew for each seed, or `data` and `posts`,
    converted once for all seeds; `experiments.pipeline.datasets` has the keys of both.
    """
    config = registry.default_config(NAME)
    # By name: keys of `Row`; those that are missing are as there. Likewise of `Subset`,
    # with those of `SubsetSettings`, and of `Space`.
    config.rows = config_dict.ConfigDict({"scratch": {}})
    config.subsets = config_dict.ConfigDict()
    config.spaces = config_dict.ConfigDict(_WORLD_SPACES)
    config.strategies = ("scratch",)  # the rows to run, in the order of the table
    # Tables that the rows are shown in: dicts of "title", "text", "rows", "reference"
    # (the row that others are compared with), "paper", by row its "top_1" of
    # fine-tuning and "linear" of the linear classifier, and "figure", one of FIGURES:
    # accuracy by the number of videos or labels, or bars.
    config.tables = ()
    config.metric = METRICS[0]  # of the target: what tables show
    datasets.add_defaults(config, LABEL_KINDS)
    config.posts = config_dict.create(
        files=(),  # see `tfrecords_tools.manifest_formats.hashtags`
        root="",  # folder of their videos
        languages=("en",),  # of seed labels, whose stems count
        min_videos=50,  # a label of fewer goes
        settings=config_dict.ConfigDict(),  # of their conversion, as in a split
    )
    for phase in PHASES:
        config[phase] = training.default_config()
    # Rates of fine-tuning to choose from on a part of the training clips that is held
    # out, see `experiments.tune`; () for that of the recipe.
    config.tuning = config_dict.create(learning_rates=(), held_out=0.1)
    # The last three as in `experiments.evaluate`, 0 for the training's own.
    config.evaluate = config_dict.create(
        protocol="views",
        num_clips=10,
        num_crops=1,
        exclude_classes=(),
        batch_size=32,
        fully_convolutional=False,
        crop_size=0,
        short_side=0,
    )
    # The linear classifier; its penalty is chosen on training clips where it is 0.
    config.linear = config_dict.create(run=True, strength=0.0)
    return config


def parse_row(config: config_dict.ConfigDict, name: str) -> Row:
    """The row of a name of `config.rows`.

    Raises:
        ValueError: There is no such row, or it has a key that is not known.
    """
    return _parse(config, "rows", name, Row)


def parse_space(config: config_dict.ConfigDict, name: str) -> Space:
    """The label space of a name of `config.spaces`; errors as `parse_row`."""
    return _parse(config, "spaces", name, Space)


def parse_subset(config: config_dict.ConfigDict, name: str) -> Subset:
    """The subset of a name of `config.subsets`; errors as `parse_row`."""
    if name not in config.subsets:
        raise ValueError(_unknown(config, "subsets", name))
    settings = config.subsets[name].to_dict()
    own = {key: settings.pop(key, "") for key in ("space", "like")}
    known = {field.name for field in dataclasses.fields(SubsetSettings)}
    known -= {"like", "seed", "split"}
    check_keys(settings, known, f"config.subsets.{name}", all_needed=False)
    return Subset(name, **own, settings=settings)


def _parse(config, key: str, name: str, kind: type) -> Any:
    if name not in config[key]:
        raise ValueError(_unknown(config, key, name))
    settings = config[key][name].to_dict()
    known = {field.name for field in dataclasses.fields(kind)} - {"name"}
    check_keys(settings, known, f"config.{key}.{name}", all_needed=False)
    return kind(name, **settings)


def _unknown(config, key: str, name: str) -> str:
    return f"{name!r} is none of config.{key}: {sorted(config[key])}"


def rows_of(config: config_dict.ConfigDict) -> list[Row]:
    """All rows of the table, in order."""
    return [parse_row(config, name) for name in config.strategies]


def subsets_of(config: config_dict.ConfigDict) -> list[Subset]:
    """The subsets that rows are pre-trained on, in their order."""
    names = dict.fromkeys(row.subset for row in rows_of(config) if row.subset)
    return [parse_subset(config, name) for name in names]


def chosen_subsets(config: config_dict.ConfigDict) -> list[Subset]:
    """Those, and the ones that they are like, which come before them."""
    found: dict[str, Subset] = {}
    for subset in subsets_of(config):
        for name in (subset.like, subset.name):
            if name:
                found[name] = parse_subset(config, name)
    return list(found.values())


def recipe(
    config: config_dict.ConfigDict, phase: str, row: Row, seed: int
) -> config_dict.ConfigDict:
    """The training of a phase of a row; paths are filled in by its stage.

    Of a video's several labels pre-training draws one, and classes in proportion to the
    square root of their size (3.1.1, 3.3).
    """
    settings = config[phase].copy_and_resolve_references()
    settings.update(row.changes.get(phase, {}))
    settings.seed = seed
    if phase == "pretrain" and not settings.data.sources:
        source = default_source()
        source.labels.kind = "one_of"
        source.resampling.power = 0.5
        settings.data.sources = {POSTS: source}
    return settings


def views(config: config_dict.ConfigDict) -> dict[str, Any]:
    """What `experiments.evaluate` is told of how clips are looked at."""
    settings = config.evaluate.to_dict()
    return settings | {key: settings[key] or None for key in _VIEWS[1:]}


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks a whole configuration, before any work.

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A file does not exist; the message names the key.
    """
    reference = default_config()
    check_keys(config, reference, "config")
    for key in ("posts", "tuning", "evaluate", "linear"):
        check_keys(config[key], reference[key], f"config.{key}")
    for name in (*config.rows, *config.subsets, *config.spaces):
        if not re.fullmatch(r"\w+", name):
            raise ValueError(
                f"config has a row, subset or space {name!r}; expected a name of "
                "letters, digits and _"
            )
    if not config.strategies:
        raise ValueError("config.strategies is empty, expected names of config.rows")
    if config.metric not in METRICS:
        raise ValueError(f"config.metric is {config.metric!r}, not one of {METRICS}")
    for row in rows_of(config):
        _check_row(config, row)
    for subset in chosen_subsets(config):
        _check_subset(config, subset)
    _check_tables(config)
    _check_tuning(config.tuning)
    if config.linear.strength < 0:
        raise ValueError(f"config.linear.strength is {config.linear.strength}, below 0")
    check_evaluation(config.evaluate, "config.evaluate")
    datasets.check_data(config, LABEL_KINDS, LABEL_KINDS)
    _check_posts(config)


def _check_row(config, row: Row) -> None:
    path = f"config.rows.{row.name}"
    if row.inflate and not row.subset:
        raise ValueError(f"{path}.inflate is of pre-training; there is no subset")
    check_keys(row.changes, PHASES, f"{path}.changes", all_needed=False)
    for phase in row.phases:
        try:
            settings = recipe(config, phase, row, seed=0)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}.changes.{phase}: {error}") from error
        check_recipe(settings, f"config.{phase} with {path}")
        if phase == "pretrain" and tuple(settings.data.sources) != (POSTS,):
            raise ValueError(
                f"config.pretrain.data.sources are {sorted(settings.data.sources)}, "
                f"expected {POSTS!r} alone"
            )
        if phase == "finetune" and (settings.init.checkpoint or settings.init.inflate):
            raise ValueError(
                "config.finetune.init: checkpoint and inflate must be empty: it starts "
                "from the training before it"
            )


def _check_subset(config, subset: Subset) -> None:
    path = f"config.subsets.{subset.name}"
    parse_space(config, subset.space)
    if subset.like and parse_subset(config, subset.like).like:
        raise ValueError(f"{path}.like is {subset.like!r}, which is like another")
    if subset.is_whole:
        return
    try:
        counts = SubsetSettings(**subset.settings, like=subset.like).label_counts
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if len(counts) > 1:
        raise ValueError(f"{path}.num_labels is {counts}, expected one number")


def _check_tables(config) -> None:
    for number, table in enumerate(config.tables):
        path = f"config.tables[{number}]"
        keys = ("title", "text", "rows", "reference", "paper", "figure")
        check_keys(table, keys, path)
        check_keys(table["rows"], config.rows, f"{path}.rows", all_needed=False)
        if table["figure"] not in FIGURES:
            raise ValueError(
                f"{path}.figure is {table['figure']!r}, expected one of {FIGURES}"
            )


def _check_tuning(tuning) -> None:
    rates = tuple(tuning.learning_rates)
    if len(set(rates)) < len(rates) or any(rate <= 0 for rate in rates):
        raise ValueError(
            f"config.tuning.learning_rates is {rates}, expected different ones above 0"
        )
    if not 0 < tuning.held_out < 1:
        raise ValueError(
            f"config.tuning.held_out is {tuning.held_out}, expected above 0, below 1"
        )


def _check_posts(config) -> None:
    if config.posts.min_videos < 1:
        raise ValueError(
            f"config.posts.min_videos is {config.posts.min_videos}, expected 1 or more"
        )
    if config.world is not None:
        if not has_posts(config.world):
            raise ValueError("config.world has no posts; expected world 'hashtags'")
        if config.posts.files or config.posts.root:
            raise ValueError("config.world is set, and so is config.posts; keep one")
    spaces = {subset.space: subset.name for subset in chosen_subsets(config)}
    for name in spaces:
        _check_space(config, parse_space(config, name))


def _check_space(config, space: Space) -> None:
    path = f"config.spaces.{space.name}"
    if bool(space.classes) == bool(space.verbs) or bool(space.verbs) != bool(
        space.nouns
    ):
        raise ValueError(f"{path} needs classes, or verbs and nouns")
    if space.manifest and not space.classes:
        raise ValueError(f"{path}.manifest needs classes beside it")
    if config.world is not None:
        return
    for key in ("classes", "verbs", "nouns", "manifest", "root"):
        if getattr(space, key):
            check_exists(getattr(space, key), f"{path}.{key}")
    if not space.manifest:
        for number, file in enumerate(config.posts.files or [""]):
            check_exists(file, f"config.posts.files[{number}]")
        check_exists(config.posts.root, "config.posts.root")
