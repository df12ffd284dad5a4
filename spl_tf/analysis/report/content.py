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
        strategy: Its name, "none" for no pre-training.
        seed: The seed that the run had.
        labels: Size of the label space of pre-training.
        clips: Web clips that pre-training used.
        kept: Their share of all web clips.
        cover: Sample cover ratio.
        top_1: Of the fine-tuned model, in [0, 1], as the next three.
        top_5: See `top_1`.
        mAP: Mean average precision over the classes that the evaluation counts.
        probe_top_1: Of a linear classifier on the features before fine-tuning.
        seconds: Time of each stage by name.
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
        weak: Row of the cell.
        teacher: Column of the cell.
        sprite: A row of frames per clip.
        clips: One per row of the sprite.
    """

    weak: int
    teacher: int
    sprite: Sprite
    clips: Sequence[ClipLabels]


@dataclasses.dataclass(frozen=True)
class WebClips:
    """The web clips of one seed as the label maps see them.

    Attributes:
        seed: Which one.
        confusion: Weak label x teacher's first choice.
        label_maps: By strategy, in the order of the report.
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
        phase: "pretrain" or "finetune".
        steps: int64 [n].
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
        confusion: Label x prediction.
        seeds: How many seeds were added up.
    """

    strategy: str
    confusion: EvaluationConfusion
    seeds: int


@dataclasses.dataclass(frozen=True)
class HeatStrip:
    """Where a pre-trained model looks in one clip.

    Attributes:
        strategy: Whose model.
        label: The label that is explained.
        weak: The clip's weak label.
        teacher: The teacher's first choice.
        probability: That the model gives the label.
        clip_id: The clip.
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
        path: Where it is.
        label_kind: "weak" or "clean".
        clips: In it.
        classes: Number of class names.
        num_bytes: Size of all records, without framing.
        source: The tool and its settings.
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
        name: For example "seed_0/convert_web".
        seconds: None if it never ran.
        state: "done", "skipped" (what an earlier run left is up to date), "failed" or
            "not run".
        reason: Why.
        log: Its log, relative to the workdir; "" without.
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
        description: In words.
        strategies: In order.
        rows: Per strategy and seed.
        curve: Rows of strategies with other numbers of labels (Figure 4).
        paper: `{"source": ..., "rows": {strategy: {"top_1": ..., ...}}}`, or None.
        noise_ratios: By seed.
        web: The web clips of the first seed that has them.
        learning: Curves of all runs.
        counts: Per strategy with predictions, in order.
        heat: Strips of some clips.
        datasets: Of the first seed.
        stages: In the order in which they ran.
        configs: By title, as JSON can hold them.
        versions: Version by package, and the source's revision.
        missing: By section ("web", "learning", "counts", "heat", "datasets"): what is
            not there and why.
        built: When the page was built.
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
