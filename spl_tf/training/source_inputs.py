"""From a config to what is trained on: datasets, labels, filters, clips of items."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from absl import logging
from ml_collections import config_dict

from spl_tf import data
from spl_tf.clips import Clip, ClipDataset, parse_clip
from spl_tf.clips.frame_shape import FLOW
from spl_tf.inference.outputs import is_multi_label
from spl_tf.labels import ConfusionMatrix, LabelMap, build_label_map
from spl_tf.labels.assignment import Assignment
from spl_tf.labels.filters import ClipFilter, counts_per_class, read_filter
from spl_tf.motion import CameraMotion
from spl_tf.runs import run_folder
from spl_tf.training.config import SNIPPETS, default_source, source_shares
from spl_tf.training.objectives import read_transition

# Videos of 25 and of 30 frames per second are often mixed; twice the rate is a mistake.
_FRAME_RATE_RATIO = 1.25
# Homographies are of places from edge to edge of the frame: in one of another shape a
# turn of the camera becomes a shear.
_SHAPE_RATIO = 1.05
_CLIPS_LOOKED_AT = 16


@dataclasses.dataclass(frozen=True)
class Sources:
    """What a run trains on.

    Attributes:
        inputs: What is read of each source, in the order of the config.
        sizes: Clips of each in a batch of one replica.
        label_names: What the model's outputs stand for; the same for all sources.
        clips: Number of clips that an epoch reads of each source: those that its labels
            and filter keep, or videos that have one.
        kept: By source with a filter and by class, its clips and those kept of them.
        clips_per_epoch: Clips of all sources in the steps in which the one that
            `config.data.epoch_of` names, or the first, is read once.
        mixup_across: Alpha with which clips of all sources are mixed; 0 for none.
    """

    inputs: list[data.TrainInput]
    sizes: list[int]
    label_names: list[str]
    clips: list[int]
    kept: dict[str, dict[str, list[int]]]
    clips_per_epoch: int
    mixup_across: float = 0.0

    @property
    def names(self) -> list[str]:
        """Names of the sources, where there are several; else none."""
        names = [source.name for source in self.inputs]
        return names if len(names) > 1 else []

    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the datasets, by what each is used for."""
        return {
            "/".join(["train", source.name] if self.names else ["train"]): (
                run_folder.dataset_fingerprint(source.dataset)
            )
            for source in self.inputs
        }


def open_sources(config: config_dict.ConfigDict, batch_size: int) -> Sources:
    """Opens what is trained on.

    Args:
        config: A training's whole config.
        batch_size: Clips of a batch of one replica.

    Raises:
        ValueError: A dataset does not have what its labels or filter need, no clip is
            left of one, or the labels of two sources differ.
    """
    settings = settings_of_sources(config)
    sizes = source_shares(settings, batch_size)
    across = config.data.mixup if config.data.mixup_across else 0.0
    if across and batch_size < 2:
        raise ValueError(
            f"config.data.mixup_across mixes the clips of a batch, and it has "
            f"{batch_size}"
        )
    if config.data.mixup and not across and min(sizes.values()) < 2:
        raise ValueError(
            f"config.data.mixup is {config.data.mixup}, and of a batch of {batch_size} "
            f"clips source {min(sizes, key=sizes.get)!r} has one, and none to mix it "
            "with"
        )
    inputs, names, clips, kept = [], {}, [], {}
    for name, each in settings.items():
        seed = config.seed
        if len(settings) > 1:  # an order and draws of its own
            digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            seed = int.from_bytes(digest[:7], "big")
        with _names_key(config, name):
            source, names[name] = _open_source(config, name, each, seed)
            found = data.kept_clips(source)
            rows = found.rows
            if source.positive_frames is not None:
                logging.info(
                    "%d of the %d clips of source %r are kept and have a frame in "
                    "which the teacher finds their label",
                    *(len(rows), len(source.dataset), name),
                )
            if source.one_per_video:
                rows = data.media_kept(source, np.asarray(rows))
                videos = len(np.unique(source.dataset.index.group))
                logging.info(
                    "%d of the %d videos of source %r have a clip that is kept",
                    *(len(rows), videos, name),
                )
        inputs.append(source)
        clips.append(len(rows))
        if source.clip_filter != ClipFilter():
            counts = counts_per_class(
                source.dataset.index.label,
                data.filter_rows(source),
                source.dataset.info.class_names,
            )
            kept[name] = {label: list(pair) for label, pair in counts.items()}
            logging.info(
                "the filter of source %r keeps %d of %d clips; by class: %s",
                name,
                sum(after for _, after in kept[name].values()),
                len(source.dataset),
                ", ".join(f"{k} {b} of {a}" for k, (a, b) in kept[name].items()),
            )
            _warn_of_emptied(source, found.of_label, names[name])
    _check_motion(settings, inputs)
    first, *others = names
    for other in others:
        if names[other] != names[first]:
            raise ValueError(
                f"config.data.sources: {first} has the labels {_some(names[first])}, "
                f"{other} has {_some(names[other])}; expected the same, in one order"
            )
    if config.loss.name == "forward_correction":
        # What does not fit is refused here, before the workdir is claimed.
        read_transition(config.loss.transition, inputs[0].dataset, len(names[first]))
    place = list(names).index(config.data.epoch_of or first)
    per_epoch = round(clips[place] * batch_size / sizes[list(names)[place]])
    sizes = list(sizes.values())
    return Sources(inputs, sizes, names[first], clips, kept, per_epoch, across)


def _warn_of_emptied(source: data.TrainInput, of_label, names: list[str]) -> None:
    """Names the labels that the filter leaves no clip of, whatever they are."""
    unfiltered = dataclasses.replace(source, clip_filter=ClipFilter())
    before = data.kept_clips(unfiltered).of_label
    before[: len(of_label)] *= of_label == 0
    if len(lost := np.flatnonzero(before)):
        logging.warning(
            "the filter of source %r keeps no clip of %s",
            *(source.name, ", ".join(names[label] for label in lost)),
        )


@contextlib.contextmanager
def _names_key(config, name: str) -> Iterator[None]:
    """Puts the key of a source before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        if not config.data.sources:
            raise
        raise ValueError(f"config.data.sources.{name}: {error}") from error


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:3])}, ... ({len(names)})"


def settings_of_sources(config) -> Mapping[str, config_dict.ConfigDict]:
    """`config.data.sources`, or the one that `config.data.train` is short for."""
    if config.data.sources:
        return config.data.sources
    source = default_source()
    source.dataset = config.data.train
    if config.data.label_map:
        source.labels.update(kind="label_map", path=config.data.label_map)
    source.resampling = config.data.resampling
    return {"train": source}


def _open_source(
    config, name: str, settings, seed: int
) -> tuple[data.TrainInput, list[str]]:
    """The input, and the names of the labels that it has."""
    dataset = ClipDataset(settings.dataset)
    if config.data.modality == FLOW and len(dataset):
        data.check_flow(dataset)
    kind, path = settings.labels.kind, settings.labels.path
    label_map = assignment = None
    names = dataset.info.class_names
    if kind == "label_map":
        label_map = LabelMap.load(path)
    elif kind == "teacher":
        label_map = build_label_map(ConfusionMatrix(names), "teacher")
    elif kind == "assignment":
        assignment = Assignment.load(path)
        fingerprint = run_folder.dataset_fingerprint(dataset)
        assignment.check(fingerprint, len(dataset), path)
        names = assignment.label_names
    if label_map is not None:
        names = label_map.label_names
    source = data.TrainInput(
        dataset=dataset,
        label_map=label_map,
        sampling=data.ClipSampling.of(config.data),
        crop_size=config.data.crop_size,
        flip=config.data.flip,
        seed=seed,
        short_side=tuple(config.data.short_side) or None,
        resampling=_resampling(settings.resampling),
        on_bad_record=config.data.on_bad_record,
        cache_bytes=int(config.runtime.cache_gb * 1e9),
        modality=config.data.modality,
        assignment=assignment,
        clip_filter=read_filter(settings.filter.to_dict()),
        name=name,
        clips_per_item=config.data.clips_per_item,
        positive_frames=data.PositiveFrames(dataset, settings.clips.min_confidence)
        if settings.clips.kind == SNIPPETS
        else None,
        image_clips=_image_clips(config, settings.clips, list(names)),
        one_per_video=settings.one_per_video,
        mixup=0.0 if config.data.mixup_across else config.data.mixup,
        several=kind in ("all", "one_of"),
        redraw=kind != "one_of" or settings.labels.redraw,
        num_outputs=len(names) if is_multi_label(config) else 0,
    )
    return source, list(names)


def _image_clips(config, settings, names: list[str]) -> data.ImageClips | None:
    if settings.kind not in data.IMAGE_KINDS:
        return None
    motion = None
    if settings.motion:
        motion, path = CameraMotion.load(settings.motion), settings.motion
        if motion.stride != config.data.stride:
            raise ValueError(
                f"{path} has the motion between frames at stride {motion.stride}, and "
                f"config.data.stride is {config.data.stride}; fit it with "
                f"--stride={config.data.stride}"
            )
        if settings.by_class and list(motion.class_names) != names:
            raise ValueError(
                f"clips.by_class: {path} has the classes {_some(motion.class_names)}, "
                f"expected the labels {_some(names)}, in that order"
            )
    return data.ImageClips(settings.kind, settings.step, motion, settings.by_class)


def _check_motion(settings, inputs: list[data.TrainInput]) -> None:
    """Raises ValueError where images would move otherwise than the videos."""
    moved = [each for each in inputs if each.image_clips and each.image_clips.motion]
    seen = {each.name: _some_clips(each.dataset) for each in inputs if moved}
    for image in moved:
        motion, path = image.image_clips.motion, settings[image.name].clips.motion
        key = f"config.data.sources.{image.name}.clips.motion: {path} was fitted to"
        for video in inputs:
            if video.image_clips is not None:
                continue
            for fault in (_other_rate, _other_shape):
                if found := fault(motion, seen[video.name]):
                    raise ValueError(
                        f"{key} {found} of source {video.name!r}; fit it to videos "
                        "that are like these"
                    )
        # Images are of any shape, and have no motion that could be fitted instead.
        if found := _other_shape(motion, seen[image.name]):
            logging.warning("%s %s of source %r", key, found, image.name)


def _other_rate(motion: CameraMotion, seen: list[Clip]) -> str:
    """How clips differ in frame rate from those that were fitted to, or nothing."""
    rates = [clip.frame_rate for clip in seen if clip.frame_rate > 0]
    if not (rates and motion.frame_rate):  # the records do not say
        return ""
    found = float(np.median(rates))
    if 1 / _FRAME_RATE_RATIO <= found / motion.frame_rate <= _FRAME_RATE_RATIO:
        return ""
    return (
        f"videos of {motion.frame_rate:g} frames per second, unlike the {found:g} of "
        "clips"
    )


def _other_shape(motion: CameraMotion, seen: list[Clip]) -> str:
    """How clips differ in shape from those that were fitted to, or nothing."""
    sizes = [(c.height, c.width) for c in seen if c.height > 0 and c.width > 0]
    height, width = motion.size
    ratios = [width / height * rows / columns for rows, columns in sizes]
    if not sizes or any(1 / _SHAPE_RATIO <= each <= _SHAPE_RATIO for each in ratios):
        return ""
    rows, columns = sizes[0]
    return (
        f"frames of {height} x {width} pixels, a shape that none has of {len(sizes)} "
        f"clips, the first with {rows} x {columns},"
    )


def _some_clips(dataset: ClipDataset) -> list[Clip]:
    """Some clips, evenly spread, of videos; in a dataset without them of images."""
    rows = np.flatnonzero(dataset.index.frames > 1)
    if not len(rows):
        rows = np.arange(len(dataset))
    places = np.linspace(0, len(rows) - 1, min(len(rows), _CLIPS_LOOKED_AT))
    found = []
    with dataset.reader() as reader:
        for row in rows[places.astype(int)].tolist():
            with contextlib.suppress(ValueError):  # of a bad record training tells
                found.append(parse_clip(reader.read(row)))
    return found


def _resampling(settings: config_dict.ConfigDict) -> data.Resampling | None:
    if settings.power != 1:
        return data.Resampling(power=settings.power)
    return data.Resampling(limit=settings.limit) if settings.limit else None
