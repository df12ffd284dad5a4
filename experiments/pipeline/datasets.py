"""Datasets of an experiment: where they come from, and the stages that make them.

The data is either `config.world`, rendered anew for each seed, or `config.data`,
converted once for all seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ml_collections import config_dict

from experiments.pipeline.rules import check_exists, check_keys
from experiments.pipeline.stages import Input, Stage, folder_of_seed
from experiments.synthetic import render
from tfrecords_tools.conversion.conversion import FileSettings
from tfrecords_tools.conversion.manifest import folder_of, root_of
from tfrecords_tools.convert_tfds import TfdsSettings
from tfrecords_tools.convert_videos import ConversionSettings

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


def add_defaults(config: config_dict.ConfigDict, splits: Iterable[str]) -> None:
    """Adds the keys of the data of an experiment.

    Args:
        config: An experiment's config, to which they are added.
        splits: Names of its datasets, a key of `config.data` each.
    """
    config.world = None  # to be rendered, see `experiments.synthetic.render`
    config.data = config_dict.create(
        classes="",  # file of class names, for all but kinds "tfds" and "clips"
        **{split: _default_split() for split in splits},
    )
    config.conversion = config_dict.ConfigDict()  # settings of splits that know them
    config.max_skipped_fraction = 0.1
    # Processes of a conversion; 0 for the cores that are free. Each takes seconds to
    # start, so that small videos are sooner converted by one.
    config.conversion_processes = 0


def _default_split() -> config_dict.ConfigDict:
    return config_dict.create(
        kind="videos",
        manifest="",  # CSV file that lists them, of kinds "videos" and "images"
        root="",  # folder that its paths start from; of "images" may be one per class
        name="",  # of kind "tfds": its name, with config and version if wanted
        split="",  # of kind "tfds": its split, or a part of one
        data_dir="",  # of kind "tfds": where it is prepared; TFDS' default if empty
        folder="",  # of kind "clips": a dataset that is used where it is
        settings=config_dict.ConfigDict(),  # replace those of `conversion`
    )


def world_of(config: config_dict.ConfigDict, seed: int) -> str | None:
    """Folder of a seed's rendered world; None without one."""
    return None if config.world is None else f"{folder_of_seed(seed)}/world"


def clips_of(config: config_dict.ConfigDict, seed: int, split: str) -> str:
    """Folder of the clips of a split."""
    if config.data[split].kind == "clips":
        return root_of(config.data[split].folder)
    clips = f"clips/{split}"
    return clips if config.world is None else f"{folder_of_seed(seed)}/{clips}"


class SeedLayout:
    """Where things are, for one seed; a paper adds its own.

    Attributes:
        seed: The seed.
        world: Folder of its rendered world; None without one.
    """

    def __init__(self, config: config_dict.ConfigDict, seed: int):
        """Takes the experiment's whole config and one of its seeds."""
        self.seed = seed
        self.world = world_of(config, seed)
        self._config = config

    def stage(self, *parts: str) -> str:
        """Name of a stage; paths are made likewise."""
        return "/".join((folder_of_seed(self.seed), *parts))

    def clips(self, split: str) -> str:
        """Folder of the clips of a split."""
        return clips_of(self._config, self.seed, split)


def rendering(config: config_dict.ConfigDict, seed: int) -> Iterator[Stage]:
    """The stage that renders a seed's world, if there is one."""
    if config.world is not None:
        name = f"{folder_of_seed(seed)}/render"
        settings = config.world.to_dict() | {"seed": seed}
        yield Stage(name, "render", settings, {}, world_of(config, seed), seed=seed)


def conversions(
    config: config_dict.ConfigDict,
    seed: int,
    label_kinds: Mapping[str, str],
    *splits: str,
) -> Iterator[Stage]:
    """The stages that make datasets of clips, but for those that are there already.

    Args:
        config: The experiment's whole config.
        seed: Seed of the rendered world; without one all seeds share the stages.
        label_kinds: Whether labels are "weak" or "clean", by split.
        *splits: Names of the datasets to convert.
    """
    for split in splits:
        if config.data[split].kind != "clips":
            yield _conversion(config, seed, split, label_kinds[split])


def _conversion(config, seed: int, split: str, label_kind: str) -> Stage:
    source, settings = config.data[split], _settings_of(config, split, label_kind)
    name, world = f"convert_{split}", world_of(config, seed)
    inputs: dict[str, Input] = {}
    if world is not None:
        name, settings["seed"] = f"{folder_of_seed(seed)}/{name}", seed
        inputs["manifest"] = Input("file", f"{world}/{split}.csv")
        inputs["classes"] = Input("file", f"{world}/{render.CLASSES_FILE}")
        # The manifest does not tell how the videos were drawn and coded.
        inputs["world"] = Input("stage", world)
    elif source.kind != "tfds":
        inputs["classes"] = Input("file", root_of(config.data.classes))
        if source.manifest:
            inputs["manifest"] = Input("file", root_of(source.manifest))
        elif source.kind == "images":
            inputs["images"] = Input("listing", root_of(source.root))
    if settings.get("exclude_ids"):
        excluded = root_of(settings.pop("exclude_ids"))
        inputs["exclude_ids"] = Input("file", excluded)
    return Stage(
        name,
        "convert",
        {
            "kind": source.kind,
            "root": _root(source),
            "name": source.name,
            "split": source.split,
            "data_dir": _absolute(source.data_dir),
            "settings": settings,
        },
        inputs,
        clips_of(config, seed, split),
        options={
            "processes": config.conversion_processes,
            "max_skipped_fraction": config.max_skipped_fraction,
        },
        seed=None if world is None else seed,
    )


def _settings_of(config, split: str, label_kind: str) -> dict[str, Any]:
    """What a split's conversion is told, as fields of the dataclass of its kind."""
    source = config.data[split]
    return settings_of(config, source.kind, source.settings.to_dict(), label_kind)


def settings_of(
    config: config_dict.ConfigDict, kind: str, own: Mapping[str, Any], label_kind: str
) -> dict[str, Any]:
    """What a conversion is told, as fields of the dataclass of its kind.

    Args:
        config: The experiment's whole config.
        kind: One of `SETTINGS`.
        own: Settings of what is converted, which replace those for all.
        label_kind: Whether labels are "weak" or "clean".
    """
    known = _fields(kind)
    # Of the settings for all splits, those that the kind knows.
    shared = {k: v for k, v in config.conversion.items() if k in known}
    return {"label_kind": label_kind, **shared, **own}


def _fields(kind: str) -> set[str]:
    settings = SETTINGS[kind]
    return {field.name for field in dataclasses.fields(settings)} if settings else set()


def _root(source) -> str:
    """What the paths of a split start from, which two equal manifests may not share."""
    if source.manifest and not source.root:
        return folder_of(source.manifest)
    return _absolute(source.root)


def _absolute(path: str) -> str:
    return root_of(path) if path else ""


def check_data(
    config: config_dict.ConfigDict,
    label_kinds: Mapping[str, str],
    used: Iterable[str],
) -> None:
    """Checks world, data and conversion of a config.

    Args:
        config: The experiment's whole config.
        label_kinds: Whether labels are "weak" or "clean", by split; all splits.
        used: The splits that are needed, if no world has them all.

    Raises:
        ValueError: A value is impossible; the message names the key.
        FileNotFoundError: A file does not exist; the message names the key.
    """
    check_keys(config.data, ("classes", *label_kinds), "config.data")
    for split in label_kinds:
        check_keys(config.data[split], _default_split(), f"config.data.{split}")
    if config.world is not None:
        _check_world(config, label_kinds)
        used = label_kinds
    for split in used:
        if config.world is None:
            _check_split(config, split)
        _check_settings(config, split, label_kinds[split])


def _check_world(config, splits: Iterable[str]) -> None:
    for name in splits:
        expected = "images" if name == render.WEB_IMAGES else "videos"
        if config.data[name].kind != expected:
            raise ValueError(
                f"config.data.{name}.kind is {config.data[name].kind!r}, expected "
                f"{expected!r}, which config.world renders"
            )
    given = [name for name in splits if _source(config.data[name])]
    if given or config.data.classes:
        raise ValueError(
            f"config.world is set, and so is config.data.{(*given, 'classes')[0]}; "
            "keep one"
        )
    render.check_config(config.world)


def _check_split(config, split: str) -> None:
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
        check_exists(config.data.classes, "config.data.classes")
    for key in ("manifest", "root", "data_dir", "folder"):
        if settings[key]:
            check_exists(settings[key], f"{path}.{key}")


def _source(settings) -> str:
    """What a split is made from; empty if nothing says so."""
    return next((settings[key] for key in _SOURCES[settings.kind] if settings[key]), "")


def _check_settings(config, split: str, label_kind: str) -> None:
    kind = config.data[split].kind
    if kind == "clips":
        return
    unknown = set(config.conversion) - set().union(*map(_fields, SETTINGS))
    if unknown:
        raise ValueError(f"config.conversion.{min(unknown)} is unknown")
    settings, known = _settings_of(config, split, label_kind), _fields(kind)
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
        check_exists(settings["exclude_ids"], key)
