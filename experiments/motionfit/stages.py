"""The stages of a config: what each is told, reads and writes, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ml_collections import config_dict

from experiments.motionfit.config import (
    LABEL_KINDS,
    LABELLED,
    UNLABELLED,
    Row,
    needs_flow,
    on_labelled,
    parse_row,
    recipe,
    rows_of,
    self_trained,
    used_splits,
)
from experiments.pipeline import datasets
from experiments.pipeline.stages import Input, Stage
from experiments.pipeline.trainings import training_stage
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL, WEB

LABELLED_IDS, REST_IDS = "labelled.csv", "rest.csv"
FEATURES_FILE, ASSIGNMENT_FILE = "features.npz", "assignment.npz"


class Layout(datasets.SeedLayout):
    """Where things are, for one seed."""

    def records(self, split: str) -> str:
        """The clips of a split, with their flow where a teacher sees it."""
        if needs_flow(self._config):
            return self.stage("clips", f"{split}_flow")
        return self.clips(split)

    def part(self, fraction: float) -> str:
        """Which of the target's videos are labelled, and which are not."""
        return self.stage("labelled", percent(fraction))

    def teacher(self, row: Row) -> str:
        """Folder of the run of a row's teacher."""
        return self.stage("teachers", teacher_of(row))

    def features(self, row: Row) -> str:
        """Features of a row's source as its teacher sees it."""
        name = f"{row.source}_by_{teacher_of(row)}_{row.num_clips}_clips"
        return self.stage("features", name)

    def clusters(self, row: Row) -> str:
        """What `cluster_features` writes for a row."""
        return self.stage("clusters", row.name)

    def predicted(self, row: Row) -> str:
        """The web clips with the predictions of a row's teacher."""
        return self.stage("clips", f"{WEB}_by_{teacher_of(row)}")

    def labels(self, row: Row) -> str:
        """What `build_labels` writes for a row."""
        return self.stage("labels", row.name)

    def before(self, row: Row) -> str:
        """Folder of a row's run before fine-tuning; its only one if it has one."""
        phase = row.phases[0]
        return self.run(row) if phase == "scratch" else self.phase(row, phase)

    def phase(self, row: Row, phase: str) -> str:
        """Folder of the run of an earlier phase of a row."""
        return self.stage("runs", f"{row.name}_{phase}")

    def run(self, row: Row) -> str:
        """Folder of the last run of a row."""
        return self.stage("runs", row.name)

    def evaluation(self, row: Row) -> str:
        """Folder of the evaluation of a row."""
        return self.stage("evaluation", row.name)

    def retrieval(self, row: Row) -> str:
        """What `retrieve` writes for a row."""
        return self.stage("retrieval", row.name)


def percent(fraction: float) -> str:
    """A share as part of a name."""
    return f"{100 * fraction:g}".replace(".", "_")


def teacher_of(row: Row) -> str:
    """What a row's teacher and the part that it is trained on are called together."""
    return f"{row.teacher}_{percent(row.fraction)}"


def stages_of_seed(config: config_dict.ConfigDict, seed: int) -> Iterator[Stage]:
    """In the order in which they should start, if several can: teachers early."""
    layout, rows, learners = Layout(config, seed), rows_of(config), self_trained(config)
    everyone = list({row.name: row for row in (*learners, *rows)}.values())
    yield from datasets.rendering(config, seed)
    yield from datasets.conversions(config, seed, LABEL_KINDS, *used_splits(config))
    if needs_flow(config):
        for split in used_splits(config):
            yield _flow(config, layout, split)
    for fraction in {row.fraction: None for row in everyone if row.fraction < 1}:
        yield _part(layout, fraction)
    yield from _teachers(config, layout, everyone)
    for row in {layout.features(row): row for row in learners}.values():
        yield _features(config, layout, row)
    for row in learners:
        yield from _self_training(config, layout, row)
    for row in {
        teacher_of(row): row for row in rows if row.phases[0] == "pretrain"
    }.values():
        yield _prediction(config, layout, row)
    for row in rows:
        for stage in _row_stages(config, layout, row):
            yield dataclasses.replace(stage, seed=seed, row=row.name)


def _flow(config, layout: Layout, split: str) -> Stage:
    return Stage(
        layout.stage("add_flow", split),
        "add_flow",
        config.flow.to_dict(),
        {"dataset": Input("dataset", layout.clips(split))},
        layout.records(split),
        options={"processes": config.conversion_processes},
        seed=layout.seed,
    )


def _part(layout: Layout, fraction: float) -> Stage:
    return Stage(
        layout.stage("choose_labelled", percent(fraction)),
        "choose_labelled",
        {"fraction": fraction, "seed": layout.seed},
        {"dataset": Input("dataset", layout.records(TARGET_TRAIN))},
        layout.part(fraction),
        seed=layout.seed,
    )


def _labelled(layout: Layout, fraction: float) -> dict[str, Input]:
    """The labelled part of the target set, as inputs of a training."""
    target = Input("dataset", layout.records(TARGET_TRAIN))
    if fraction == 1:
        return {"train": target}
    path = f"data.sources.{LABELLED}"
    rest = Input("content", f"{layout.part(fraction)}/{REST_IDS}")
    return {f"{path}.dataset": target, f"{path}.filter.exclude_ids": rest}


def _teachers(config, layout: Layout, rows: list[Row]) -> Iterator[Stage]:
    for name, row in {teacher_of(row): row for row in rows if row.teacher}.items():
        settings = config.teachers[row.teacher].copy_and_resolve_references()
        settings.seed = layout.seed
        yield training_stage(
            layout.stage("train_teacher", name),
            on_labelled(settings, row.fraction),
            layout.teacher(row),
            layout.seed,
            **_labelled(layout, row.fraction),
        )
        yield _evaluation(
            config,
            layout,
            layout.stage("evaluate_teacher", name),
            layout.teacher(row),
            layout.stage("teacher_evaluation", name),
        )


def _features(config, layout: Layout, row: Row) -> Stage:
    return Stage(
        layout.stage("extract_features", layout.features(row).rpartition("/")[2]),
        "extract_features",
        config.features.to_dict() | {"num_clips": row.num_clips},
        {
            "checkpoint": Input("weights", layout.teacher(row)),
            "dataset": Input("dataset", layout.records(row.source)),
        },
        layout.features(row),
        seed=layout.seed,
    )


def _self_training(config, layout: Layout, row: Row) -> Iterator[Stage]:
    dataset = Input("dataset", layout.records(row.source))
    inputs = {
        "features": Input("content", f"{layout.features(row)}/{FEATURES_FILE}"),
        "dataset": dataset,
    }
    if row.without_labelled:
        labelled = f"{layout.part(row.fraction)}/{LABELLED_IDS}"
        inputs["exclude_ids"] = Input("content", labelled)
    yield Stage(
        layout.stage("cluster", row.name),
        "cluster",
        {"num_clusters": row.num_clusters, "seed": layout.seed},
        inputs,
        layout.clusters(row),
        seed=layout.seed,
    )
    path = f"data.sources.{UNLABELLED}"
    assignment = Input("content", f"{layout.clusters(row)}/{ASSIGNMENT_FILE}")
    yield training_stage(
        layout.stage("selftrain", row.name),
        recipe(config, "selftrain", row, layout.seed),
        layout.phase(row, "selftrain"),
        layout.seed,
        **{f"{path}.dataset": dataset, f"{path}.labels.path": assignment},
    )


def _prediction(config, layout: Layout, row: Row) -> Stage:
    return Stage(
        layout.stage("predict", f"{WEB}_by_{teacher_of(row)}"),
        "predict",
        config.predict.to_dict(),
        {
            "checkpoint": Input("weights", layout.teacher(row)),
            "dataset": Input("dataset", layout.records(WEB)),
        },
        layout.predicted(row),
        seed=layout.seed,
    )


def _row_stages(config, layout: Layout, row: Row) -> Iterator[Stage]:
    start = {}
    if row.phases[0] == "pretrain":
        yield from _pretraining(config, layout, row)
    if row.teacher:
        start["checkpoint"] = Input("weights", layout.before(row))
    yield training_stage(
        layout.stage(row.name, row.phases[-1]),
        recipe(config, row.phases[-1], row, layout.seed),
        layout.run(row),
        **_labelled(layout, row.fraction),
        **start,
    )
    name = layout.stage(row.name, "evaluate")
    yield _evaluation(config, layout, name, layout.run(row), layout.evaluation(row))
    if config.retrieve:
        yield Stage(
            layout.stage(row.name, "retrieve"),
            "retrieve",
            config.features.to_dict(),
            {
                "checkpoint": Input("weights", layout.before(row)),
                "queries": Input("dataset", layout.records(TARGET_VAL)),
                "gallery": Input("dataset", layout.records(TARGET_TRAIN)),
            },
            layout.retrieval(row),
        )


def _pretraining(config, layout: Layout, row: Row) -> Iterator[Stage]:
    labelled = Input("dataset", layout.predicted(row))
    yield Stage(
        layout.stage(row.name, "build_labels"),
        "build_labels",
        {"strategy": row.labels, "num_labels": None},
        {"dataset": labelled},
        layout.labels(row),
    )
    start = {}
    if row.start:
        first = parse_row(config, row.start)
        start["checkpoint"] = Input("weights", layout.before(first))
    yield training_stage(
        layout.stage(row.name, "pretrain"),
        recipe(config, "pretrain", row, layout.seed),
        layout.before(row),
        train=labelled,
        label_map=Input("label_map", f"{layout.labels(row)}/label_map"),
        **start,
    )


def _evaluation(config, layout: Layout, name: str, run: str, output: str) -> Stage:
    return Stage(
        name,
        "evaluate",
        config.evaluate.to_dict(),
        {
            "checkpoint": Input("weights", run),
            "dataset": Input("dataset", layout.records(TARGET_VAL)),
        },
        output,
        seed=layout.seed,
    )
