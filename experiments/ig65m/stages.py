"""The stages of a config: what each is told, reads and writes, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ml_collections import config_dict

from experiments.ig65m.config import (
    LABEL_KINDS,
    POSTS,
    Row,
    Space,
    Subset,
    chosen_subsets,
    parse_space,
    parse_subset,
    recipe,
    rows_of,
    subsets_of,
    views,
)
from experiments.pipeline import datasets
from experiments.pipeline.stages import Input, Stage
from experiments.pipeline.trainings import training_stage
from experiments.synthetic.render import POSTS_FILE, TARGET_TRAIN, TARGET_VAL
from spl_tf.files import absolute_path
from spl_tf.runs.checkpoints import WEIGHTS

QUERIES_FILE, MANIFEST_FILE, CLASSES_FILE = (
    "hashtags.csv",
    "manifest.csv",
    "classes.txt",
)


class Layout(datasets.SeedLayout):
    """Where things are, for one seed."""

    def of_data(self, *parts: str) -> str:
        """As `stage`, of what all seeds share if the world is not rendered."""
        return self.stage(*parts) if self.world else "/".join(parts)

    @property
    def data_seed(self) -> int | None:
        """The seed that data belongs to; None if all seeds share it."""
        return self.seed if self.world else None

    def hashtags(self, space: Space) -> str:
        """The hashtags of a label space."""
        return self.of_data("hashtags", space.name)

    def labelled(self, space: Space) -> str:
        """The posts with their labels of a space."""
        return self.of_data("spaces", space.name)

    def listed(self, subset: Subset) -> tuple[str, str]:
        """Manifest and classes of a subset."""
        folder = self.of_data("subsets", subset.name)
        if subset.is_whole:
            return self.listed_space(parse_space(self._config, subset.space))
        return f"{folder}/{MANIFEST_FILE}", f"{folder}/{CLASSES_FILE}"

    def listed_space(self, space: Space) -> tuple[str, str]:
        """Manifest and classes of all videos of a space."""
        if space.manifest:
            return self.file(space.manifest), self.file(space.classes)
        folder = self.labelled(space)
        return f"{folder}/{MANIFEST_FILE}", f"{folder}/{CLASSES_FILE}"

    def file(self, path: str) -> str:
        """A file that the config names: of the world, or of the user."""
        return f"{self.world}/{path}" if self.world else absolute_path(path)

    def videos(self, subset: Subset) -> str:
        """The clips of a subset."""
        return self.of_data("clips", f"{POSTS}_{subset.name}")

    def pretrained(self, row: Row) -> str:
        """Folder of the run of a row's pre-training."""
        return self.stage("runs", f"{row.name}_pretrain")

    def run(self, row: Row) -> str:
        """Folder of the last run of a row, of a search the one of its winner."""
        return f"{self.last(row)}/winner" if self.tunes(row) else self.last(row)

    def last(self, row: Row) -> str:
        """Folder of the last training of a row."""
        return self.stage("runs", row.name)

    def tunes(self, row: Row) -> bool:
        """Whether a learning rate is searched for; a row from scratch has its own."""
        return bool(row.subset and self._config.tuning.learning_rates)

    def evaluation(self, row: Row, kind: str) -> str:
        """Folder of an evaluation of a row, "finetuned" or "linear"."""
        return self.stage("evaluation", f"{row.name}_{kind}")


def stages_of_seed(config: config_dict.ConfigDict, seed: int) -> Iterator[Stage]:
    """In the order in which they should start, if several can."""
    layout, rows = Layout(config, seed), rows_of(config)
    yield from datasets.rendering(config, seed)
    yield from datasets.conversions(config, seed, LABEL_KINDS, *LABEL_KINDS)
    for name in dict.fromkeys(subset.space for subset in chosen_subsets(config)):
        space = parse_space(config, name)
        if not space.manifest:
            yield from _space_stages(config, layout, space)
    for subset in chosen_subsets(config):
        if not subset.is_whole:
            yield _choice(config, layout, subset)
    for subset in subsets_of(config):
        yield _conversion(config, layout, subset)
    for row in rows:
        for stage in _row_stages(config, layout, row):
            yield dataclasses.replace(stage, seed=seed, row=row.name)


def _space_stages(config, layout: Layout, space: Space) -> Iterator[Stage]:
    posts = [POSTS_FILE] if layout.world else config.posts.files
    posts = {  # which may have lines that are no text
        f"posts{number}": Input("content", layout.file(path))
        for number, path in enumerate(posts)
    }
    words = {
        key: Input("file", layout.file(getattr(space, key)))
        for key in ("classes", "verbs", "nouns")
        if getattr(space, key)
    }
    yield Stage(
        layout.of_data("make_queries", space.name),
        "make_queries",
        {"languages": tuple(config.posts.languages)},
        words | (posts if space.verbs else {}) | _world(layout),
        layout.hashtags(space),
        seed=layout.data_seed,
    )
    root = "" if layout.world else absolute_path(config.posts.root)
    queries = Input("content", f"{layout.hashtags(space)}/{QUERIES_FILE}")
    yield Stage(
        layout.of_data("make_manifest", space.name),
        "make_manifest",
        {"min_videos": config.posts.min_videos, "root": root},
        {"queries": queries} | posts | _world(layout),
        layout.labelled(space),
        seed=layout.data_seed,
    )


def _world(layout: Layout) -> dict[str, Input]:
    """The rendered world as an input: files do not tell how videos were drawn."""
    return {"root": Input("stage", layout.world)} if layout.world else {}


def _choice(config, layout: Layout, subset: Subset) -> Stage:
    space = parse_space(config, subset.space)
    manifest, classes = layout.listed_space(space)
    inputs = {"manifest": Input("file", manifest), "classes": Input("file", classes)}
    if subset.like:
        other, _ = layout.listed(parse_subset(config, subset.like))
        inputs["like"] = Input("file", other)
    return Stage(
        layout.of_data("make_subset", subset.name),
        "make_subset",
        {**subset.settings, "seed": layout.data_seed or 0},
        inputs,
        layout.of_data("subsets", subset.name),
        seed=layout.data_seed,
    )


def _conversion(config, layout: Layout, subset: Subset) -> Stage:
    space = parse_space(config, subset.space)
    manifest, classes = layout.listed(subset)
    root = config.posts.root
    if space.manifest:
        root = space.root or layout.file(space.manifest).rpartition("/")[0]
    own = config.posts.settings.to_dict() | {"seed": layout.data_seed or 0}
    return Stage(
        layout.of_data("convert", subset.name),
        "convert",
        {
            "kind": "videos",
            "root": "" if layout.world else absolute_path(root),
            "settings": datasets.settings_of(config, "videos", own, "weak"),
        },
        {"manifest": Input("file", manifest), "classes": Input("file", classes)}
        | _world(layout),
        layout.videos(subset),
        options={
            "processes": config.conversion_processes,
            "max_skipped_fraction": config.max_skipped_fraction,
        },
        seed=layout.data_seed,
    )


def _row_stages(config, layout: Layout, row: Row) -> Iterator[Stage]:
    start = {}
    if row.subset:
        videos = layout.videos(parse_subset(config, row.subset))
        yield training_stage(
            layout.stage(row.name, "pretrain"),
            recipe(config, "pretrain", row, layout.seed),
            layout.pretrained(row),
            **{f"data.sources.{POSTS}.dataset": Input("dataset", videos)},
        )
        start["checkpoint"] = Input("weights", layout.pretrained(row))
        if config.linear.run:
            yield _evaluation(config, layout, row, "linear")
        if row.inflate:
            weights = f"{layout.pretrained(row)}/{WEIGHTS}"
            start = {"init.inflate": Input("content", weights)}
    settings = recipe(config, row.phases[-1], row, layout.seed)
    key = next((f"data.sources.{name}.dataset" for name in settings.data.sources), "")
    stage = training_stage(
        layout.stage(row.name, row.phases[-1]),
        settings,
        layout.last(row),
        **{key or "train": Input("dataset", layout.clips(TARGET_TRAIN))},
        **start,
    )
    if layout.tunes(row):
        tuned = {**stage.settings, "tuning": config.tuning.to_dict()}
        stage = dataclasses.replace(stage, action="tune", settings=tuned)
    yield stage
    yield _evaluation(config, layout, row, "finetuned")


def _evaluation(config, layout: Layout, row: Row, kind: str) -> Stage:
    settings, run = views(config), layout.run(row)
    inputs = {"dataset": Input("dataset", layout.clips(TARGET_VAL))}
    if kind == "linear":
        run = layout.pretrained(row)
        settings |= {
            "protocol": kind,
            "strength": config.linear.strength or None,
            "fully_convolutional": False,
        }
        inputs["train_dataset"] = Input("dataset", layout.clips(TARGET_TRAIN))
    return Stage(
        layout.stage(row.name, f"evaluate_{kind}"),
        "evaluate",
        settings,
        {"checkpoint": Input("weights", run)} | inputs,
        layout.evaluation(row, kind),
    )
