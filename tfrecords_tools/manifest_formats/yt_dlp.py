"""What yt-dlp downloaded: videos with an `.info.json` file beside each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spl_tf.progress import Progress
from spl_tf.text_files import composed
from tfrecords_tools.decoding.file_endings import VIDEO_ENDINGS, ending_of
from tfrecords_tools.manifest_formats.annotations import no_path, read_json
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.folders import folders_of
from tfrecords_tools.manifest_formats.listing import (
    MISSING,
    REPEATED,
    Entry,
    Listing,
    ManifestSettings,
)
from tfrecords_tools.manifest_formats.queries import QueryLabels

INFO_ENDING = ".info.json"


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Reads every `NAME.info.json`, whose video is `NAME.mp4` or another ending.

    The label of a video is the query that found it: the name of its top folder, or the
    search that the file states; or what `queries` says for that query. A video that
    several queries of one class found stays once. The media id is the video's id, with
    the site's name before it if that is not YouTube. Files about a playlist or a
    channel describe no video and are passed over.

    Args:
        files: Files below the root: videos, with `.info.json` files beside them.
        annotations: Must be empty: the `.info.json` files say all.
        settings: Its `queries` and `query_from` say which class a video is of.

    Returns:
        The videos, and the classes in alphabetical order.

    Raises:
        ValueError: A file is no yt-dlp information, or its query is not in `queries`;
            the message names it.
    """
    no_path(annotations, "the .info.json files are beside the videos")
    queries = QueryLabels(settings.queries)
    infos = [path for path in files.paths if path.endswith(INFO_ENDING)]
    if not infos:
        raise ValueError(
            f"{files.root} holds no {INFO_ENDING} files (--write-info-json)"
        )
    videos = videos_by_stem(files)
    entries = []
    with Progress(len(infos), "file", f"reading {INFO_ENDING} files") as progress:
        for path in infos:
            entry = _entry(files, path, videos, queries, settings)
            entries += [entry] if entry else []
            progress.update()
    entries = list(_marked_repeats(entries))
    return Listing(queries.class_names(entries), entries)


def videos_by_stem(files: FileIndex) -> dict[str, str]:
    """The videos by their paths without ending, composed (NFC)."""
    videos: dict[str, str] = {}
    for path in files.paths:
        stem = path[: -len(ending_of(path))]
        if ending_of(path) in VIDEO_ENDINGS:
            videos.setdefault(composed(stem), path)
    return videos


def media_id_of(info: Mapping[str, Any]) -> str:
    """A video's id, with the site's name before it if that is not YouTube."""
    site = str(info.get("extractor") or "youtube").lower()
    return str(info["id"]) if site == "youtube" else f"{site}:{info['id']}"


def _marked_repeats(entries: list[Entry]) -> Iterator[Entry]:
    """Leaves out what another query of the same class found, too."""
    seen = set()
    for entry in entries:
        key = entry.media_id, entry.label
        if entry.video and key in seen:
            entry = entry._replace(reason=REPEATED)
        elif entry.video:
            seen.add(key)
        yield entry


def _entry(files, path, videos, queries, settings) -> Entry | None:
    where = files.path(path)
    info = read_json(where)
    if not isinstance(info, dict) or "id" not in info:
        raise ValueError(f"{where}: no information about a video; it has no 'id'")
    if info.get("_type", "video") != "video":
        return None
    query = composed(str(info.get("playlist_title") or ""))
    if settings.query_from == "folder":
        query = folders_of(files, path, False)[1]
    elif not query:
        raise ValueError(
            f"{where} has no 'playlist_title'; give --query_from=folder if the folders "
            "are named as the queries"
        )
    label = queries.label_of(query, where)
    media_id = media_id_of(info)
    stem = path.removesuffix(INFO_ENDING)
    video = videos.get(composed(stem), "")
    return Entry(
        where, 0, stem, label, "", media_id, video, reason="" if video else MISSING
    )
