"""Posts with hashtags: a video's labels are those of its hashtags (IG-65M, 3.1)."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence

from spl_tf.labels.hashtags import hashtag_of
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
    `min_videos` videos go.

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
    entries, seen = [], set()
    for post, media_id, video in (
        ((post, post.id, _video_of(files, post)) for post in posts)
        if annotations
        else _info_posts(files)
    ):
        entry = _entry(post, media_id, video, labels)
        key = composed(media_id)
        if not post.reason:
            entry = entry._replace(reason=REPEATED) if key in seen else entry
            if video:  # else a later post of this id may have its file
                seen.add(key)
        entries.append(entry)
    rare = _rare_labels(entries, labels.names, settings.min_videos)
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
    entries = [_without(entry, rare) for entry in entries]
    found = {name for entry in entries for name in entry.labels}
    return Listing(sorted(found), entries, tuple(notes))


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


def _rare_labels(
    entries: Iterable[Entry], names: Iterable[str], min_videos: int
) -> dict[str, int]:
    """Labels with too few videos that are there, and how many each has."""
    counts = collections.Counter(dict.fromkeys(names, 0))
    for entry in entries:
        counts.update(dict.fromkeys(entry.labels, not entry.reason))
    return {name: counts[name] for name in sorted(counts) if counts[name] < min_videos}


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
            post = post_of(where, 0, info)
            yield post, media_id_of(info), videos.get(composed(stem), "")


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
