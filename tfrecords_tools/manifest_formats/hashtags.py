"""Posts with hashtags: a video's labels are those of its hashtags (IG-65M, 3.1)."""

from __future__ import annotations

import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from spl_tf.labels.chunks import in_chunks
from spl_tf.labels.hashtags import hashtag_of
from spl_tf.media_groups import media_group
from spl_tf.progress import shown
from spl_tf.text_files import composed
from tfrecords_tools.conversion.manifest import LABEL_SEPARATOR
from tfrecords_tools.manifest_formats.annotations import read_columns, read_json
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    BROKEN,
    MISSING,
    REPEATED,
    WRONG_ENCODING,
    Entry,
    Listing,
    ManifestSettings,
)
from tfrecords_tools.manifest_formats.posts import Post, post_of, read_posts
from tfrecords_tools.manifest_formats.spool import SpooledEntries
from tfrecords_tools.manifest_formats.yt_dlp import (
    INFO_ENDING,
    media_id_of,
    videos_by_stem,
)

NO_HASHTAG, NO_KNOWN_HASHTAG = "no hashtag", "no known hashtag"
RARE_LABEL = "rare label"
_COLUMNS = ("query", "label")


class HashtagLabels:
    """The labels of hashtags, from a CSV of make_queries, or the hashtags themselves.

    Attributes:
        names: All labels of the CSV.
        shared: The labels of each hashtag that has several.
    """

    def __init__(self, path: str):
        """Reads the file.

        Args:
            path: CSV with the columns `query`, a hashtag, and `label`; empty where each
                hashtag is a label.

        Raises:
            ValueError: It cannot be read, or a label cannot stand in a manifest.
        """
        self._known = bool(path)
        self._labels: dict[str, list[str]] = {}
        for line, (query, label) in read_columns(path, _COLUMNS) if path else ():
            if not label or LABEL_SEPARATOR in label:
                raise ValueError(
                    f"{path}, line {line}: the label is {label!r}, expected a name "
                    f"without {LABEL_SEPARATOR!r}, which stands between labels"
                )
            labels = self._labels.setdefault(hashtag_of(query), [])
            labels += [label] if label not in labels else []
        self.names = {name for labels in self._labels.values() for name in labels}
        self.shared = {tag: each for tag, each in self._labels.items() if len(each) > 1}

    def of(self, hashtags: Iterable[str]) -> list[str]:
        """All labels of some hashtags, each once."""
        if not self._known:
            return [tag for tag in hashtags if LABEL_SEPARATOR not in tag]
        found = (label for tag in hashtags for label in self._labels.get(tag, ()))
        return list(dict.fromkeys(found))


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Lists posts, each with all labels of its hashtags.

    A post's video is the file that it states, or else one that has the post's id as
    its name. Without a post's file, every `NAME.info.json` of yt-dlp is a post: its
    tags and the #words of its description. The media id is the post's id. Posts that
    cannot be used are counted by reason: none stops the rest. Labels of fewer than
    `min_videos` videos go. Posts may be more than memory holds: they are kept in a file
    of `TMPDIR`.

    Args:
        files: The videos.
        annotations: Files of posts, see `read_posts`; none for `.info.json` files.
        settings: Its `queries` has the labels of hashtags, a CSV of make_queries; else
            each hashtag is a label. Its `min_videos` is read.

    Returns:
        The posts, and the labels that stay in alphabetical order.

    Raises:
        ValueError: A file cannot be read at all.
    """
    labels = HashtagLabels(settings.queries)
    posts = (post for path in annotations for post in read_posts(path))
    listed = _PostEntries()
    found = _info_posts(files)
    if annotations:
        found = ((post, post.id, _video_of(files, post)) for post in posts)
    for post, media_id, video in shown(found, None, "post", "reading posts"):
        listed.append(post, _entry(post, media_id, video, labels))
    rare = listed.finish(labels.names, settings.min_videos)
    notes = [
        f"{len(rare):,} labels of fewer than {settings.min_videos} videos went"
        + "".join(f", e.g. {name} ({rare[name]})" for name in list(rare)[:1])
    ]
    if labels.shared:
        tag, names = next(iter(labels.shared.items()))
        notes.append(
            f"{len(labels.shared):,} hashtags have several labels, e.g. #{tag}: "
            f"{', '.join(names)}"
        )
    return Listing(listed.class_names, listed, tuple(notes), marks_repeats=True)


class _PostEntries:
    """The entries of posts; in memory are numbers alone, about 30 bytes for a post.

    A post is known by 63 bits of a hash of its id (`media_group`). Of 65 million, two
    others are taken for one with a probability of 1 in 4,000.
    """

    def __init__(self):
        self._entries = SpooledEntries()
        self._numbers: dict[str, int] = {}  # of the labels
        self._labels, self._counts = array.array("i"), array.array("i")
        self._groups = array.array("q")
        self._readable, self._there = array.array("b"), array.array("b")
        self._taken = array.array("b")
        self._repeated, self._rare = np.zeros(0, bool), {}

    def append(self, post: Post, entry: Entry) -> None:
        """Adds the next post."""
        self._entries.append(entry)
        names = entry.labels
        for name in names:
            number = self._numbers.setdefault(name, len(self._numbers))
            self._labels.append(number)
        self._counts.append(len(names))
        self._groups.append(media_group(entry.media_id))
        self._readable.append(not post.reason)
        self._there.append(not post.reason and bool(entry.video))
        self._taken.append(not entry.reason)

    def finish(self, names: Iterable[str], min_videos: int) -> dict[str, int]:
        """Marks repeated posts, and takes labels away that have few videos.

        Args:
            names: Labels that may have none.
            min_videos: Labels of fewer are taken away.

        Returns:
            How many videos each of these has, in alphabetical order.
        """
        self._repeated = self._find_repeated()
        taken = np.frombuffer(self._taken, bool) & ~self._repeated
        values = np.frombuffer(self._labels, np.int32)
        values = values[np.repeat(taken, np.frombuffer(self._counts, np.int32))]
        counted = np.bincount(values, minlength=len(self._numbers)).tolist()
        counts = dict.fromkeys(names, 0)
        counts |= dict(zip(self._numbers, counted, strict=True))
        self._rare = {n: counts[n] for n in sorted(counts) if counts[n] < min_videos}
        return self._rare

    @property
    def class_names(self) -> list[str]:
        """The labels that stay, in alphabetical order."""
        return sorted(self._numbers.keys() - self._rare.keys())

    def __iter__(self) -> Iterator[Entry]:
        repeated = memoryview(self._repeated)  # makes no list of them
        for entry, is_repeated in zip(self._entries, repeated, strict=True):
            changed = entry._replace(reason=REPEATED) if is_repeated else entry
            yield _without(changed, self._rare)

    def _find_repeated(self) -> np.ndarray:
        """Which readable posts come after one of the same id whose video is there."""
        groups = np.frombuffer(self._groups, np.int64)
        there = np.flatnonzero(np.frombuffer(self._there, bool))
        repeated = np.zeros(len(groups), bool)
        if len(there):
            known, first = np.unique(groups[there], return_index=True)
            first = there[first]
            for rows in in_chunks(len(groups)):
                places = np.searchsorted(known, groups[rows])
                places = np.minimum(places, len(known) - 1)
                earlier = first[places] < np.arange(rows.start, rows.stop)
                repeated[rows] = earlier & (known[places] == groups[rows])
        return repeated & np.frombuffer(self._readable, bool)


def _entry(post: Post, media_id: str, video: str, labels: HashtagLabels) -> Entry:
    names = labels.of(post.hashtags)
    reason = post.reason
    if not reason and not names:
        reason = NO_KNOWN_HASHTAG if post.hashtags else NO_HASHTAG
    return Entry(
        *(post.source, post.line, post.id),
        label=names[0] if names else "",
        split="",
        media_id=media_id,
        video=video,
        reason=reason or ("" if video else MISSING),
        more_labels=LABEL_SEPARATOR.join(names[1:]),
        duration=post.duration,
    )


def _without(entry: Entry, rare: dict[str, int]) -> Entry:
    """The entry without labels that go; with a reason, if it has no others."""
    kept = [name for name in entry.labels if name not in rare]
    if len(kept) == len(entry.labels):
        return entry
    if not kept:
        return entry._replace(
            label="", more_labels="", reason=entry.reason or RARE_LABEL
        )
    return entry._replace(label=kept[0], more_labels=LABEL_SEPARATOR.join(kept[1:]))


def _video_of(files: FileIndex, post: Post) -> str:
    return files.lookup(post.video) if post.video else files.find(post.id)


def _info_posts(files: FileIndex) -> Iterator[tuple[Post, str, str]]:
    """A post, its media id and its video of each `.info.json` of a video."""
    infos = [path for path in files.paths if path.endswith(INFO_ENDING)]
    if not infos:
        raise ValueError(
            f"{files.root} holds no {INFO_ENDING} files (--write-info-json), and "
            "--annotations names no file of posts"
        )
    videos = videos_by_stem(files)
    for path in infos:
        where, stem = files.path(path), path.removesuffix(INFO_ENDING)
        if not _is_text(path):
            yield Post(ascii(where), 0, ascii(stem), reason=WRONG_ENCODING), "", ""
            continue
        reason = BROKEN
        try:
            info = read_json(where)
        except ValueError as error:
            info = None
            if isinstance(error.__cause__, UnicodeDecodeError):
                reason = WRONG_ENCODING
        if not isinstance(info, dict) or "id" not in info:
            yield Post(where, 0, stem, reason=reason), "", ""
        elif info.get("_type", "video") == "video":
            post, media_id = post_of(where, 0, info), media_id_of(info)
            if not _is_text(media_id):  # half a character, as JSON can escape it
                post, media_id = post._replace(reason=WRONG_ENCODING), ""
            yield post, media_id, videos.get(composed(stem), "")


def _is_text(name: str) -> bool:
    """Whether a name can be written in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
