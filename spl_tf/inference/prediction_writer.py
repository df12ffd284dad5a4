"""Writing the shards of a prediction while the teacher goes on."""

from __future__ import annotations

import concurrent.futures
import itertools
import queue
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from spl_tf import clips, data
from spl_tf.inference.media_overlap import media_id
from spl_tf.inference.prediction_folder import BAD_RECORD, PredictionFolder, ShardReport

_WAITING_BATCHES = 8  # predicted and not yet written
_POLL_SECONDS = 0.2


class _StoppedError(Exception):
    """The predictions that the writer waits for will not come."""


class ShardWriter:
    """Writes shards in a thread of its own, from predictions as they come.

    A context manager: leaving it waits until all is written, or, after an error, ends
    at once and leaves nothing half-written.
    """

    def __init__(
        self,
        folder: PredictionFolder,
        dataset: clips.ClipDataset,
        shards: list[int],
        own_media: set[str] | None,
        skipped: data.SkippedRecords | None = None,
    ):
        """Starts nothing yet.

        Args:
            folder: Folder that gets the shards.
            dataset: The dataset whose records are labelled.
            shards: Positions of the shards to write, ascending.
            own_media: Media ids of the videos that the teacher was trained on, if
                known.
            skipped: Holds the rows, of those that come, to be left out.
        """
        self._folder, self._dataset, self._shards = folder, dataset, shards
        self._own_media, self._has_warned = own_media, False
        self._skipped = skipped
        self._queue: queue.Queue = queue.Queue(_WAITING_BATCHES)
        self._stopped = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "write")

    def __enter__(self) -> ShardWriter:
        self._written = self._pool.submit(self._write_all)
        return self

    def __exit__(self, kind, *unused) -> None:
        if kind is not None:
            self._stopped.set()
        self._pool.shutdown()
        if kind is None:
            self._written.result()

    def put(
        self,
        rows: np.ndarray,
        classes: np.ndarray,
        confidences: np.ndarray,
        frames: Sequence[clips.FrameChoices] | None = None,
    ) -> None:
        """Takes the next rows' predictions; may wait.

        Args:
            rows: int64 [n], rows of the index.
            classes: Integers [n, k], the top-k classes of each.
            confidences: float32 [n, k], their probabilities.
            frames: What is said of the frames of each; None for nothing.

        Raises:
            Exception: The error that stopped the writing.
        """
        while True:
            if self._written.done():
                self._written.result()
            try:
                self._queue.put(
                    (rows, classes, confidences, frames), timeout=_POLL_SECONDS
                )
                return
            except queue.Full:
                continue

    def _write_all(self) -> None:
        sizes = np.bincount(self._dataset.index.shard)
        predictions = self._predictions()
        with self._dataset.reader() as reader:
            for shard in self._shards:
                size = int(sizes[shard]) if shard < len(sizes) else 0
                own: list[str] = []
                left_out: list[dict[str, str]] = []
                of_shard = itertools.islice(predictions, size)
                summary = self._folder.write_shard(
                    shard, self._records(reader, of_shard, own, left_out)
                )
                count = None if self._own_media is None else len(own)
                report = ShardReport(summary, count, own[0] if own else "", left_out)
                self._folder.save_report(shard, report)

    def _predictions(self) -> Iterator[tuple]:
        """Of one row after another it, classes, confidences, `FrameChoices` or None."""
        while not self._stopped.is_set():
            try:
                rows, *best, frames = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            classes, confidences = (array.tolist() for array in best)
            frames = [None] * len(rows) if frames is None else frames
            yield from zip(rows.tolist(), classes, confidences, frames, strict=True)
        raise _StoppedError

    def _records(
        self, reader, predictions, own, left_out
    ) -> Iterator[tuple[bytes, int, int, int]]:
        index = self._dataset.index
        for row, classes, confidences, frames in predictions:
            if self._skipped is not None and row in self._skipped:
                left_out.append(
                    {
                        "video": index.shard_names[index.shard[row]],
                        "clip": "",
                        "kind": BAD_RECORD,
                        "reason": self._skipped.reason(row),
                    }
                )
                continue
            record = reader.read(row)
            self._check_media(record, own)
            yield (
                clips.with_teacher(record, classes, confidences, frames),
                int(index.frames[row]),
                int(index.label[row]),
                classes[0],
            )

    def _check_media(self, record: bytes, own: list[str]) -> None:
        if not self._own_media:
            return
        media = media_id(record)
        if media not in self._own_media:
            return
        own.append(media)
        if not self._has_warned:
            self._has_warned = True
            logging.warning("the teacher was trained on clips of video %r", media)
