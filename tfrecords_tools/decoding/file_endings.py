"""What files are, by the endings of their names."""

from __future__ import annotations

import os

# What FFmpeg reads, in small letters.
VIDEO_ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("264", "265", "3g2", "3gp", "3gpp", "amv", "asf", "avi", "bik", "divx"),
        *("dv", "f4v", "flv", "gxf", "h261", "h263", "h264", "h265", "hevc"),
        *("ivf", "m1v", "m2p", "m2t", "m2ts", "m2v", "m4v", "mjpeg", "mjpg", "mk3d"),
        *("mkv", "mod", "mov", "mp4", "mp4v", "mpe", "mpeg", "mpg", "mpv", "mts"),
        *("mxf", "nsv", "nut", "obu", "ogm", "ogv", "qt", "rm", "rmvb"),
        *("tod", "trp", "ts", "vob", "vro", "webm", "wmv", "wtv"),
        *("xvid", "y4m"),
    )
)
IMAGE_ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("bmp", "gif", "jfif", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff"),
        "webp",
    )
)


def ending_of(path: str) -> str:
    """A file's ending in small letters, with its dot."""
    return os.path.splitext(path)[1].lower()
