"""What the paper's experiments share: each recipe is written here, once.

A dataset's `pipeline.py` makes the config of the whole experiment from these parts, and
its `teacher.py`, `pretrain.py` and `finetune.py` are single trainings of the same
experiment, which read and start from what is in the pipeline's workdir,
`runs/<dataset>`. "Open" marks what the papers leave to choose.

The argument of a config is a list: a strategy, and the switches `anchor` (anchor loss
in pre-training) and `smoke` (rendered data, a tiny network, two steps), for example
`pretrain.py:spl_b,smoke`. What such a training writes goes to `spl_b_pretrain` of that
workdir: rows are named as `spl_m_1600` and `spl_b_anchor` for `spl_m:1600` and
`spl_b,anchor`. From then on go on by hand: the pipeline takes over only what it ran
itself, and would move the rest to `stale/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ml_collections import config_dict

from experiments.pipeline.config import (
    NONE,
    SPLITS,
    TARGET_TRAIN,
    TARGET_VAL,
    Row,
    default_config,
    parse_row,
    recipe,
)
from experiments.pipeline.stages import Layout
from experiments.synthetic import render, world
from spl_tf import training

IMAGENET = "imagenet"  # the papers' name of the row without pre-training
SMOKE, ANCHOR = SWITCHES = ("smoke", "anchor")
# What a pre-training can learn from; spl_m and spl_d also with a number of labels.
PRETRAININGS = (
    "weak",
    "teacher",
    "agreement",
    "data_parameters",
    "spl",
    "spl_m",
    "spl_d",
    "spl_b",
)
# Networks by those that stand for them in a smoke run, with a factor on their width.
_TINY_NETWORKS = {
    "r3d_50_g": ("r3d_tiny_g", 1.0),
    "resnet_50": ("resnet_18", 0.125),
    "resnet_18": ("resnet_18", 0.125),
}

GetConfig = Callable[[str], config_dict.ConfigDict]


def parse_argument(argument: str) -> tuple[str, frozenset[str]]:
    """Splits a config's argument into what it chooses, or "", and its switches."""
    words = [word for word in argument.split(",") if word]
    chosen = [word for word in words if word not in SWITCHES]
    if len(chosen) > 1:
        raise ValueError(
            f"the config's argument is {argument!r}, expected one choice and, after "
            f"commas, any of {', '.join(SWITCHES)}"
        )
    return "".join(chosen), frozenset(words) & frozenset(SWITCHES)


def parse_switches(argument: str) -> frozenset[str]:
    """As `parse_argument`, of a config that has nothing to choose."""
    chosen, switches = parse_argument(argument)
    if chosen:
        raise ValueError(
            f"a pipeline has all its rows and takes no {chosen!r}; choose some with "
            f"--strategies. Its argument can be {', '.join(SWITCHES)}"
        )
    return switches


def video_experiment(dataset: str) -> config_dict.ConfigDict:
    """R3D-50-G, with the recipe of Kinetics-200 (section 4.2) in all phases."""
    config = _experiment(dataset)
    config.scratch = video_recipe(epochs=60.0)
    config.scratch.init.inflate = IMAGENET
    config.finetune = video_recipe(epochs=60.0)
    config.pretrain = video_recipe(epochs=150.0)
    config.pretrain.init.inflate = IMAGENET
    # "A linear projection head" as in SimCLR and NPID. Open: its width; theirs is 128.
    config.pretrain.model.projection_dim = 128
    # Open: how the teacher looks at a 10 s clip. 4 x 16 frames at stride 4 cover it.
    config.predict.num_clips = 4
    config.evaluate.protocol = "paper"
    # Open: how many, of "roughly balanced" classes. 147K videos gave 6.7e5 clips.
    config.data.web.settings = {
        "clips_per_video": 5,
        "clip_seconds": 10.0,
        "balance_classes": True,
    }
    return config


def video_recipe(epochs: float) -> config_dict.ConfigDict:
    """16 frames at stride 4, SGD from 0.04 to 0.4 in 10 epochs, then cosine to 0.

    Open: the batch of all replicas, for which the rate holds. The paper gives 6 clips
    for what must be one replica; with 64 of them a step has 384. Another batch scales
    the rate. Open: strengths of the photometric jitter (TensorFlow's usual ones), no
    jitter of the short side, no Nesterov, dropout 0.5 (NL's).

    Args:
        epochs: After the warm-up.
    """
    config = training.default_config()
    config.schedule.length.epochs = epochs
    return config


def small_target_schedule(settings: config_dict.ConfigDict) -> None:
    """SoccerNet's fine-tuning: 0.005 for 20 epochs. Open: that it is constant."""
    settings.optimizer.learning_rate = 0.005
    settings.schedule.warmup.epochs = 0.0
    settings.schedule.length.epochs = 20.0
    settings.schedule.shape = "constant"


def transfer_experiment(
    dataset: str, source: str, switches: frozenset[str]
) -> config_dict.ConfigDict:
    """Fine-tuning on another target than the web clips were labelled for (section 4.4).

    Open: its schedule; it is SoccerNet's, the one that the paper gives for few clips.

    Args:
        dataset: The target.
        source: The experiment whose pre-trained networks are taken.
        switches: With smoke, they are those of the source's smoke run.
    """
    if ANCHOR in switches:
        raise ValueError(f"{ANCHOR!r} is for pre-training, and {dataset} has none")
    config = video_experiment(dataset)
    config.data.web = default_config().data.web  # there is none
    for phase in ("scratch", "finetune"):
        small_target_schedule(config[phase])
    runs = f"{workdir_of(source, switches)}/seed_0/runs"
    for name in ("weak", "spl_b"):
        init = {"inflate": "", "checkpoint": f"{runs}/{name}_pretrain"}
        variant = {"labels": NONE, "scratch": {"init": init}}
        config.variants[f"{name}_{source}"] = config_dict.ConfigDict(variant)
    return config


def image_experiment(dataset: str) -> config_dict.ConfigDict:
    """ResNet-50 on images, which are clips of one frame (section 4.6).

    The paper says: pre-training from random initialization, then fine-tuning on the
    clean images. Open: all of the recipe, and that the teacher starts from ImageNet.
    """
    config = _experiment(dataset)
    config.pretrain = image_recipe(256, 0.1, 1e-4, epochs=30.0)
    # 5 epochs at 1e-3 and 5 at 1e-4.
    config.finetune = image_recipe(32, 1e-3, 1e-3, epochs=10.0)
    config.finetune.schedule.update(shape="step", boundaries=(0.5,), factor=0.1)
    config.scratch = config.finetune.copy_and_resolve_references()
    config.scratch.init.inflate = IMAGENET
    for split in SPLITS:
        config.data[split].kind = "images"
    config.variants.forward_correction = _variant(
        "weak", {"name": "forward_correction", "transition": ""}
    )
    return config


def image_recipe(
    batch_size: int, learning_rate: float, weight_decay: float, epochs: float
) -> config_dict.ConfigDict:
    """ResNet-50 on random crops of 224 pixels and their mirror images, SGD, cosine.

    Args:
        batch_size: Of a step, over all replicas.
        learning_rate: At the start; there is no warm-up.
        weight_decay: Of the kernels.
        epochs: In all.
    """
    config = training.default_config()
    config.model.update(name="resnet_50", dropout=0.0)
    config.data.update(
        num_frames=1, stride=1, batch_size=0, global_batch_size=batch_size
    )
    config.augmentation.update(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    config.optimizer.update(
        learning_rate=learning_rate,
        reference_batch_size=batch_size,
        weight_decay=weight_decay,
    )
    config.schedule.warmup.epochs = 0.0
    config.schedule.length.epochs = epochs
    return config


def _experiment(dataset: str) -> config_dict.ConfigDict:
    """An experiment on what is in `data/<dataset>`, with Table 1's variants."""
    config = default_config()
    config.data.classes = f"data/{dataset}/classes.txt"
    for split, name in zip(SPLITS, ("target", "target", "web"), strict=True):
        config.data[split].manifest = f"data/{dataset}/{name}.csv"
        config.data[split].root = f"data/{dataset}/{name}"
    config.data.target_train.settings = {"split": "train"}
    config.data.target_val.settings = {"split": "test"}
    config.conversion = {"short_side": 256}
    # Open: which temperatures are learned; the default is one per clip.
    config.variants.data_parameters = _variant("weak", {"name": "data_parameters"})
    config.variants.spl_b_anchor = _variant("spl_b", {"name": "anchor"})
    return config


def _variant(labels: str, loss: dict[str, str]) -> config_dict.ConfigDict:
    return config_dict.ConfigDict({"labels": labels, "pretrain": {"loss": loss}})


def finish(
    config: config_dict.ConfigDict, switches: frozenset[str]
) -> config_dict.ConfigDict:
    """The experiment with its switches: a row with anchor loss, the size of a smoke."""
    if ANCHOR in switches:
        config.strategies += ("spl_b_anchor",)
    return shrink(config) if SMOKE in switches else config


def shrink(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The same on a small rendered world of 12 classes; images are one frame a clip."""
    config.title += " (smoke run)"
    config.world = render.default_config()
    config.world.update(
        target_clips_per_class=1,
        validation_clips_per_class=1,
        web_videos_per_class=2,
        segments_per_video=2,
        frame_size=36,
    )
    seconds = config.world.frames_per_segment / config.world.frame_rate
    config.data = default_config().data
    config.conversion = config_dict.create(
        short_side=0, num_shards=2, clips_per_video=2, clip_seconds=seconds
    )
    if config.scratch.data.num_frames == 1:
        config.conversion.fps = 1 / seconds
    config.conversion_processes = 1
    config.max_skipped_fraction = 0.5  # of so few videos, some are damaged
    for phase in ("scratch", "pretrain", "finetune"):
        _shrink_recipe(config[phase])
    if config.evaluate.exclude_classes:
        names = world.class_names(config.world.motions)
        config.evaluate.exclude_classes = tuple(names[:1])
    config.evaluate.batch_size = config.predict.batch_size = 8
    config.curve = ()
    return config


def _shrink_recipe(settings: config_dict.ConfigDict) -> None:
    name, width = _TINY_NETWORKS[settings.model.name]
    settings.model.update(
        name=name, width=width, projection_dim=min(settings.model.projection_dim, 8)
    )
    settings.data.update(
        num_frames=min(settings.data.num_frames, 4),
        stride=min(settings.data.stride, 2),
        crop_size=32,  # the least that ResNets take
        batch_size=8,
        global_batch_size=0,
    )
    settings.optimizer.reference_batch_size = 8
    warm_up = int(settings.schedule.warmup.epochs > 0)
    settings.schedule.warmup.update(epochs=0.0, steps=warm_up)
    settings.schedule.length.update(epochs=0.0, steps=2 - warm_up)
    settings.init.inflate = ""
    settings.runtime.update(
        steps_per_call=1, log_every_steps=1, checkpoint_every_steps=2
    )


def teacher(
    dataset: str, get_experiment: GetConfig, argument: str = ""
) -> config_dict.ConfigDict:
    """The training of the teacher, which is the row without pre-training.

    Args:
        dataset: Names the workdir of the experiment, `runs/<dataset>`.
        get_experiment: The `get_config` of its `pipeline.py`.
        argument: "", "imagenet" or "smoke".
    """
    chosen, switches = parse_argument(argument)
    if chosen not in ("", IMAGENET, NONE) or ANCHOR in switches:
        raise ValueError(
            f"the argument is {argument!r}, and the teacher has only smoke"
        )
    place = _open(dataset, get_experiment, switches)
    settings = recipe(place.config, "scratch", Row(NONE, NONE), seed=0)
    return _on_target(place, settings)


def pretrain(
    dataset: str, get_experiment: GetConfig, argument: str
) -> config_dict.ConfigDict:
    """A pre-training on the web clips; see `teacher`.

    Args:
        dataset: See `teacher`, as the next one.
        get_experiment: See there.
        argument: A strategy, and switches.

    Raises:
        ValueError: There is no such strategy, or it has no pre-training.
    """
    chosen, switches = parse_argument(argument)
    if chosen in ("", IMAGENET, NONE):
        raise ValueError(
            f"the argument is {argument!r}; name the labels to pre-train on, such as "
            f"pretrain.py:spl_b, of {', '.join(PRETRAININGS)}. {IMAGENET!r} has no "
            "pre-training: it is what teacher.py trains"
        )
    place = _open(dataset, get_experiment, switches)
    row = _row(place.config, chosen, switches)
    settings = recipe(place.config, "pretrain", row, seed=0)
    settings.data.train = place.of(place.layout.labelled)
    # Rows that differ in something else than labels share them.
    labels = row.labels + (f":{row.num_labels}" if row.num_labels else "")
    labels = place.layout.labels(parse_row(place.config, labels))
    settings.data.label_map = place.of(f"{labels}/label_map")
    return settings


def finetune(
    dataset: str, get_experiment: GetConfig, argument: str
) -> config_dict.ConfigDict:
    """A fine-tuning on the target clips, from the pre-training of the same argument.

    Args:
        dataset: See `teacher`, as the next one.
        get_experiment: See there.
        argument: As of `pretrain`; "imagenet" is the teacher's training.

    Raises:
        ValueError: There is no such strategy.
    """
    chosen, switches = parse_argument(argument)
    if chosen in (IMAGENET, NONE):
        return teacher(dataset, get_experiment, argument)
    place = _open(dataset, get_experiment, switches)
    row = _row(place.config, chosen, switches)
    settings = recipe(place.config, "finetune", row, seed=0)
    settings.init.checkpoint = place.of(place.layout.pretrain(row))
    return _on_target(place, settings)


@dataclasses.dataclass(frozen=True)
class _Place:
    """An experiment and its workdir."""

    config: config_dict.ConfigDict
    layout: Layout
    workdir: str

    def of(self, path: str) -> str:
        """A path that the layout gives, from the folder of the command."""
        return f"{self.workdir}/{path}"


def workdir_of(dataset: str, switches: frozenset[str] = frozenset()) -> str:
    """Where the pipeline of a dataset works, by the commands of its docstring."""
    return f"runs/{dataset}" + (f"_{SMOKE}" if SMOKE in switches else "")


def _open(dataset: str, get_experiment: GetConfig, switches: frozenset[str]) -> _Place:
    config = get_experiment(SMOKE if SMOKE in switches else "")
    return _Place(config, Layout(config, seed=0), workdir_of(dataset, switches))


def _row(config: config_dict.ConfigDict, chosen: str, switches: frozenset[str]) -> Row:
    row = parse_row(config, chosen)
    if ANCHOR not in switches:
        return row
    if row.changes:
        raise ValueError(f"{chosen!r} has a loss of its own; it takes no {ANCHOR!r}")
    changes = {"pretrain": {"loss": {"name": "anchor"}}}
    return dataclasses.replace(row, name=f"{chosen}_{ANCHOR}", changes=changes)


def _on_target(
    place: _Place, settings: config_dict.ConfigDict
) -> config_dict.ConfigDict:
    settings.data.train = place.of(place.layout.clips(TARGET_TRAIN))
    settings.data.validation = place.of(place.layout.clips(TARGET_VAL))
    return settings
