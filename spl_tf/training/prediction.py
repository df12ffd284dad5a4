"""The teacher's predictions, written into the clip records."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os

import numpy as np
import tensorflow as tf
import tqdm

from spl_tf import clips, data
from spl_tf.labels import ConfusionMatrix
from spl_tf.training import runs
from spl_tf.training.evaluation import forward_batches
from spl_tf.training.strategies import make_strategy


def predict(
    checkpoint: str,
    input_dir: str,
    output_dir: str,
    batch_size: int = 32,
    top_k: int = 5,
    strategy: str = "auto",
) -> clips.DatasetInfo:
    """Writes a dataset again, with the teacher's top-k classes in every record.

    Frames are copied byte for byte. The counts of weak label x teacher's first choice
    go into `dataset.json`.

    Args:
        checkpoint: Workdir of the teacher's finished training run.
        input_dir: The dataset to label.
        output_dir: Where the labelled dataset goes.
        batch_size: Clips per replica.
        top_k: Classes to keep per clip.
        strategy: See `make_strategy`.

    Returns:
        The new dataset's description.

    Raises:
        ValueError: The teacher's classes are not the dataset's.
        FileExistsError: `output_dir` already holds a dataset.
    """
    dataset = clips.ClipDataset(input_dir)
    if tf.io.gfile.exists(os.path.join(output_dir, "dataset.json")):
        raise FileExistsError(f"{output_dir} already holds a dataset")
    devices = make_strategy(strategy)
    with devices.scope():
        config, label_names, model = runs.load_run(checkpoint)
    if label_names != dataset.info.class_names:
        raise ValueError(
            f"the teacher {checkpoint} knows {len(label_names)} classes "
            f"({', '.join(label_names[:3])}, ...), {input_dir} has "
            f"{len(dataset.info.class_names)} "
            f"({', '.join(dataset.info.class_names[:3])}, ...); names and order must "
            "be the same"
        )
    top_k = min(top_k, len(label_names))
    sampling = data.ClipSampling(config.data.num_frames, config.data.stride)

    def batches():
        return data.predict_batches(
            dataset,
            sampling,
            config.data.crop_size,
            batch_size,
            replicas=devices.num_replicas_in_sync,
        )

    tf.io.gfile.makedirs(output_dir)
    writer = _ShardWriter(dataset, output_dir)
    with tqdm.tqdm(total=len(dataset), unit="clip", desc="predicting") as progress:
        for batch in forward_batches(model, devices, batches):
            probabilities = batch["probabilities"][batch["mask"]]
            # Stable, so that of equal probabilities the lower class comes first.
            best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
            writer.add(best, np.take_along_axis(probabilities, best, axis=1))
            progress.update(len(best))
    index = writer.finish()
    index.save(output_dir)

    confusion = ConfusionMatrix(dataset.info.class_names)
    confusion.update(index.label, index.teacher)
    weak, teacher, count = confusion.cells()
    info = dataclasses.replace(
        dataset.info,
        shards=[
            shard | {"num_bytes": int(index.length[index.shard == position].sum())}
            for position, shard in enumerate(dataset.info.shards)
        ],
        teacher={
            "checkpoint": os.path.basename(os.path.normpath(checkpoint)),
            "top_k": top_k,
            "confusion": {
                "weak": weak.tolist(),
                "teacher": teacher.tolist(),
                "count": count.tolist(),
            },
        },
    )
    info.save(output_dir)
    return info


class _ShardWriter:
    """Collects predictions in row order; writes each shard when it is complete.

    One thread writes while the model goes on.
    """

    def __init__(self, dataset: clips.ClipDataset, output_dir: str):
        self._dataset = dataset
        self._output_dir = output_dir
        self._reader = dataset.reader()
        self._classes: list[np.ndarray] = []
        self._confidences: list[np.ndarray] = []
        self._next_row = 0
        self._shard = 0
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._summaries: list[concurrent.futures.Future] = []

    def add(self, classes: np.ndarray, confidences: np.ndarray) -> None:
        """Takes the top-k classes and probabilities, [B, k] each, of the next rows."""
        self._classes.extend(classes)
        self._confidences.extend(confidences)
        self._write_complete()

    def _write_complete(self) -> None:
        names = self._dataset.index.shard_names
        while self._shard < len(names):
            size = self._dataset.info.shards[self._shard]["num_clips"]
            if len(self._classes) < size:
                return
            rows = range(self._next_row, self._next_row + size)
            classes, self._classes = self._classes[:size], self._classes[size:]
            confidences = self._confidences[:size]
            self._confidences = self._confidences[size:]
            self._summaries.append(
                self._pool.submit(
                    self._write, names[self._shard], rows, classes, confidences
                )
            )
            self._next_row += size
            self._shard += 1

    def _write(self, name, rows, classes, confidences) -> clips.ShardSummary:
        index = self._dataset.index
        return clips.write_shard(
            self._output_dir,
            name,
            (
                (
                    clips.with_teacher(
                        self._reader.read(row), best.tolist(), confidence.tolist()
                    ),
                    int(index.frames[row]),
                    int(index.label[row]),
                    int(best[0]),
                )
                for row, best, confidence in zip(
                    rows, classes, confidences, strict=True
                )
            ),
        )

    def finish(self) -> clips.ClipIndex:
        """Waits for the last shard and returns the new index."""
        self._write_complete()
        summaries = [future.result() for future in self._summaries]
        self._pool.shutdown()
        self._reader.close()
        return clips.ClipIndex.from_shards(summaries)
