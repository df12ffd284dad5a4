"""Clips as they are stored, or as networks are trained on them, for thumbnails."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from ml_collections import config_dict

from experiments.fit_camera_motion import moved_clips
from spl_tf import clips, data
from spl_tf.analysis.report import FilmLabel, Films
from spl_tf.analysis.report.sprites import make_sprite
from spl_tf.motion import CameraMotion
from spl_tf.motion.flow_encoding import decode_flow
from spl_tf.training.source_inputs import open_sources
from tfrecords_tools.inspection.flow_picture import flow_colors, full_speed

_FRAMES, _SIDE, _QUALITY = 8, 112, 60


def stored_clips(
    dataset: clips.ClipDataset, reader: clips.RecordReader, rows: Iterable[int]
) -> list[tuple[Sequence[bytes], FilmLabel]]:
    """Frames, as JPEGs, of some rows of a dataset, and what is said of each clip.

    Args:
        dataset: The dataset.
        reader: Its open shards.
        rows: The rows.

    Raises:
        ValueError: A record is damaged.
    """
    names, labels, found = dataset.info.class_names, dataset.index.label, []
    for row in rows:
        clip = clips.parse_clip(reader.read(int(row)))
        label = names[labels[row]] if labels[row] >= 0 else ""
        found.append((clip.frames, FilmLabel(clip.id, label)))
    return found


def training_films(config: config_dict.ConfigDict, shown: int = 12) -> list[Films]:
    """The first clips of each source that a training reads: images move as there.

    Args:
        config: A training's whole config, as its run has it.
        shown: Largest number of clips of each source.

    Raises:
        FileNotFoundError: A dataset is not there.
        ValueError: A source is not what the config says, or a record is bad.
    """
    sources = open_sources(config, config.data.batch_size)
    return [
        _source_films(source, sources.label_names, min(shown, count))
        for source, count in zip(sources.inputs, sources.clips, strict=True)
    ]


def _source_films(source: data.TrainInput, names: list[str], shown: int) -> Films:
    alone = dataclasses.replace(source, mixup=0.0, clips_per_item=1)
    batch = next(iter(data.train_batches(alone, shown, stop_step=1)))
    labels = [""] * shown
    if not source.num_outputs:
        labels = [names[label] for label in batch["label"].numpy().tolist()]
    ids = [name.decode(errors="replace") for name in batch["id"].numpy()]
    text = ""
    if source.image_clips is not None:
        text = f"Each clip is made of one image: {source.image_clips.kind}."
    films = list(map(FilmLabel, ids, labels))
    return _films(source.name, batch["clip"].numpy(), films, text)


def motion_films(motion: CameraMotion, dataset: clips.ClipDataset) -> list[Films]:
    """Some videos, and what the first frame of each becomes.

    Args:
        motion: The law that was fitted to the dataset.
        dataset: Clips of videos to draw from.
    """
    names, views = zip(*moved_clips(motion, dataset), strict=True)
    labels = [FilmLabel(name, "") for name in names]
    titles = ("as filmed", "the first frame, moved by homographies that were drawn")
    return [
        _films(title, [clip[line] for clip in views], labels, "")
        for line, title in enumerate(titles)
    ]


def _films(title, frames, labels, text) -> Films:
    frames = [_flow_pictures(clip) if clip.shape[-1] == 2 else clip for clip in frames]
    columns = min(_FRAMES, len(frames[0]))
    sprite = make_sprite(list(frames), columns, _SIDE, _QUALITY)
    return Films(title, sprite, labels, text)


def _flow_pictures(clip: np.ndarray) -> list[np.ndarray]:
    """Pictures of a clip's flow, uint8 [H, W, 3] each, from uint8 [T, H, W, 2]."""
    flow = decode_flow(clip)
    fastest = full_speed(flow)
    return [np.asarray(flow_colors(frame, fastest)) for frame in flow]
