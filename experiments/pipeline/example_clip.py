"""One clip of the videos that a manifest lists, to tell what all of them will take."""

from __future__ import annotations

import csv
import functools
import io
import itertools

from tfrecords_tools.conversion.manifest import path_of, read_text
from tfrecords_tools.convert_videos import ConversionSettings
from tfrecords_tools.decoding.decoder import Decoder
from tfrecords_tools.decoding.video import MICROSECONDS, UnreadableVideoError

_TRIED_VIDEOS = 5  # until one can be read
_SECONDS_TO_READ_ONE = 10.0


@functools.cache
def example_clip(
    manifest: str, root: str, settings: ConversionSettings
) -> tuple[float, float] | None:
    """Decodes a second of the first listed video that can be read.

    Args:
        manifest: Path of the CSV file that lists the videos.
        root: Folder that its paths start from.
        settings: How a conversion would cut clips.

    Returns:
        Pixels of all frames of a clip, and bytes of their JPEGs; None where none of
        the first few videos can be read.
    """
    rows = csv.DictReader(io.StringIO(read_text(manifest), newline=""))
    with Decoder(_SECONDS_TO_READ_ONE, settings.frames_fps) as decoder:
        for row in itertools.islice(rows, _TRIED_VIDEOS):
            try:
                return _of_row(decoder, row, root, settings)
            except (UnreadableVideoError, KeyError, ValueError, ZeroDivisionError):
                continue  # the conversion says what is wrong with it
    return None


def _of_row(decoder, row, root, settings) -> tuple[float, float]:
    path = path_of(root, row["video"])
    found = decoder.probe(path)
    has_times = row.get("start") or row.get("end")
    start = round(float(row.get("start") or 0) * MICROSECONDS)
    end = round(float(row["end"]) * MICROSECONDS) if row.get("end") else found.end
    if not has_times:
        start = found.start
    if not has_times and settings.clips_per_video:
        end = min(end, start + round(settings.clip_seconds * MICROSECONDS))
    # A second of it stands for all.
    shown = min(end, start + MICROSECONDS)
    frames = decoder.clip(
        path, start, shown, settings.scale, settings.fps, settings.jpeg_quality
    )
    share = (end - start) / (shown - start)
    pixels = sum(frame.height * frame.width for frame in frames)
    return share * pixels, share * sum(len(frame.jpeg) for frame in frames)
