"""The stages of a config: what each is told, reads and writes, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ml_collections import config_dict

from experiments.pipeline import datasets
from experiments.pipeline.stages import Input, Stage
from experiments.pipeline.trainings import training_stage
from experiments.spl.config import (
    LABEL_KINDS,
    NONE,
    TARGET_TRAIN,
    TARGET_VAL,
    WEB,
    Row,
    parse_row,
    recipe,
    uses_web,
)
from spl_tf.files import absolute_path

_TEACHER_ROW = Row(NONE, NONE)


class Layout(datasets.SeedLayout):
    """Where things are, for one seed."""

    @property
    def labelled(self) -> str:
        """The web clips with the teacher's predictions."""
        return self.stage("clips", f"{WEB}_teacher")

    def labels(self, row: Row) -> str:
        """What `build_labels` writes for a row."""
        return self.stage("labels", row.folder)

    def pretrain(self, row: Row) -> str:
        """Folder of the run of a row's pre-training."""
        return self.stage("runs", f"{row.folder}_pretrain")

    def run(self, row: Row) -> str:
        """A row's last run: fine-tuning, or training from scratch."""
        return self.stage("runs", row.folder)

    @property
    def teacher(self) -> str:
        """Folder of the run of the teacher."""
        if self._config.teacher is None:
            return self.run(_TEACHER_ROW)
        if isinstance(self._config.teacher, str):
            return absolute_path(self._config.teacher)
        return self.stage("runs", "teacher_model")  # "teacher" is a row's name

    def evaluation(self, row: Row) -> str:
        """Folder of the evaluation of a row's last run."""
        return self.stage("evaluation", row.folder)

    def probe(self, row: Row) -> str:
        """Folder of the linear probe of a row's network, before fine-tuning."""
        return self.stage("probe", row.folder)


def rows_of(config: config_dict.ConfigDict) -> list[Row]:
    """All rows of table and curve, each once."""
    names = dict.fromkeys((*config.strategies, *config.curve))
    return [parse_row(config, name) for name in names]


def stages_of_seed(config: config_dict.ConfigDict, seed: int) -> Iterator[Stage]:
    """In the order in which they should start, if several can: the teacher early."""
    layout, has_labels = Layout(config, seed), uses_web(config)
    yield from datasets.rendering(config, seed)
    first = (TARGET_TRAIN, WEB) if has_labels else (TARGET_TRAIN,)
    yield from datasets.conversions(config, seed, LABEL_KINDS, *first)
    if not isinstance(config.teacher, str):
        yield _teacher_stage(config, layout)
    yield from datasets.conversions(config, seed, LABEL_KINDS, TARGET_VAL)
    if has_labels:
        yield _prediction(config, layout)
    for row in rows_of(config):
        for stage in _row_stages(config, layout, row):
            yield dataclasses.replace(stage, seed=seed, row=row.name)


def _prediction(config, layout: Layout) -> Stage:
    return Stage(
        layout.stage("predict"),
        "predict",
        config.predict.to_dict(),
        {
            "checkpoint": Input("weights", layout.teacher),
            "dataset": Input("dataset", layout.clips(WEB)),
        },
        layout.labelled,
        seed=layout.seed,
        defaults={"classes": "same"},
    )


def _teacher_stage(config, layout: Layout) -> Stage:
    phase = "scratch" if config.teacher is None else "teacher"
    return training_stage(
        layout.stage("teacher"),
        recipe(config, phase, _TEACHER_ROW, layout.seed),
        layout.teacher,
        layout.seed,
        train=Input("dataset", layout.clips(TARGET_TRAIN)),
    )


def _row_stages(config, layout: Layout, row: Row) -> Iterator[Stage]:
    target = Input("dataset", layout.clips(TARGET_TRAIN))
    run = Input("weights", layout.run(row))
    if row.labels != NONE:
        yield from _pretraining(config, layout, row)
        yield training_stage(
            layout.stage(row.folder, "finetune"),
            recipe(config, "finetune", row, layout.seed),
            run.path,
            train=target,
            checkpoint=Input("weights", layout.pretrain(row)),
        )
    elif run.path != layout.teacher:
        yield training_stage(
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
        start["checkpoint"] = Input("weights", layout.teacher)
    yield Stage(
        layout.stage(row.folder, "build_labels"),
        "build_labels",
        {"strategy": row.labels, "num_labels": row.num_labels},
        {"dataset": labelled},
        layout.labels(row),
    )
    yield training_stage(
        layout.stage(row.folder, "pretrain"),
        recipe(config, "pretrain", row, layout.seed),
        layout.pretrain(row),
        train=labelled,
        label_map=Input("label_map", f"{layout.labels(row)}/label_map"),
        **start,
    )
