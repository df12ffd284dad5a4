"""The clips that a config names: what a run trains and validates on."""

from __future__ import annotations

from ml_collections import config_dict

from spl_tf import data
from spl_tf.clips import ClipDataset
from spl_tf.labels import LabelMap
from spl_tf.training.objectives import read_transition


def open_source(config: config_dict.ConfigDict) -> tuple[data.TrainInput, list[str]]:
    """Opens what is trained on.

    Returns:
        The input, and the names of the labels that it has.
    """
    dataset = ClipDataset(config.data.train)
    label_map = LabelMap.load(config.data.label_map) if config.data.label_map else None
    source = data.TrainInput(
        dataset=dataset,
        label_map=label_map,
        sampling=data.ClipSampling(config.data.num_frames, config.data.stride),
        crop_size=config.data.crop_size,
        flip=config.data.flip,
        seed=config.seed,
        short_side=tuple(config.data.short_side) or None,
        resampling=_resampling(config.data.resampling),
        on_bad_record=config.data.on_bad_record,
        cache_bytes=int(config.runtime.cache_gb * 1e9),
    )
    data.check_labels(dataset)
    names = dataset.info.class_names if label_map is None else label_map.label_names
    if config.loss.name == "forward_correction":
        # What does not fit is refused here, before the workdir is claimed.
        read_transition(config.loss.transition, dataset, len(names))
    return source, list(names)


def _resampling(settings: config_dict.ConfigDict) -> data.Resampling | None:
    if settings.power != 1:
        return data.Resampling(power=settings.power)
    return data.Resampling(limit=settings.limit) if settings.limit else None


def open_validation(
    config: config_dict.ConfigDict, label_names: list[str]
) -> ClipDataset | None:
    """Opens what is evaluated on at the end; None without it.

    Raises:
        ValueError: Its classes are not the labels that are trained on, or a label is no
            class.
    """
    if not config.data.validation:
        return None
    validation = ClipDataset(config.data.validation)
    if validation.info.class_names != label_names:
        raise ValueError(
            f"config.data.validation: {validation.directory} has "
            f"{len(validation.info.class_names)} classes, the model "
            f"{len(label_names)} labels, or their names differ"
        )
    data.check_labels(validation)
    return validation
