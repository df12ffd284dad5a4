"""What the page shows, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spl_tf.analysis.report.sprites import Sprite
from spl_tf.labels import ConfusionMatrix, LabelMap
from spl_tf.metrics import EvaluationConfusion


@dataclasses.dataclass(frozen=True)
class Row:
    """One strategy under one seed; None is what was not measured.

    Attributes:
        strategy: Name of the strategy, "none" for no pre-training.
        seed: The seed that the run had.
        labels: Size of the label space of pre-training.
        clips: Number of web clips that pre-training used.
        kept: Share of all web clips that these are.
        cover: Sample cover ratio of the label map, in [0, 1].
        top_1: Top-1 accuracy of the fine-tuned model, in [0, 1].
        top_5: Top-5 accuracy of the fine-tuned model, in [0, 1].
        mAP: Mean average precision, in [0, 1], over the classes that the evaluation
            counts.
        probe_top_1: Top-1 accuracy, in [0, 1], of a linear classifier on the features
            before fine-tuning.
        seconds: Seconds that each stage took, by name.
    """

    strategy: str
    seed: int
    labels: int | None = None
    clips: int | None = None
    kept: float | None = None
    cover: float | None = None
    top_1: float | None = None
    top_5: float | None = None
    mAP: float | None = None  # noqa: N815, as results.json has it
    probe_top_1: float | None = None
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ClipLabels:
    """Where a clip comes from and how sure the teacher is.

    Attributes:
        clip_id: The clip's `example/id`.
        confidence: Probability of the teacher's first choice; None if not recorded.
    """

    clip_id: str
    confidence: float | None


@dataclasses.dataclass(frozen=True)
class CellPictures:
    """Some clips of one cell of the confusion matrix.

    Attributes:
        weak: Row of the cell, the weak label's index.
        teacher: Column of the cell, the index of the teacher's choice.
        sprite: A row of frames per clip.
        clips: What is said of the clip in each row of the sprite.
    """

    weak: int
    teacher: int
    sprite: Sprite
    clips: Sequence[ClipLabels]


@dataclasses.dataclass(frozen=True)
class WebClips:
    """The web clips of one seed as the label maps see them.

    Attributes:
        seed: The seed that the clips are of.
        confusion: Weak label x teacher's first choice.
        label_maps: Label maps by strategy, in the order of the report.
        pictures: Cells of which clips can be shown.
    """

    seed: int
    confusion: ConfusionMatrix
    label_maps: Mapping[str, LabelMap]
    pictures: Sequence[CellPictures] = ()


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """What a training run logged.

    Attributes:
        strategy: The strategy's name, as in the config.
        seed: The seed that the run had.
        phase: What was trained: "pretrain" or "finetune".
        steps: int64 [n], the steps that were logged.
        loss: float64 [n], means over the log intervals that end at `steps`.
    """

    strategy: str
    seed: int
    phase: str
    steps: np.ndarray
    loss: np.ndarray


@dataclasses.dataclass(frozen=True)
class Counts:
    """How one strategy's models classified the validation clips, all seeds together.

    Attributes:
        strategy: The strategy's name, as in the config.
        confusion: Numbers of clips by label and prediction.
        seeds: How many seeds were added up.
    """

    strategy: str
    confusion: EvaluationConfusion
    seeds: int


@dataclasses.dataclass(frozen=True)
class HeatStrip:
    """Where a pre-trained model looks in one clip.

    Attributes:
        strategy: The strategy that the model was pre-trained with.
        label: Name of the label that is explained.
        weak: Name of the clip's weak label.
        teacher: Name of the teacher's first choice.
        probability: Probability that the model gives the label.
        clip_id: The clip's `example/id`.
        picture: WebP, a row of frames above the same frames with heat.
        size: (width, height) of the picture in pixels.
    """

    strategy: str
    label: str
    weak: str
    teacher: str
    probability: float
    clip_id: str
    picture: bytes
    size: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """How a dataset was made.

    Attributes:
        role: What it is for, for example "web clips".
        path: Path of its folder, as the page shows it.
        label_kind: What its labels are: "weak" or "clean".
        clips: Number of clips.
        classes: Number of class names.
        num_bytes: Size of all records, without framing.
        source: The tool that made it, and its settings.
        skipped: What was left out, as `DatasetInfo.skipped`.
    """

    role: str
    path: str
    label_kind: str
    clips: int
    classes: int
    num_bytes: int
    source: Mapping[str, Any]
    skipped: Sequence[Mapping[str, str]]


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of the pipeline.

    Attributes:
        name: Name of the stage, for example "seed_0/convert_web".
        seconds: Seconds that its work took; None if it never ran.
        state: "done", "skipped" (what an earlier run left is up to date), "failed" or
            "not run".
        reason: Why it ran, did not run, or failed.
        log: Path of its log, relative to the workdir; "" without.
    """

    name: str
    seconds: float | None
    state: str
    reason: str = ""
    log: str = ""


@dataclasses.dataclass(frozen=True)
class ReportContent:
    """Everything on the page.

    Attributes:
        title: What the page is headed with.
        description: What the experiment is, in words.
        strategies: Names of the strategies, in the order of the table.
        rows: Results, one per strategy and seed.
        curve: Rows of strategies with other numbers of labels (Figure 4).
        paper: `{"source": ..., "rows": {strategy: {"top_1": ..., ...}}}`, or None.
        noise_ratios: Noise ratio of the web clips, in [0, 1], by seed.
        web: The web clips of the first seed that has them.
        learning: Learning curves of all runs.
        counts: Confusion of each strategy with predictions, in order.
        heat: Pictures of where a model looks, in some clips.
        datasets: How each dataset of the first seed was made.
        stages: Stages in the order in which they ran.
        configs: Configs by title, as JSON can hold them.
        versions: Version by package, and the source's revision.
        missing: By section ("web", "learning", "counts", "heat", "datasets"): what is
            not there and why.
        built: When the page was built, as text in UTC.
    """

    title: str
    description: str
    strategies: Sequence[str]
    rows: Sequence[Row]
    curve: Sequence[Row] = ()
    paper: Mapping[str, Any] | None = None
    noise_ratios: Mapping[int, float] = dataclasses.field(default_factory=dict)
    web: WebClips | None = None
    learning: Sequence[LearningCurve] = ()
    counts: Sequence[Counts] = ()
    heat: Sequence[HeatStrip] = ()
    datasets: Sequence[DatasetFacts] = ()
    stages: Sequence[Stage] = ()
    configs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    missing: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    built: str = ""
