"""Which clips are cut from which videos, and which shard each goes into."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrecords_tools.manifest import ManifestRow
from tfrecords_tools.video import MICROSECONDS


@dataclasses.dataclass(frozen=True)
class ClipPlan:
    """A clip to be cut.

    Attributes:
        video: Path of the video as the manifest names it.
        media_id: Name of the video in the clip's id.
        label: Class index.
        start: Microseconds in the video.
        end: Microseconds in the video.
    """

    video: str
    media_id: str
    label: int
    start: int
    end: int

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
) -> list[ClipPlan]:
    """Cuts one manifest row into clips.

    A row with a start or an end, or `clips_per_video` 0, is one whole clip. Else
    `clips_per_video` clips of `clip_seconds` are taken at uniform or random starts; a
    video shorter than one clip is kept whole.

    Args:
        row: The manifest row.
        duration: Of the video, in microseconds.
        clips_per_video: Clips to cut, 0 for the whole video.
        clip_seconds: Length of a clip.
        sampling: "uniform" (first clip at the start, last at the end of the video) or
            "random".
        seed: For random starts; together with the row's line it decides the draw.

    Returns:
        The clips by ascending start, without duplicates.
    """
    length = round(clip_seconds * MICROSECONDS)
    if row.start is not None or row.end is not None:
        start = round((row.start or 0.0) * MICROSECONDS)
        end = duration if row.end is None else round(row.end * MICROSECONDS)
        spans = [(start, end)]
    elif clips_per_video == 0 or duration <= length:
        spans = [(0, duration)]
    else:
        latest = duration - length
        if sampling == "uniform":
            starts = np.linspace(0, latest, clips_per_video)
            if clips_per_video == 1:
                starts = np.array([latest / 2])
        else:
            generator = np.random.default_rng([seed, row.line])
            starts = generator.uniform(0, latest, clips_per_video)
        distinct = sorted({round(float(start)) for start in starts})
        spans = [(start, start + length) for start in distinct]
    return [
        ClipPlan(row.video, row.media_id, row.label, start, end) for start, end in spans
    ]


def assign_to_shards(
    clips: list[ClipPlan], num_shards: int, seed: int
) -> list[list[ClipPlan]]:
    """Deals the clips out to shards in a seeded random order, so each mixes classes."""
    order = np.random.default_rng(seed).permutation(len(clips))
    return [[clips[i] for i in order[shard::num_shards]] for shard in range(num_shards)]
