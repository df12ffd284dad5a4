"""Several teachers that vote (OmniSource, section 5.4)."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from ml_collections import config_dict

from spl_tf.clips.frame_shape import RGB
from spl_tf.data.sampling import SAMPLINGS
from spl_tf.inference.outputs import is_multi_label
from spl_tf.runs import run_folder

Run = tuple[config_dict.ConfigDict, list[str], keras.Model]
# Keys of a config that say what a network looks at, and what runs from before one was
# made look at.
_LOOK = {
    "num_frames": None,
    "stride": None,
    "sampling": SAMPLINGS[0],
    "crop_size": None,
    "test_short_side": 0,
    "modality": RGB,
}


def load_teachers(checkpoints: Sequence[str]) -> list[Run]:
    """Opens finished runs whose networks can look at the same clips.

    Args:
        checkpoints: Workdirs, one or more.

    Returns:
        Config, names of the outputs and model of each.

    Raises:
        FileNotFoundError: One is no finished run.
        ValueError: There is none, or two differ in classes or clips; the message names
            both.
    """
    if not checkpoints:
        raise ValueError("there is no checkpoint, expected the workdir of a run")
    runs = [run_folder.load_run(checkpoint) for checkpoint in checkpoints]
    (first, names, _), *others = runs
    for checkpoint, (config, other, _) in zip(checkpoints[1:], others, strict=True):
        both = f"the teachers {checkpoints[0]} and {checkpoint}"
        if other != names:
            raise ValueError(f"{both} know different classes, or in another order")
        for key, before in _LOOK.items():
            found = first.data.get(key, before), config.data.get(key, before)
            if found[0] != found[1]:
                raise ValueError(
                    f"{both} were trained with data.{key} {found[0]} and {found[1]}; "
                    "those that vote must look at the same clips"
                )
        if is_multi_label(first) or is_multi_label(config):
            raise ValueError(f"{both}: one gives clips several labels, and cannot vote")
    return runs


def vote(models: Sequence[keras.Model]) -> keras.Model:
    """One model whose probabilities are the mean of those of several.

    Args:
        models: From clips [B, T, H, W, C] to logits [B, N].

    Returns:
        The same; its logits are logarithms of mean probabilities. One model alone is
        returned as it is.
    """
    if len(models) == 1:
        return models[0]
    for number, model in enumerate(models):
        model.name = f"teacher_{number}"  # layers of a model have different names
    clip = keras.Input(models[0].input_shape[1:])
    probabilities = [
        keras.ops.softmax(keras.ops.cast(model(clip), "float32")) for model in models
    ]
    mean = sum(probabilities) / len(models)
    tiny = keras.backend.epsilon() ** 4  # so that nothing is infinite
    return keras.Model(clip, keras.ops.log(mean + tiny))
