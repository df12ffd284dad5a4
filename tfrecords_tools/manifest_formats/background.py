"""Random times of a match that are away from its events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfrecords_tools.manifest_formats.listing import ManifestSettings

_Span = tuple[float, float]


def draw_background(
    match: str,
    durations: Mapping[str, float],
    events: Mapping[str, Sequence[float]],
    settings: ManifestSettings,
) -> list[tuple[str, float]]:
    """Draws clips that overlap neither an event's surroundings nor each other.

    Every free start is as likely as any other, in both halves together. The same match
    and seed give the same draw, whatever other matches there are.

    Args:
        match: The match's name, on which the draw depends.
        durations: Seconds of each half; 0 where there is no video.
        events: Times of the events of each half, in seconds.
        settings: `background_clips` is how many are wanted, `background_margin` the
            seconds between a clip and an event; also `clip_seconds` and `seed`.

    Returns:
        Half and start (to a millisecond) of each clip, in order of time; fewer than
        wanted where there is no room.
    """
    length, margin = settings.clip_seconds, settings.background_margin
    # A clip of start s is clear of an event at t when s >= t + margin or
    # s + length <= t - margin.
    free = {
        half: _without(
            [(0.0, duration - length)],
            [(time - margin - length, time + margin) for time in events[half]],
        )
        for half, duration in durations.items()
    }
    digest = hashlib.sha256(match.encode()).digest()
    generator = np.random.default_rng(
        [settings.seed, int.from_bytes(digest[:8], "little")]
    )
    drawn = []
    for _ in range(settings.background_clips):
        spans = [(half, *span) for half in sorted(free) for span in free[half]]
        if not spans:
            break
        ends = np.cumsum([last - first for _, first, last in spans])
        place = generator.uniform(0, ends[-1])
        number = min(int(np.searchsorted(ends, place, "right")), len(spans) - 1)
        half, _, last = spans[number]
        start = round(float(last - (ends[number] - place)), 3)
        drawn.append((half, start))
        free[half] = _without(free[half], [(start - length, start + length)])
    return sorted(drawn)


def _without(spans: Sequence[_Span], holes: Sequence[_Span]) -> list[_Span]:
    """What is left of the spans outside of the holes."""
    for low, high in holes:
        spans = [
            piece
            for first, last in spans
            for piece in ((first, min(last, low)), (max(first, high), last))
            if piece[0] < piece[1]
        ]
    return [(first, last) for first, last in spans if first < last]
