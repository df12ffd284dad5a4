"""The stages of a config: what each is told, reads and writes, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ml_collections import config_dict

from experiments.omnisource.config import (
    TARGET,
    Row,
    is_ensemble,
    label_kinds,
    recipe,
    rows_of,
    used_sources,
)
from experiments.pipeline import datasets
from experiments.pipeline.stages import Input, Stage
from experiments.pipeline.trainings import training_stage
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL
from spl_tf.files import absolute_path
from spl_tf.models import IMAGENET
from spl_tf.training.config import SNIPPETS

EXCLUDED_FILE, MOTION_FILE = "exclude_ids.csv", "motion.npz"


class Layout(datasets.SeedLayout):
    """Where things are, for one seed."""

    def labelled(self, source: str, teacher: str) -> str:
        """A source's clips with the predictions of a teacher."""
        return self.stage("clips", f"{source}_by_{teacher}")

    def voters(self, name: str) -> list[str]:
        """Runs of the teachers that vote under a name: of most, the only one."""
        found = self._config.teachers[name]
        return [
            self.teacher(each) for each in (found if is_ensemble(found) else [name])
        ]

    def teacher(self, name: str) -> str:
        """Folder of the run of a teacher."""
        if isinstance(self._config.teachers[name], str):
            return absolute_path(self._config.teachers[name])
        return self.stage("teachers", name)

    def duplicates(self, source: str) -> str:
        """What `find_duplicates` writes of a source."""
        return self.stage("duplicates", source)

    def filtered(self, source: str) -> str:
        """What the filter of a source keeps, by class."""
        return self.stage("filtered", source)

    @property
    def motion(self) -> str:
        """Folder of how the target's cameras move."""
        return self.stage("camera_motion")

    def run(self, row: Row) -> str:
        """Folder of the run of a row."""
        return self.stage("runs", row.name)

    def evaluation(self, row: Row) -> str:
        """Folder of the evaluation of a row."""
        return self.stage("evaluation", row.name)


def stages_of_seed(config: config_dict.ConfigDict, seed: int) -> Iterator[Stage]:
    """In the order in which they should start, if several can: teachers early."""
    layout, rows, kinds = Layout(config, seed), rows_of(config), label_kinds(config)
    yield from datasets.rendering(config, seed)
    yield from datasets.conversions(config, seed, kinds, TARGET_TRAIN)
    yield from _teachers(config, layout, rows)
    yield from datasets.conversions(
        config, seed, kinds, *used_sources(config), TARGET_VAL
    )
    snippets = {
        name
        for row in rows
        for name, source in row.sources.items()
        if source.clips.kind == SNIPPETS
    }
    for name, teacher in _labellings(config, rows):
        yield _prediction(config, layout, name, teacher, name in snippets)
    for name in used_sources(config):
        if config.duplicates.checkpoint:
            yield _duplicates(config, layout, name)
        yield _filter_table(config, layout, name)
    if any(_moves(source) for row in rows for source in row.sources.values()):
        yield _camera_motion(config, layout)
    for row in rows:
        for stage in _row_stages(config, layout, row):
            yield dataclasses.replace(stage, seed=seed, row=row.name)


def _labellings(config, rows: list[Row]) -> list[tuple[str, str]]:
    """Each source that is used with each teacher that labels it, its own one first."""
    found = [(name, config.sources[name].teacher) for name in used_sources(config)]
    for row in rows:
        found += [(name, source.teacher) for name, source in row.sources.items()]
    return list(dict.fromkeys(found))


def _teachers(config, layout: Layout, rows: list[Row]) -> Iterator[Stage]:
    used = {teacher for _, teacher in _labellings(config, rows)}
    used |= {row.start for row in rows}
    if any(row.sources for row in rows):
        used.add(config.duplicates.checkpoint)
    for name in [name for name in config.teachers if name in used]:
        if is_ensemble(config.teachers[name]):
            used |= {*config.teachers[name]}
    for name, teacher in config.teachers.items():
        if name in used and isinstance(teacher, config_dict.ConfigDict):
            settings = teacher.copy_and_resolve_references()
            settings.seed = layout.seed
            yield training_stage(
                layout.stage("train_teacher", name),
                settings,
                layout.teacher(name),
                layout.seed,
                train=Input("dataset", layout.clips(TARGET_TRAIN)),
            )


def _prediction(
    config, layout: Layout, source: str, teacher: str, per_frame: bool
) -> Stage:
    return Stage(
        layout.stage("predict", f"{source}_by_{teacher}"),
        "predict",
        config.predict.to_dict() | {"per_frame": per_frame},
        {
            **{
                f"checkpoint{number or ''}": Input("weights", run)
                for number, run in enumerate(layout.voters(teacher))
            },
            "dataset": Input("dataset", layout.clips(source)),
        },
        layout.labelled(source, teacher),
        seed=layout.seed,
    )


def _duplicates(config, layout: Layout, source: str) -> Stage:
    settings = config.duplicates.to_dict()
    network, inputs = settings.pop("checkpoint"), {}
    if network == IMAGENET:
        settings["checkpoint"] = IMAGENET
    else:
        inputs["checkpoint"] = Input("weights", layout.teacher(network))
    inputs["dataset"] = Input("dataset", layout.clips(source))
    inputs["against"] = Input("dataset", layout.clips(TARGET_VAL))
    return Stage(
        layout.stage("find_duplicates", source),
        "find_duplicates",
        settings,
        inputs,
        layout.duplicates(source),
        seed=layout.seed,
    )


def _filter_table(config, layout: Layout, source: str) -> Stage:
    """Stage of the config's own filter; a row's is in its run's config.json."""
    settings = config.sources[source]
    labelled = Input("dataset", layout.labelled(source, settings.teacher))
    return Stage(
        layout.stage("filter", source),
        "filter",
        {"filter": settings.filter.to_dict(), "labels": settings.labels.kind},
        {"dataset": labelled} | _excluded(config, layout, source, "exclude_ids"),
        layout.filtered(source),
        seed=layout.seed,
    )


def _excluded(config, layout: Layout, source: str, key: str) -> dict[str, Input]:
    """The near-copies of a source, as an input."""
    if not config.duplicates.checkpoint:
        return {}
    return {key: Input("content", f"{layout.duplicates(source)}/{EXCLUDED_FILE}")}


def _moves(source) -> bool:
    return source.clips.kind == "perspective"


def _camera_motion(config, layout: Layout) -> Stage:
    settings = config.camera_motion.to_dict()
    settings |= {"stride": config.train.data.stride, "seed": layout.seed}
    target = {"dataset": Input("dataset", layout.clips(TARGET_TRAIN))}
    name = layout.stage("fit_camera_motion")
    return Stage(
        name, "camera_motion", settings, target, layout.motion, seed=layout.seed
    )


def _row_stages(config, layout: Layout, row: Row) -> Iterator[Stage]:
    target = Input("dataset", layout.clips(TARGET_TRAIN))
    inputs = {f"data.sources.{TARGET}.dataset" if row.sources else "train": target}
    for name, source in row.sources.items():
        path = f"data.sources.{name}"
        labelled = layout.labelled(name, source.teacher)
        inputs[f"{path}.dataset"] = Input("dataset", labelled)
        inputs |= _excluded(config, layout, name, f"{path}.filter.exclude_ids")
        if _moves(source):
            motion = Input("content", f"{layout.motion}/{MOTION_FILE}")
            inputs[f"{path}.clips.motion"] = motion
    if row.start:
        inputs["checkpoint"] = Input("weights", layout.teacher(row.start))
    yield training_stage(
        layout.stage(row.name, "train"),
        recipe(config, row, layout.seed),
        layout.run(row),
        **inputs,
    )
    yield Stage(
        layout.stage(row.name, "evaluate"),
        "evaluate",
        config.evaluate.to_dict(),
        {
            "checkpoint": Input("weights", layout.run(row)),
            "dataset": Input("dataset", layout.clips(TARGET_VAL)),
        },
        layout.evaluation(row),
    )
