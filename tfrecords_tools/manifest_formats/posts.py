"""Posts of a social network: their hashtags, and where their videos are.

One that cannot be read is given with the reason; it costs none of the others.
"""

from __future__ import annotations

import collections
import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from spl_tf.labels.hashtags import hashtag_of, hashtags_in
from tfrecords_tools.conversion.streams import reading
from tfrecords_tools.manifest_formats.listing import BROKEN, WRONG_ENCODING

_EXPECTED = "posts: a CSV in UTF-8, or JSON lines"
_TAGS, _TEXTS = ("hashtags", "tags"), ("description", "text", "caption")
_BETWEEN_TAGS = re.compile(r"[\s,;|]+")
_SHOWN = 40  # characters of a post that has no id
# A quote without an end may hold this much before it is taken for broken.
_MOST_LINES = 1000


class Post(NamedTuple):
    """One post.

    Attributes:
        source: Path of the file that has it.
        line: Number of its last line there; 0 for a file of one post.
        id: What the file calls it, or how it begins.
        hashtags: As they are compared, without "#", each once.
        video: Path of its video, relative to the video root; empty if not stated.
        duration: How long the video is, in seconds; None if not stated.
        reason: Why it cannot be read; empty if it can.
    """

    source: str
    line: int
    id: str
    hashtags: tuple[str, ...] = ()
    video: str = ""
    duration: float | None = None
    reason: str = ""


def read_posts(path: str) -> Iterator[Post]:
    """Streams a file of posts.

    A post has an `id` and `hashtags` (or `tags`), words with blanks or commas between
    or a list of JSON, or `description` (or `text`, `caption`), of which the #words
    count; and may have `video`, the path of its file, and `duration`, in seconds.

    Args:
        path: A CSV in UTF-8 with a header, or JSON lines, an object each; may be
            compressed.

    Raises:
        ValueError: It cannot be read at all, or a CSV has no such columns.
    """
    with reading(path, _EXPECTED, by_first_line=True) as file:
        is_json = file.peek(_SHOWN).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (
            b"{",
            b"[",
        )
        yield from (_json_posts if is_json else _csv_posts)(path, file)


def post_of(source: str, line: int, fields: Mapping[str, Any]) -> Post:
    """Makes a post of what a file says of it, see `read_posts`."""
    name = fields.get("id")
    if name is None or name == "" or isinstance(name, (dict, list)):
        return Post(source, line, repr(dict(fields))[:_SHOWN], reason=BROKEN)
    tags = next((fields[key] for key in _TAGS if fields.get(key)), [])
    if isinstance(tags, str):
        tags = _BETWEEN_TAGS.split(tags.replace("#", " "))
    text = next((fields[key] for key in _TEXTS if fields.get(key)), "")
    if not isinstance(tags, list) or not isinstance(text, str):
        return Post(source, line, str(name), reason=BROKEN)
    found = [hashtag_of(str(tag)) for tag in tags] + hashtags_in(text)
    hashtags = tuple(tag for tag in dict.fromkeys(found) if tag)
    video = str(fields.get("video") or "")
    try:
        "".join((str(name), video, *hashtags)).encode()
    except UnicodeEncodeError:  # half a character, as JSON can escape it
        return Post(source, line, ascii(name), reason=WRONG_ENCODING)
    return Post(source, line, str(name), hashtags, video, _seconds(fields))


def _seconds(fields: Mapping[str, Any]) -> float | None:
    try:
        seconds = float(fields.get("duration") or 0)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _json_posts(path: str, file) -> Iterator[Post]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        shown = line[:_SHOWN].decode(errors="replace").strip()
        try:
            fields = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError:
            yield Post(path, number, shown, reason=WRONG_ENCODING)
        except (ValueError, RecursionError):  # or a number of too many digits
            yield Post(path, number, shown, reason=BROKEN)
        else:
            if isinstance(fields, dict):
                yield post_of(path, number, fields)
            else:
                yield Post(path, number, shown, reason=BROKEN)


def _csv_posts(path: str, file) -> Iterator[Post]:
    rows = _csv_rows(file)
    _, _, header = next(rows, (0, "", []))
    known = [name for name in (*_TAGS, *_TEXTS) if name in header]
    if "id" not in header or not known:
        raise ValueError(
            f"{path}, line 1: expected the columns 'id' and one of "
            f"{[*_TAGS, *_TEXTS]}, found {header}"
        )
    for number, text, cells in rows:
        if not text.strip():
            continue
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = text[:_SHOWN].encode(errors="replace").decode().strip()
            yield Post(path, number, shown, reason=WRONG_ENCODING)
            continue
        if len(cells) == len(header):
            yield post_of(path, number, dict(zip(header, cells, strict=True)))
        else:
            yield Post(path, number, text[:_SHOWN].strip(), reason=BROKEN)


def _csv_rows(file) -> Iterator[tuple[int, str, list[str]]]:
    """Number of the last line, text and cells of each row; of a broken one, no cells.

    A quote that does not end makes one row of many lines. The first is then given as
    broken, and the next one is read as the beginning of a row.
    """
    ahead: collections.deque[str] = collections.deque()
    taken: list[str] = []

    def lines() -> Iterator[str]:
        while len(taken) < _MOST_LINES:
            line = ahead.popleft() if ahead else next(file, b"")
            if not line:
                return
            if isinstance(line, bytes):
                line = line.decode(errors="surrogateescape")
            taken.append(line)
            yield line

    number = width = 0
    while True:
        taken.clear()
        try:
            cells = next(csv.reader(lines(), strict=True), [])
        except csv.Error:
            cells = []
        if not taken:
            return
        if not width:
            taken[0] = taken[0].removeprefix("\ufeff")
            cells[:1] = [cells[0].removeprefix("\ufeff")] if cells else []
            width = len(cells)
        elif len(cells) != width:
            ahead.extendleft(reversed(taken[1:]))
            del taken[1:]
            cells = []
        number += len(taken)
        yield number, "".join(taken), cells
