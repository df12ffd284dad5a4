"""What the experiments on a user's own files share: data, teachers, size of a smoke.

A dataset is a folder of `data/`: `classes.txt`; `target.csv` with the splits train and
val; a manifest per kind of web data; and the files, in folders of the manifests' names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import config_dict

from experiments.omnisource.config import SOURCES, default_config
from experiments.omnisource.configs import recipes
from experiments.spl.configs.smoke import shrink_recipe
from experiments.synthetic import render
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL
from spl_tf.models import IMAGENET
from spl_tf.training.config import SNIPPETS

SMOKE = "smoke"
IMAGE_TEACHER, VIDEO_TEACHER = "image_teacher", "video_teacher"


def parse_argument(argument: str, known: Sequence[str]) -> tuple[str, bool]:
    """Splits a config's argument into what it chooses and whether it is a smoke run.

    Args:
        argument: Such as "", "tsn", "smoke" or "tsn,smoke".
        known: What can be chosen; the first is the default.

    Raises:
        ValueError: The argument names something else.
    """
    words = [word for word in argument.split(",") if word]
    chosen = [word for word in words if word != SMOKE]
    if len(chosen) > 1 or not set(chosen) <= set(known):
        raise ValueError(
            f"the config's argument is {argument!r}, expected one of "
            f"{', '.join(known)}, and after a comma perhaps {SMOKE}"
        )
    return (chosen or known[:1])[0], SMOKE in words


def experiment(
    dataset: str,
    title: str,
    images: Sequence[str] = (),
    short: Sequence[str] = (),
    untrimmed: Sequence[str] = (),
) -> config_dict.ConfigDict:
    """An experiment on the files in `data/<dataset>`, with teachers, without a recipe.

    The teachers are those of the release: TSN with 8 segments for images, SlowOnly-8x8
    for videos.

    Args:
        dataset: Name of a folder of `data/`.
        title: Heading of the report.
        images: Names of the kinds of web images.
        short: Names of the kinds of short web videos, each a clip.
        untrimmed: Names of the kinds of web videos that are cut into clips of 10
            seconds.
    """
    config = default_config(*images, *short, *untrimmed)
    config.title = title
    config.data.classes = f"data/{dataset}/classes.txt"
    for split in (TARGET_TRAIN, TARGET_VAL, *config.sources):
        name = "target" if split in (TARGET_TRAIN, TARGET_VAL) else split
        config.data[split].manifest = f"data/{dataset}/{name}.csv"
        config.data[split].root = f"data/{dataset}/{name}"
    config.data[TARGET_TRAIN].settings = {"split": "train"}
    config.data[TARGET_VAL].settings = {"split": "val"}
    config.conversion = {"short_side": 256}
    config.teachers[IMAGE_TEACHER] = recipes.tsn(8)
    config.teachers[VIDEO_TEACHER] = recipes.slow_only(8, 8, pretrained=True)
    for name in config.sources:
        teacher = IMAGE_TEACHER if name in images else VIDEO_TEACHER
        config.sources[name].teacher = teacher
    for name in images:
        config.data[name].kind = "images"
        # The paper's best; the release has only "still".
        config.sources[name].clips.kind = "perspective"
    for name in untrimmed:
        config.data[name].settings = {"sampling": "tiles", "clip_seconds": 10.0}
        config.sources[name].one_per_video = True
    for name in (*images, *short):
        # As released; the paper's best is 0.2.
        config.sources[name].resampling.power = 0.5
    config.duplicates.checkpoint = IMAGENET
    return config


def _for_2d(config: config_dict.ConfigDict) -> None:
    """Changes sources for a network that sees single frames.

    Images stay still: frames of a segment each do not move as those at a stride.
    Untrimmed videos are kept whole, at one frame a second, and give one frame in which
    a 2D teacher sees the class and others in which it does not (section 3.5).
    """
    for name, source in config.sources.items():
        if config.data[name].kind == "images":
            source.clips.kind = "still"
        elif source.one_per_video:
            config.data[name].settings = {"fps": 1.0}
            source.one_per_video = False
            source.teacher = IMAGE_TEACHER
            source.clips.kind = SNIPPETS
            # A whole video is often about something else: its positive frames decide.
            source.filter.agreement = False
            source.labels.kind = "record"


def paper(
    source: str, rows: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, float]]:
    """`config.paper`: where numbers are from, and top-1, perhaps top-5, by row."""
    names = ("top_1", "top_5")
    rows = {row: dict(zip(names, found, strict=False)) for row, found in rows.items()}
    return {"source": source, "rows": rows}


def finish(config: config_dict.ConfigDict, is_smoke: bool) -> config_dict.ConfigDict:
    """Adds how rows are tested, and what their network asks of the sources.

    SlowOnly is tested on 10 runs of frames of 3 crops; TSN on 25 frames of 10 crops.
    """
    if config.train.data.sampling == "segments":
        _for_2d(config)
        config.evaluate.update(num_clips=1, num_crops=10, num_frames=25)
    else:
        config.evaluate.update(num_clips=10, num_crops=3, crop_size=256)
    return _shrunk(config) if is_smoke else config


def move(config: config_dict.ConfigDict, former: str, dataset: str) -> None:
    """Changes the folder of `data/` that an experiment reads."""
    for settings in (config.data, *config.data.values()):
        if isinstance(settings, str):
            continue
        for key in ("classes", "manifest", "root"):
            if key in settings:
                path = settings[key].replace(f"data/{former}", f"data/{dataset}")
                settings[key] = path


def _shrunk(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The same on a small rendered world, with tiny networks and two steps each."""
    small = default_config()
    small.title = f"{config.title} (smoke run)"
    small.world = render.world_config("omni")
    small.world.update(
        target_clips_per_class=1,
        validation_clips_per_class=1,
        web_images_per_class=2,
        web_short_per_class=2,
        web_untrimmed_per_class=2,
        segments_per_video=2,
        copy_share=0.0,
    )
    # By kind; the world has one source of each.
    names = {name: _rendered(config, name) for name in config.sources}
    for name, rendered in names.items():
        small.sources[rendered] = config.sources[name]
        # So few steps teach nothing, and of what they say nothing would be left.
        small.sources[rendered].filter.agreement = False
        small.sources[rendered].labels.kind = "record"
        small.sources[rendered].share = 1.0  # of so few clips, parts are not whole
    small.rows = config_dict.ConfigDict(
        {name: _renamed(row.to_dict(), names) for name, row in config.rows.items()}
    )
    small.strategies = config.strategies
    small.data[SOURCES[0]].kind = "images"
    seconds = small.world.frames_per_segment / small.world.frame_rate
    tiles = {"sampling": "tiles", "clip_seconds": seconds}
    small.data[SOURCES[2]].settings = tiles
    small.conversion = {"short_side": 0, "num_shards": 2}
    small.conversion_processes = 1
    small.max_skipped_fraction = 0.5  # of so few videos, some are damaged
    small.train, small.teachers = config.train, config.teachers
    for settings in (small.train, *small.teachers.values()):
        if not isinstance(settings, str):
            shrink_recipe(settings)
    small.camera_motion.update(num_frames=4, max_clips=0)
    small.evaluate = config.evaluate
    small.evaluate.crop_size = None
    small.evaluate.batch_size = small.predict.batch_size = 8
    return small


def _rendered(config, name: str) -> str:
    if config.data[name].kind == "images":
        return SOURCES[0]
    source = config.sources[name]
    return SOURCES[1 + (source.one_per_video or source.clips.kind == SNIPPETS)]


def _renamed(row: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A row with other names of its sources."""
    changes = row.get("changes", {})
    return row | {
        "sources": tuple(dict.fromkeys(names[name] for name in row.get("sources", ()))),
        "changes": {names.get(name, name): changes[name] for name in changes},
    }
