"""The images and videos of a rendered world: which there are, and the file of each."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from experiments.synthetic import (
    encoding,
    hashtags,
    manifests,
    omni,
    settings,
    world,
)
from experiments.synthetic.manifests import (
    POSTS,
    TARGET_TRAIN,
    TARGET_VAL,
    WEB,
    WEB_IMAGES,
    WEB_SHORT,
    WEB_UNTRIMMED,
)
from spl_tf.files import replacing

# Of the random streams that decide about files, and about what is copied, apart from
# that of what is drawn.
_FILE_STREAM, _COPY_STREAM = (1,), (2,)
# How many there are per class, by split.
_COUNTS = {
    TARGET_TRAIN: "target_clips_per_class",
    TARGET_VAL: "validation_clips_per_class",
    WEB: "web_videos_per_class",
    WEB_IMAGES: "web_images_per_class",
    WEB_SHORT: "web_short_per_class",
    WEB_UNTRIMMED: "web_untrimmed_per_class",
}


@dataclasses.dataclass(frozen=True)
class Job:
    """One video or image to render.

    Attributes:
        split: One of `manifests.splits_of`.
        index: Position in the split; part of the seed.
        label: Class of a target clip; class of the query that found what is of the web;
            pair that a post's hashtags are about.
        segments: How many it has.
    """

    split: str
    index: int
    label: int
    segments: int = 1


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """What a video or image shows.

    Attributes:
        class_index: What it is really about.
        kinds: What each segment shows, of `world.SEGMENT_KINDS`.
        frames: uint8 [T, H, W, 3], of all segments.
        copies: See `manifests.RenderedVideo`.
    """

    class_index: int
    kinds: tuple[str, ...]
    frames: np.ndarray
    copies: Mapping[int, str] = dataclasses.field(default_factory=dict)


def plan(config: Mapping[str, Any]) -> list[Job]:
    """Lists all videos and images, split by split; classes take turns within each."""
    num_classes = len(world.class_names(config["motions"]))
    jobs = [
        Job(split, index, index % num_classes, _segments_of(split, config))
        for split in manifests.splits_of(config)
        if split != POSTS
        for index in range(config[_COUNTS[split]] * num_classes)
    ]
    if settings.has_posts(config):
        about, lengths = hashtags.topics(config), hashtags.lengths(config)
        of_posts = zip(about.tolist(), lengths.tolist(), strict=True)
        jobs += [Job(POSTS, index, *found) for index, found in enumerate(of_posts)]
    return jobs


def clips_of_splits(config: Mapping[str, Any]) -> dict[str, int]:
    """How many clips a conversion of each split gives, one for each segment."""
    found = dict.fromkeys(manifests.splits_of(config), 0)
    for job in plan(config):
        found[job.split] += job.segments
    return found


def folder_of(split: str) -> str:
    """Where the files of a split are, relative to the world's folder."""
    return f"{'images' if split == WEB_IMAGES else 'videos'}/{split}"


def render_file(
    job: Job, config: Mapping[str, Any], output_dir: pathlib.Path
) -> manifests.RenderedVideo:
    """Draws, encodes and perhaps damages one video or image, and writes its file."""
    config = ml_collections.ConfigDict(config)
    drawn = _draw(job, config)
    codec, how = encoding.DEFAULT_CODEC, ""
    rng = _generator(job, config, _FILE_STREAM)
    if job.split in (WEB, POSTS):
        codec = _choose(config.codec_shares, rng) or codec
        how = _choose(config.damage_shares, rng)
    if job.split == WEB_IMAGES:
        codec = encoding.JPEG
        content = encoding.encode_image(drawn.frames[0], config.jpeg_quality)
    else:
        content = encoding.encode_video(drawn.frames, config, codec)
    if how:
        content = encoding.damage(content, how, rng)
    path = _path_of(job, codec)
    with replacing(output_dir / path) as temporary:
        temporary.write_bytes(content)
    return manifests.RenderedVideo(
        split=job.split,
        path=path,
        label=job.label,
        class_index=drawn.class_index,
        kinds=drawn.kinds,
        codec=codec,
        damage=how,
        num_bytes=len(content),
        num_frames=len(drawn.frames),
        copies=drawn.copies,
    )


def _segments_of(split: str, config: Mapping[str, Any]) -> int:
    return config["segments_per_video"] if split in (WEB, WEB_UNTRIMMED) else 1


def _path_of(job: Job, codec: str) -> str:
    suffix = encoding.suffix_of(codec)
    return f"{folder_of(job.split)}/{job.split}_{job.index:06d}{suffix}"


def _generator(
    job: Job, config: Mapping[str, Any], stream: tuple[int, ...] = ()
) -> np.random.Generator:
    """A source of randomness that depends on the world's seed and this file alone."""
    seed = [config["seed"], manifests.splits_of(config).index(job.split), job.index]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def _draw(job: Job, config: ml_collections.ConfigDict) -> _Drawn:
    rng = _generator(job, config)
    class_index, kinds = _about(job, config, rng)
    if settings.is_omni(config):
        return _draw_omni(job, config, rng, class_index, kinds)
    if job.split == POSTS:
        config.motions = world.ALL_MOTIONS
    look = world.draw_look(rng, config.frame_size, config.nuisance)
    segments = [
        world.draw_segment(rng, look, class_index, kind, config) for kind in kinds
    ]
    return _Drawn(class_index, kinds, np.concatenate(segments))


def _about(
    job: Job, config: ml_collections.ConfigDict, rng: np.random.Generator
) -> tuple[int, tuple[str, ...]]:
    """Returns what a file is really about, and what its segments show."""
    class_index = job.label
    if job.split in manifests.TARGET_SPLITS:
        return class_index, (world.ACTION,)
    if rng.random() < config.query_error:
        motions = world.ALL_MOTIONS if job.split == POSTS else config.motions
        num_classes = len(world.class_names(motions))
        class_index = (job.label + int(rng.integers(1, num_classes))) % num_classes
    shares = np.array([*settings.segment_shares(config, class_index).values()])
    drawn = rng.choice(len(shares), size=job.segments, p=shares / shares.sum())
    kinds = [world.SEGMENT_KINDS[kind] for kind in drawn]
    if job.split == POSTS:  # somewhere, it shows what it is about
        kinds[rng.integers(len(kinds))] = world.ACTION
    return class_index, tuple(kinds)


def _draw_omni(
    job: Job,
    config: ml_collections.ConfigDict,
    rng: np.random.Generator,
    class_index: int,
    kinds: tuple[str, ...],
) -> _Drawn:
    source = _copied(job, config)
    if source:  # what is copied for a query is of its class
        class_index = job.label
    look = omni.draw_look(rng, class_index, config)
    is_image = job.split == WEB_IMAGES
    segments = [
        omni.draw_segment(rng, look, class_index, kind, config, is_image)
        for kind in kinds
    ]
    drawn = _Drawn(class_index, kinds, np.concatenate(segments))
    return _with_copy(job, config, drawn, source) if source else drawn


def _copied(job: Job, config: ml_collections.ConfigDict) -> Job | None:
    """The clip for validation that something of the web has a near-copy of, if it has.

    One file of each run of so many has one, so that no split is without by chance.
    """
    if job.split in manifests.TARGET_SPLITS or not config.copy_share:
        return None
    length = round(1 / config.copy_share)
    run, place = divmod(job.index, length)
    rng = _generator(dataclasses.replace(job, index=run), config, _COPY_STREAM)
    if place != rng.integers(length):
        return None
    num_classes = len(world.class_names(config.motions))
    row = int(rng.integers(config.validation_clips_per_class))
    return Job(TARGET_VAL, row * num_classes + job.label, job.label)


def _with_copy(
    job: Job, config: ml_collections.ConfigDict, drawn: _Drawn, source: Job
) -> _Drawn:
    """Replaces a segment by a near-copy of a clip, or an image by one of its frames."""
    rng = _generator(job, config, (*_COPY_STREAM, 1))
    copy = omni.near_copy(rng, _draw(source, config).frames, config)
    segment = int(rng.integers(len(drawn.kinds)))
    if job.split == WEB_IMAGES:
        copy = copy[int(rng.integers(len(copy)))][None]
    frames = drawn.frames.copy()
    frames[segment * len(copy) :][: len(copy)] = copy
    kinds = list(drawn.kinds)
    kinds[segment] = world.ACTION
    path = _path_of(source, encoding.DEFAULT_CODEC)
    return _Drawn(drawn.class_index, tuple(kinds), frames, {segment: path})


def _choose(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    """Draws a name with the probability that is its share; "" with what is left."""
    names = sorted(shares)
    position = np.searchsorted(
        np.cumsum([shares[name] for name in names]), rng.random(), side="right"
    )
    return names[position] if position < len(names) else ""
