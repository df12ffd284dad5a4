"""The text files of a rendered world: manifests, classes and the hidden truth."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import ml_collections

from experiments.synthetic import hashtags, settings, world
from spl_tf.files import replacing

TARGET_TRAIN = "target_train"
TARGET_VAL = "target_val"
WEB = "web"
WEB_IMAGES = "web_images"
WEB_SHORT = "web_short"
WEB_UNTRIMMED = "web_untrimmed"
POSTS = "posts"
# The position is part of a video's seed, so new splits go to the end.
SPLITS = (TARGET_TRAIN, TARGET_VAL, WEB)
OMNI_SPLITS = (TARGET_TRAIN, TARGET_VAL, WEB_IMAGES, WEB_SHORT, WEB_UNTRIMMED)
HASHTAGS_SPLITS = (TARGET_TRAIN, TARGET_VAL, POSTS)
TARGET_SPLITS = (TARGET_TRAIN, TARGET_VAL)

CLASSES_FILE = "classes.txt"
# Of the world of posts.
POSTS_FILE, NOUNS_FILE, VERBS_FILE = "posts.jsonl", "nouns.txt", "verbs.txt"
HIDDEN_TRUTH_FILE = "hidden_truth.csv"


@dataclasses.dataclass(frozen=True)
class RenderedVideo:
    """One video or image, as its file and the manifests have it.

    Attributes:
        split: One of `splits_of`.
        path: Of the file, relative to the world's folder.
        label: Class of a target clip; class of the query that found a web video; pair
            that a post's hashtags are about.
        class_index: What the video is really about; of a post a pair, too.
        kinds: What each segment shows, of `world.SEGMENT_KINDS`.
        codec: One of `encoding.CODECS`, or `encoding.JPEG`.
        damage: One of `encoding.DAMAGES`, or "".
        num_bytes: Size of the file.
        num_frames: As it was before any damage.
        copies: By the number of a segment, the video of which it is a near-copy.
    """

    split: str
    path: str
    label: int
    class_index: int
    kinds: tuple[str, ...]
    codec: str
    damage: str
    num_bytes: int
    num_frames: int
    copies: Mapping[int, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ShownSegment:
    """A row of the hidden truth: what a segment of a web video, or image, really shows.

    Attributes:
        video: Path as in the manifest.
        segment: Number of the segment in its video.
        start: Seconds.
        end: Seconds; 0 of an image, as in its clip.
        shown: One of `world.SEGMENT_KINDS`.
        scene: The scene; "" for filler.
        class_name: The class; "" where no sprite does what a class does.
        damage: What happened to the file, one of `encoding.DAMAGES`, or "".
        copy_of: The target's video of which it is a near-copy, or "".
    """

    video: str
    segment: int
    start: float
    end: float
    shown: str
    scene: str
    class_name: str
    damage: str
    copy_of: str = ""


_HIDDEN_TRUTH_HEADER = (
    "video",
    "segment",
    "start",
    "end",
    "shown",
    "scene",
    "class",
    "damage",
)
_OMNI_TRUTH_HEADER = (*_HIDDEN_TRUTH_HEADER, "copy_of")


def splits_of(config: Mapping) -> tuple[str, ...]:
    """The splits of a world."""
    if settings.has_posts(config):
        return HASHTAGS_SPLITS
    return OMNI_SPLITS if settings.is_omni(config) else SPLITS


def remove_manifests(directory: pathlib.Path) -> None:
    """Removes manifests, which must not vouch for a folder that is being rewritten."""
    splits = dict.fromkeys((*SPLITS, *OMNI_SPLITS))
    manifests = (f"{split}.csv" for split in splits)
    for name in (*manifests, HIDDEN_TRUTH_FILE, POSTS_FILE):
        (directory / name).unlink(missing_ok=True)


def write_manifests(
    config: ml_collections.ConfigDict,
    videos: Sequence[RenderedVideo],
    directory: pathlib.Path,
) -> None:
    """Writes the hidden truth, the classes file and, last, the manifests."""
    names = world.class_names(config.motions)
    seconds = config.frames_per_segment / config.frame_rate
    web = [video for video in videos if video.split not in TARGET_SPLITS]
    header = _OMNI_TRUTH_HEADER if settings.is_omni(config) else _HIDDEN_TRUTH_HEADER
    truth = [
        dataclasses.astuple(segment)[: len(header)]
        for video in web
        for segment in _shown_segments(config, video, seconds)
    ]
    _write_csv(directory / HIDDEN_TRUTH_FILE, header, truth)
    _write_text(directory / CLASSES_FILE, "".join(f"{name}\n" for name in names))
    if settings.has_posts(config):
        _write_posts(config, web, directory, seconds)
    for split in TARGET_SPLITS if settings.has_posts(config) else splits_of(config):
        rows = [(v.path, names[v.label]) for v in videos if v.split == split]
        header = ("video", "label")
        if split in TARGET_SPLITS:
            header += ("start", "end")
            rows = [(*row, 0.0, round(seconds, 6)) for row in rows]
        _write_csv(directory / f"{split}.csv", header, rows)


def _write_posts(config, videos, directory: pathlib.Path, seconds: float) -> None:
    """Writes the posts, and the words that hashtags can be about."""
    for file, words in ((NOUNS_FILE, world.SCENES), (VERBS_FILE, world.MOTIONS)):
        _write_text(directory / file, "".join(f"{word}\n" for word in words))
    found = [
        hashtags.PostVideo(video.path, video.label, len(video.kinds) * seconds)
        for video in videos
    ]
    with replacing(directory / POSTS_FILE) as temporary:
        lines = hashtags.post_lines(config.to_dict(), found)
        temporary.write_bytes(b"".join(line + b"\n" for line in lines))


def read_hidden_truth(directory: pathlib.Path) -> dict[str, list[ShownSegment]]:
    """Reads what the segments of each web video or image really show, for diagnosis.

    Args:
        directory: A rendered world.

    Returns:
        Per video, its segments in order.

    Raises:
        FileNotFoundError: The folder holds no rendered world.
        ValueError: The file is of another version.
    """
    path = directory / HIDDEN_TRUTH_FILE
    segments: dict[str, list[ShownSegment]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = tuple(next(reader, ()))
        if header not in (_HIDDEN_TRUTH_HEADER, _OMNI_TRUTH_HEADER):
            raise ValueError(
                f"{path} has the columns {header}, expected {_HIDDEN_TRUTH_HEADER}; "
                "render the world again"
            )
        for video, segment, start, end, *shown in reader:
            row = ShownSegment(video, int(segment), float(start), float(end), *shown)
            segments.setdefault(video, []).append(row)
    return segments


def _shown_segments(
    config: ml_collections.ConfigDict, video: RenderedVideo, seconds: float
) -> Iterator[ShownSegment]:
    is_image = video.split == WEB_IMAGES
    for segment, kind in enumerate(video.kinds):
        start, end = round(segment * seconds, 6), round((segment + 1) * seconds, 6)
        motions = world.ALL_MOTIONS if video.split == POSTS else config.motions
        scene, name = _shown(motions, video.class_index, kind)
        yield ShownSegment(
            video=video.path,
            segment=segment,
            start=start,
            end=0.0 if is_image else end,
            shown=kind,
            scene=scene,
            class_name=name,
            damage=video.damage,
            copy_of=video.copies.get(segment, ""),
        )


def _shown(motions: world.MotionPairs, class_index: int, kind: str) -> tuple[str, str]:
    """Returns scene and class name that a segment shows; empty where it shows none."""
    if kind == world.FILLER:
        return "", ""
    scene, _ = world.scene_and_motion(class_index, motions)
    if kind == world.BACKGROUND:
        return scene, ""
    shown = world.sibling(class_index) if kind == world.SIBLING else class_index
    return scene, world.class_names(motions)[shown]


def _write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable) -> None:
    text = io.StringIO()
    # One kind of line ends on all systems.
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    _write_text(path, text.getvalue())


def _write_text(path: pathlib.Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
