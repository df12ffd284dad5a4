"""The text files of a rendered world: manifests, classes and the hidden truth."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable, Sequence

import ml_collections

from experiments.synthetic import world
from spl_tf.files import replacing

TARGET_TRAIN = "target_train"
TARGET_VAL = "target_val"
WEB = "web"
# The position is part of a video's seed, so new splits go to the end.
SPLITS = (TARGET_TRAIN, TARGET_VAL, WEB)

CLASSES_FILE = "classes.txt"
HIDDEN_TRUTH_FILE = "hidden_truth.csv"


@dataclasses.dataclass(frozen=True)
class RenderedVideo:
    """One video, as its file and the manifests have it.

    Attributes:
        split: One of `SPLITS`.
        path: Of the file, relative to the world's folder.
        label: Class of a target clip; class of the query that found a web video.
        class_index: What the video is really about.
        kinds: What each segment shows, of `world.SEGMENT_KINDS`.
        codec: One of `encoding.CODECS`.
        damage: One of `encoding.DAMAGES`, or "".
        num_bytes: Size of the file.
    """

    split: str
    path: str
    label: int
    class_index: int
    kinds: tuple[str, ...]
    codec: str
    damage: str
    num_bytes: int


@dataclasses.dataclass(frozen=True)
class ShownSegment:
    """A row of the hidden truth: what a segment of a web video really shows.

    Attributes:
        video: Path as in the manifest.
        segment: Number of the segment in its video.
        start: Seconds.
        end: Seconds.
        shown: One of `world.SEGMENT_KINDS`.
        scene: The scene; "" for filler.
        class_name: The class; "" where no sprite does what a class does.
        damage: What happened to the file, one of `encoding.DAMAGES`, or "".
    """

    video: str
    segment: int
    start: float
    end: float
    shown: str
    scene: str
    class_name: str
    damage: str


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


def remove_manifests(directory: pathlib.Path) -> None:
    """Removes manifests, which must not vouch for a folder that is being rewritten."""
    for name in (*(f"{split}.csv" for split in SPLITS), HIDDEN_TRUTH_FILE):
        (directory / name).unlink(missing_ok=True)


def write_manifests(
    config: ml_collections.ConfigDict,
    videos: Sequence[RenderedVideo],
    directory: pathlib.Path,
) -> None:
    """Writes the hidden truth, the classes file and, last, the manifests."""
    names = world.class_names(config.motions)
    seconds = config.frames_per_segment / config.frame_rate
    truth = []
    for video in (video for video in videos if video.split == WEB):
        for segment, kind in enumerate(video.kinds):
            start, end = round(segment * seconds, 6), round((segment + 1) * seconds, 6)
            scene, name = _shown(config, video.class_index, kind)
            truth.append(
                ShownSegment(
                    video.path, segment, start, end, kind, scene, name, video.damage
                )
            )
    _write_csv(
        directory / HIDDEN_TRUTH_FILE,
        _HIDDEN_TRUTH_HEADER,
        map(dataclasses.astuple, truth),
    )
    _write_text(directory / CLASSES_FILE, "".join(f"{name}\n" for name in names))
    for split in SPLITS:
        rows = [(v.path, names[v.label]) for v in videos if v.split == split]
        header = ("video", "label")
        if split != WEB:
            header += ("start", "end")
            rows = [(*row, 0.0, round(seconds, 6)) for row in rows]
        _write_csv(directory / f"{split}.csv", header, rows)


def read_hidden_truth(directory: pathlib.Path) -> dict[str, list[ShownSegment]]:
    """Reads what the segments of each web video really show, for diagnosis only.

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
        if header != _HIDDEN_TRUTH_HEADER:
            raise ValueError(
                f"{path} has the columns {header}, expected {_HIDDEN_TRUTH_HEADER}; "
                "render the world again"
            )
        for video, segment, start, end, *shown in reader:
            row = ShownSegment(video, int(segment), float(start), float(end), *shown)
            segments.setdefault(video, []).append(row)
    return segments


def _shown(
    config: ml_collections.ConfigDict, class_index: int, kind: str
) -> tuple[str, str]:
    """Returns scene and class name that a segment shows; empty where it shows none."""
    if kind == world.FILLER:
        return "", ""
    scene, _ = world.scene_and_motion(class_index, config.motions)
    if kind == world.BACKGROUND:
        return scene, ""
    shown = world.sibling(class_index) if kind == world.SIBLING else class_index
    return scene, world.class_names(config.motions)[shown]


def _write_csv(path: pathlib.Path, header: Sequence[str], rows: Iterable) -> None:
    text = io.StringIO()
    # One kind of line ends on all systems.
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    _write_text(path, text.getvalue())


def _write_text(path: pathlib.Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
