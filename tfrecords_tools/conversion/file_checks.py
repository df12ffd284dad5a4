"""Which files of a manifest are left out before any clip is made."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from spl_tf.progress import Progress
from spl_tf.text_files import composed
from tfrecords_tools.conversion.conversion import DUPLICATE, EXCLUDED
from tfrecords_tools.conversion.manifest import ManifestRow, path_of, read_ids
from tfrecords_tools.conversion.shard_job import (
    WorkerDiedError,
    skipped_entry,
    work_folder,
)
from tfrecords_tools.decoding import frame_folder
from tfrecords_tools.decoding.decoder import Decoder
from tfrecords_tools.decoding.video import UnreadableVideoError

_CHUNK = 1000
_MAX_CRASHES = 20  # of decoders of which none has ever given an answer
_DOING = {"probe": "probing files", "digest": "comparing files"}


def split_excluded(
    rows: Sequence[ManifestRow], exclude_ids: str
) -> tuple[list[ManifestRow], list[dict[str, str]]]:
    """Takes out the rows whose video is listed in a file of ids.

    A video is meant by its media id, its path, or its file name with or without the
    ending; accented letters may be of Unicode's form NFC or NFD.

    Returns:
        The rows that stay, and an entry for each video taken out.
    """
    if not exclude_ids:
        return list(rows), []
    ids = read_ids(exclude_ids)
    stay, excluded = [], {}
    for row in rows:
        name = os.path.basename(row.video)
        names = {row.media_id, row.video, name, os.path.splitext(name)[0]}
        if ids.isdisjoint(map(composed, names)):
            stay.append(row)
        elif row.video not in excluded:
            excluded[row.video] = skipped_entry(
                row.video, "", EXCLUDED, f"listed in {exclude_ids}"
            )
    return stay, list(excluded.values())


def examine(
    operation: str,
    root: str,
    videos: Sequence[str],
    output_dir: str,
    num_workers: int,
    time_limit: float,
    frames_fps: float = 0.0,
) -> dict[str, dict[str, Any]]:
    """Asks something about every video, each within a time limit.

    Results are kept in the work folder in chunks of a thousand, so an examination that
    was stopped goes on.

    Args:
        operation: "probe" or "digest", a method of `Decoder`.
        root: Folder that the videos' paths start from.
        videos: Paths of the files, each once.
        output_dir: Folder of the dataset, which holds the work folder.
        num_workers: Processes that decode at a time.
        time_limit: Seconds that one video may take.
        frames_fps: Frames per second of folders of frames.

    Returns:
        By video {"result": ...}, or {"kind", "reason"} of what is wrong with it.

    Raises:
        WorkerDiedError: No decoder lives long enough to say anything about any video.
    """
    folder, results = work_folder(output_dir), {}
    with (
        _Decoders(num_workers, time_limit, frames_fps) as decoders,
        Progress(len(videos), "file", _DOING[operation]) as progress,
    ):
        for number, start in enumerate(range(0, len(videos), _CHUNK)):
            chunk = videos[start : start + _CHUNK]
            name = f"{operation}-{number:05d}.json"
            known = folder.load(name) or {}
            if list(known) == chunk:
                progress.update(len(chunk))
            else:
                known = {}
                paths = [path_of(root, video) for video in chunk]
                for video, answer in zip(
                    chunk, decoders.map(operation, paths), strict=True
                ):
                    known[video] = answer
                    progress.update()
                folder.save(name, known)
            results.update(known)
    return results


class _Decoders:
    """A thread with its own `Decoder` per worker."""

    def __init__(self, num_workers: int, *how: float):
        self._idle = collections.deque(Decoder(*how) for _ in range(num_workers))
        self._threads = concurrent.futures.ThreadPoolExecutor(num_workers)
        self._crashes, self._works = 0, False

    def map(self, operation: str, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
        return self._threads.map(lambda path: self._ask(operation, path), paths)

    def _ask(self, operation: str, path: str) -> dict[str, Any]:
        decoder = self._idle.pop()
        try:
            answer = getattr(decoder, operation)(path)
            self._works = True
            return {"result": answer if isinstance(answer, str) else vars(answer)}
        except UnreadableVideoError as error:
            self._crashes += error.kind == "crashed"
            self._works |= error.kind != "crashed"
            if not self._works and self._crashes >= _MAX_CRASHES:
                raise WorkerDiedError(
                    f"none of {self._crashes} files can be looked at, the last, "
                    f"{path}: {error}: is there enough memory (fewer --num_workers?), "
                    "and does `python -m "
                    "tfrecords_tools.decoding.decoder_process` start?"
                ) from error
            return {"kind": error.kind, "reason": str(error)}
        finally:
            self._idle.append(decoder)

    def __enter__(self) -> _Decoders:
        return self

    def __exit__(self, *unused) -> None:
        self._threads.shutdown(cancel_futures=True)
        for decoder in self._idle:
            decoder.close()


def split_duplicates(
    rows: Sequence[ManifestRow],
    excluded: Sequence[str],
    root: str,
    digests: Callable[[list[str]], dict[str, dict[str, Any]]],
) -> tuple[list[ManifestRow], list[dict[str, str]]]:
    """Takes out rows that repeat an earlier row's content under another path.

    Only files of equal size are read. Rows of the same content with other start or end
    times are no duplicates. Nothing that has the content of an excluded file stays.

    Args:
        rows: What to convert; their files exist.
        excluded: Files that must not enter, which need not exist.
        root: Folder that their paths start from.
        digests: Gives `examine("digest", ...)` of some videos.

    Returns:
        The rows that stay, and an entry for each video taken out.
    """
    by_size = collections.defaultdict(list)
    for video in dict.fromkeys([*excluded, *(row.video for row in rows)]):
        with contextlib.suppress(tf.errors.NotFoundError, UnreadableVideoError):
            by_size[_size(path_of(root, video))].append(video)
    same_size = [v for videos in by_size.values() if len(videos) > 1 for v in videos]
    content = {
        video: answer["result"]
        for video, answer in (digests(same_size) if same_size else {}).items()
        if "result" in answer
    }
    first: dict[tuple, ManifestRow] = {}
    stay, repeated = [], {}
    banned = {content[video]: video for video in excluded if video in content}
    for row in rows:
        if content.get(row.video) in banned:
            if row.video not in repeated:
                repeated[row.video] = skipped_entry(
                    row.video,
                    "",
                    EXCLUDED,
                    f"same content as {banned[content[row.video]]}, which is excluded",
                )
            continue
        key = (content.get(row.video, row.video), row.start, row.end)
        known = first.setdefault(key, row)
        if known.video == row.video:
            stay.append(row)
        elif row.video not in repeated:
            repeated[row.video] = skipped_entry(
                row.video,
                "",
                DUPLICATE,
                f"same content as {known.video} (line {known.line})",
            )
    return stay, list(repeated.values())


def _size(path: str) -> int:
    """Bytes of a file, or of all frames in a folder."""
    status = tf.io.gfile.stat(path)
    if not status.is_directory:
        return status.length
    names = frame_folder.frame_names(path)
    return sum(_size(os.path.join(path, name)) for name in names)
