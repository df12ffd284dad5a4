"""The stages of an experiment: what each is told, reads and writes.

Paths are relative to the workdir, except those of data outside of it, which are
absolute and only read. A stage needs those whose output holds one of its inputs.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ml_collections import config_dict

from experiments.pipeline.config import (
    NONE,
    TARGET_TRAIN,
    TARGET_VAL,
    WEB,
    Row,
    conversion_settings,
    parse_row,
    recipe,
    uses_web,
)
from experiments.synthetic import render
from spl_tf import training
from spl_tf.models.inflation import IMAGENET
from tfrecords_tools.conversion.manifest import folder_of, root_of

RESULTS_FILE = "results.json"
_TEACHER_ROW = Row(NONE, NONE)


@dataclasses.dataclass(frozen=True)
class Input:
    """Something that a stage reads.

    Attributes:
        kind: How it is compared, see `fingerprints.Fingerprints`.
        path: File or folder.
    """

    kind: str
    path: str


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the experiment.

    Attributes:
        name: Unique, e.g. "seed_0/spl_b/pretrain".
        action: What it does, of `actions.ACTIONS`.
        settings: All that decides its output besides its inputs, as JSON has it.
        inputs: What it reads, by the name that the action knows it by.
        output: The folder that it writes.
        options: What it is told besides, and makes no difference to the output.
        seed: Of the experiment; None for a stage that all seeds share.
        row: Name of the table's row that it is for; "" for one that all rows share.
        defaults: What settings were before they had a key.
    """

    name: str
    action: str
    settings: dict[str, Any]
    inputs: dict[str, Input]
    output: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    seed: int | None = None
    row: str = ""
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        # As they read back from a file: tuples become lists.
        for name in ("settings", "defaults"):
            plain = json.loads(json.dumps(getattr(self, name)))
            object.__setattr__(self, name, plain)

    @property
    def is_last(self) -> bool:
        """Whether it runs when all others have ended, however they did."""
        return self.action == "report"


class Layout:
    """Where things are, for one seed."""

    def __init__(self, config: config_dict.ConfigDict, seed: int):
        """Derives all from the config."""
        self.seed = seed
        self._data = config.data
        self._base = f"seed_{seed}"
        self.world = self._in("world") if config.world is not None else None

    def _in(self, *parts: str) -> str:
        return "/".join((self._base, *parts))

    def stage(self, *parts: str) -> str:
        """Name of a stage."""
        return self._in(*parts)

    def clips(self, split: str) -> str:
        """Dataset of a split."""
        if self._data[split].kind == "clips":
            return root_of(self._data[split].folder)
        return f"clips/{split}" if self.world is None else self._in("clips", split)

    @property
    def labelled(self) -> str:
        """The web clips with the teacher's predictions."""
        return self._in("clips", f"{WEB}_teacher")

    def labels(self, row: Row) -> str:
        """What `build_labels` writes for a row."""
        return self._in("labels", row.folder)

    def pretrain(self, row: Row) -> str:
        """Run of a row's pre-training."""
        return self._in("runs", f"{row.folder}_pretrain")

    def run(self, row: Row) -> str:
        """A row's last run: fine-tuning, or training from scratch."""
        return self._in("runs", row.folder)

    def teacher(self, config: config_dict.ConfigDict) -> str:
        """Run of the teacher."""
        if config.teacher is None:
            return self.run(_TEACHER_ROW)
        return self._in("runs", "teacher_model")  # "teacher" is a row's name

    def evaluation(self, row: Row) -> str:
        """Evaluation of a row."""
        return self._in("evaluation", row.folder)

    def probe(self, row: Row) -> str:
        """Linear probe of a row."""
        return self._in("probe", row.folder)


def rows_of(config: config_dict.ConfigDict) -> list[Row]:
    """All rows of table and curve, each once."""
    names = dict.fromkeys((*config.strategies, *config.curve))
    return [parse_row(config, name) for name in names]


def make_stages(config: config_dict.ConfigDict, seeds: Iterable[int]) -> list[Stage]:
    """All stages of an experiment; each comes after those that it needs.

    Raises:
        ValueError: Two rows would have the same folder.
    """
    stages: dict[str, Stage] = {}
    for seed in seeds:
        layout = Layout(config, seed)
        for stage in _stages_of_seed(config, layout):
            # Those that all seeds share come once per seed.
            other = stages.setdefault(stage.name, stage)
            if other.row != stage.row:
                raise ValueError(
                    f"rows {other.row!r} and {stage.row!r} would both be {stage.name}; "
                    "give the variant another name"
                )
    if config.report:
        results = {"results": Input("results", RESULTS_FILE)}
        stages["report"] = Stage("report", "report", {}, results, "report")
    _check_outputs(stages.values())
    return list(stages.values())


def _check_outputs(stages: Iterable[Stage]) -> None:
    makers: dict[str, str] = {}
    for stage in stages:
        other = makers.setdefault(stage.output, stage.name)
        if other != stage.name:
            raise ValueError(
                f"{other} and {stage.name} would both write {stage.output}; give the "
                "variant another name"
            )


def _stages_of_seed(config, layout: Layout) -> Iterator[Stage]:
    """In the order in which they should start, if several can: the teacher early."""
    if config.world is not None:
        world = config.world.to_dict() | {"seed": layout.seed}
        name = layout.stage("render")
        yield Stage(name, "render", world, {}, layout.world, seed=layout.seed)
    has_labels = uses_web(config)
    yield from _conversions(config, layout, TARGET_TRAIN, *[WEB] * has_labels)
    yield _teacher_stage(config, layout)
    yield from _conversions(config, layout, TARGET_VAL)
    if has_labels:
        yield _prediction(config, layout)
    for row in rows_of(config):
        for stage in _row_stages(config, layout, row):
            yield dataclasses.replace(stage, seed=layout.seed, row=row.name)


def _prediction(config, layout: Layout) -> Stage:
    return Stage(
        layout.stage("predict"),
        "predict",
        config.predict.to_dict(),
        {
            "checkpoint": Input("weights", layout.teacher(config)),
            "dataset": Input("dataset", layout.clips(WEB)),
        },
        layout.labelled,
        seed=layout.seed,
    )


def _conversions(config, layout: Layout, *splits: str) -> Iterator[Stage]:
    for split in splits:
        if config.data[split].kind != "clips":
            yield _conversion(config, layout, split)


def _conversion(config, layout: Layout, split: str) -> Stage:
    source, settings = config.data[split], conversion_settings(config, split)
    name, seed = f"convert_{split}", None
    inputs: dict[str, Input] = {}
    if layout.world is not None:
        name, seed = layout.stage(name), layout.seed
        settings["seed"] = layout.seed
        manifest, classes = f"{layout.world}/{split}.csv", render.CLASSES_FILE
        inputs["manifest"] = Input("file", manifest)
        inputs["classes"] = Input("file", f"{layout.world}/{classes}")
        # The manifest does not tell how the videos were drawn and coded.
        inputs["world"] = Input("stage", layout.world)
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
        layout.clips(split),
        options={
            "processes": config.conversion_processes,
            "max_skipped_fraction": config.max_skipped_fraction,
        },
        seed=seed,
    )


def _root(source) -> str:
    """What the paths of a split start from, which two equal manifests may not share."""
    if source.manifest and not source.root:
        return folder_of(source.manifest)
    return _absolute(source.root)


def _absolute(path: str) -> str:
    return root_of(path) if path else ""


def _teacher_stage(config, layout: Layout) -> Stage:
    phase = "scratch" if config.teacher is None else "teacher"
    stage = _training(
        layout.stage("teacher"),
        recipe(config, phase, _TEACHER_ROW, layout.seed),
        layout.teacher(config),
        train=Input("dataset", layout.clips(TARGET_TRAIN)),
    )
    return dataclasses.replace(stage, seed=layout.seed)


def _training(name: str, recipe_of_it, output: str, **inputs: Input) -> Stage:
    settings = recipe_of_it.to_dict()
    options = {"runtime": settings.pop("runtime")}
    inputs = _files_of(settings) | inputs
    defaults = training.default_config().to_dict()
    return Stage(name, "train", settings, inputs, output, options, defaults=defaults)


def _files_of(settings: dict[str, Any]) -> dict[str, Input]:
    """What a recipe itself names: the content decides the output, not only the path."""
    init, found = settings["init"], {}
    if init["checkpoint"]:
        found["checkpoint"] = Input("weights", root_of(init["checkpoint"]))
    if init["inflate"] not in ("", IMAGENET):
        found["inflate"] = Input("content", root_of(init["inflate"]))
    if settings["loss"]["transition"]:
        transition = root_of(settings["loss"]["transition"])
        found["transition"] = Input("content", transition)
    return found


def _row_stages(config, layout: Layout, row: Row) -> Iterator[Stage]:
    target = Input("dataset", layout.clips(TARGET_TRAIN))
    run = Input("weights", layout.run(row))
    if row.labels != NONE:
        yield from _pretraining(config, layout, row)
        yield _training(
            layout.stage(row.folder, "finetune"),
            recipe(config, "finetune", row, layout.seed),
            run.path,
            train=target,
            checkpoint=Input("weights", layout.pretrain(row)),
        )
    elif run.path != layout.teacher(config):
        yield _training(
            layout.stage(row.folder, "scratch"),
            recipe(config, "scratch", row, layout.seed),
            run.path,
            train=target,
        )
    evaluated = {
        "checkpoint": run,
        "dataset": Input("dataset", layout.clips(TARGET_VAL)),
    }
    name = layout.stage(row.folder, "evaluate")
    settings = config.evaluate.to_dict()
    yield Stage(name, "evaluate", settings, evaluated, layout.evaluation(row))
    if config.probe:
        # Of the pre-trained features, before fine-tuning.
        probed = layout.run(row) if row.labels == NONE else layout.pretrain(row)
        evaluated = evaluated | {
            "checkpoint": Input("weights", probed),
            "train_dataset": target,
        }
        settings = settings | {"protocol": "linear", "seed": layout.seed}
        name = layout.stage(row.folder, "probe")
        yield Stage(name, "evaluate", settings, evaluated, layout.probe(row))


def _pretraining(config, layout: Layout, row: Row) -> Iterator[Stage]:
    labelled = Input("dataset", layout.labelled)
    start = {}
    if config.pretrain_from_teacher:
        start["checkpoint"] = Input("weights", layout.teacher(config))
    yield Stage(
        layout.stage(row.folder, "build_labels"),
        "build_labels",
        {"strategy": row.labels, "num_labels": row.num_labels},
        {"dataset": labelled},
        layout.labels(row),
    )
    yield _training(
        layout.stage(row.folder, "pretrain"),
        recipe(config, "pretrain", row, layout.seed),
        layout.pretrain(row),
        train=labelled,
        label_map=Input("label_map", f"{layout.labels(row)}/label_map"),
        **start,
    )


def needs(stages: Sequence[Stage]) -> dict[str, list[str]]:
    """Names of the stages that each stage needs, by its name."""
    makers = {stage.output: stage.name for stage in stages}
    found = {}
    for stage in stages:
        found[stage.name] = sorted(
            {
                makers[path]
                for read in stage.inputs.values()
                for path in _self_and_parents(read.path)
                if path in makers
            }
        )
    return found


def _self_and_parents(path: str) -> Iterator[str]:
    while path and path != os.path.dirname(path):
        yield path
        path = os.path.dirname(path)
