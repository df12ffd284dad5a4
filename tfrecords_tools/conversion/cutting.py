"""Which clips are cut from which files, and which shard each goes into."""

from __future__ import annotations

import collections
import dataclasses
import hashlib

import numpy as np

from tfrecords_tools.conversion.manifest import ManifestRow
from tfrecords_tools.decoding.video import MICROSECONDS

SAMPLINGS = ("uniform", "random", "tiles")


@dataclasses.dataclass(frozen=True, slots=True)  # there may be very many
class ClipPlan:
    """A clip to be made.

    Attributes:
        video: Path of the file as the manifest names it.
        media_id: Name of the file in the clip's id.
        label: Index of its class; -1 where only the source's record tells.
        start: Where it begins, in microseconds of the video; 0 for an image.
        end: Where it ends, in microseconds of the video; 0 for an image.
        frame_rate: Frames per second that it will have; 0 for an image.
        more_labels: Indices of its further classes.
    """

    video: str
    media_id: str
    label: int
    start: int = 0
    end: int = 0
    frame_rate: float = 0.0
    more_labels: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """The clip's id, `<media id>@<start µs>-<end µs>`."""
        return f"{self.media_id}@{self.start}-{self.end}"


def cut_clips(
    row: ManifestRow,
    duration: int,
    clips_per_video: int,
    clip_seconds: float,
    sampling: str,
    seed: int,
    frame_rate: float = 0.0,
    video_start: int = 0,
) -> list[ClipPlan]:
    """Cuts one manifest row into clips.

    A row with a start or an end is one whole clip. Tiles are clips of `clip_seconds`,
    one behind the other over the whole video, the last as short as what is left
    (OmniSource, 3.5). Else `clips_per_video` clips are taken at uniform or random
    starts, or with 0 the whole video. A video shorter than one clip is kept whole.

    Args:
        row: The video's line of the manifest.
        duration: How long the video is shown, in microseconds.
        clips_per_video: Clips to cut, 0 for the whole video.
        clip_seconds: Length of a clip, in seconds.
        sampling: "uniform" (first clip at the start, last at the end of the video),
            "random" or "tiles".
        seed: Decides random starts, together with the media id.
        frame_rate: Frames per second that the clips will have.
        video_start: When the first frame is shown, in microseconds.

    Returns:
        The clips by ascending start, without duplicates.
    """
    length = round(clip_seconds * MICROSECONDS)
    video_end = video_start + duration
    if row.start is not None or row.end is not None:
        start = round((row.start or 0.0) * MICROSECONDS)
        end = video_end if row.end is None else round(row.end * MICROSECONDS)
        # A start behind the video's end gives a clip of no frames, reported as such.
        spans = [(start, max(end, start + 1))]
    elif duration <= length or (clips_per_video == 0 and sampling != "tiles"):
        spans = [(video_start, video_end)]
    elif sampling == "tiles":
        least = MICROSECONDS / frame_rate if frame_rate else 1  # a rest has a frame
        spans = [
            (video_start + start, video_start + min(start + length, duration))
            for start in range(0, duration, length)
            if duration - start >= least
        ]
    else:
        room = duration - length
        if sampling == "uniform":
            offsets = np.linspace(0, room, clips_per_video)
            if clips_per_video == 1:
                offsets = np.array([room / 2])
        else:
            offsets = _generator(seed, row.media_id).uniform(0, room, clips_per_video)
        distinct = sorted({video_start + round(float(each)) for each in offsets})
        spans = [(start, start + length) for start in distinct]
    return [
        ClipPlan(
            *(row.video, row.media_id, row.label),
            *(start, end, frame_rate, row.more_labels),
        )
        for start, end in spans
    ]


def limit_per_class(
    clips: list[ClipPlan], max_clips: int, balance: bool, seed: int
) -> list[ClipPlan]:
    """Gives every class the same budget of clips, spread over the class's videos.

    Clips are taken round-robin, one of each video and then the next of each, both
    videos and the clips of a video in a seeded random order. A class that has fewer
    keeps all. A clip of several labels counts for its first. This is the "roughly
    balanced" of SPL 4.1, whose details are ours.

    Args:
        clips: All clips that could be made.
        max_clips: The budget of a class; 0 for none, or with `balance` for the mean
            number of candidates over the classes that have any.
        balance: Whether the budget is that mean, if `max_clips` is 0.
        seed: Decides the orders of videos and of a video's clips.

    Returns:
        The chosen clips, in the order in which they were given.
    """
    by_class: dict[int, dict[str, list[int]]] = collections.defaultdict(dict)
    for position, clip in enumerate(clips):
        by_class[clip.label].setdefault(clip.video, []).append(position)
    if not max_clips and balance:
        max_clips = round(len(clips) / max(len(by_class), 1))
    if not max_clips:
        return clips
    chosen = []
    for label, by_video in by_class.items():
        generator = np.random.default_rng([seed, label])
        videos = [list(generator.permutation(c)) for c in by_video.values()]
        ranked = [
            (round_, place, position)
            for place, video in zip(
                generator.permutation(len(videos)), videos, strict=True
            )
            for round_, position in enumerate(video)
        ]
        chosen += [position for *_, position in sorted(ranked)[:max_clips]]
    return [clips[position] for position in sorted(chosen)]


def assign_to_shards(
    clips: list[ClipPlan], num_shards: int, seed: int
) -> list[list[ClipPlan]]:
    """Deals the clips out to shards in a seeded random order, so each mixes classes."""
    order = np.random.default_rng(seed).permutation(len(clips))
    return [[clips[i] for i in order[shard::num_shards]] for shard in range(num_shards)]


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
