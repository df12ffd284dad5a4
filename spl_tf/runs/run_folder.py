"""The files of a workdir that say what the run is."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from absl import logging
from ml_collections import config_dict

from spl_tf.clips import ClipDataset, write_atomically
from spl_tf.clips.frame_shape import CHANNELS, RGB, height_and_width, modality_of
from spl_tf.files import same_path
from spl_tf.models import DEFAULT_NORMALIZATION, build_model, pixel_statistics
from spl_tf.runs.checkpoints import WEIGHTS, load_weights, newest_step
from spl_tf.text_files import composed

_CONFIG = "config.json"
_RESULTS = "results.json"
_NOT_FINITE = "not_finite.json"
# What may be set otherwise to get past a step that was not finite.
_REMEDIES = ("optimizer.learning_rate", "optimizer.clip_norm", "schedule.warmup")
_PACKAGES = ("spl_tf", "tensorflow", "keras", "numpy")


def check_workdir(workdir: str) -> None:
    """Raises ValueError for a path that is no folder of a mounted file system.

    Checkpoints are put in place by renaming, and a lock keeps others out.
    """
    if "://" in workdir:
        raise ValueError(
            f"workdir is {workdir}, expected a folder of this machine or of a shared "
            "file system; only the clips may be remote"
        )


def claim_workdir(
    workdir: str,
    config: config_dict.ConfigDict,
    defaults: config_dict.ConfigDict | None = None,
    **facts: Any,
) -> None:
    """Makes the workdir this run's own and writes its `config.json`; see `describe`."""
    os.makedirs(workdir, exist_ok=True)
    content = describe(workdir, config, defaults, **facts)
    write_json(os.path.join(workdir, _CONFIG), content)


def describe(
    workdir: str,
    config: config_dict.ConfigDict,
    defaults: config_dict.ConfigDict | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """What `config.json` of a run is to say, if the workdir can be this run's.

    A run that goes on may have another `runtime`: another machine may continue it, if
    the facts stay, the clips of a step among them. One that stopped at a step that was
    not finite may, until it has a checkpoint from after that step, also have another
    learning rate, warmup or limit of the gradient; `changes` then says so in the file.

    Args:
        workdir: Folder that the run is to have, with or without a run in it.
        config: What the run was asked to do.
        defaults: What keys mean that a config from before they were made lacks.
        **facts: Written beside it; for a training run `label_names`, what the
            model's outputs stand for, in order, `datasets`, their fingerprints by
            use, and `clips_per_step`.

    Raises:
        ValueError: The workdir belongs to a run with another config.
    """
    path = os.path.join(workdir, _CONFIG)
    # Through JSON, so that tuples and lists compare equal.
    settings = json.loads(json.dumps(config.to_dict()))
    changes = []
    if os.path.exists(path):
        former = _read_config(path)
        if defaults is not None:
            _fill(former["config"], json.loads(json.dumps(defaults.to_dict())))
        compared = [
            {key: value for key, value in each.items() if key != "runtime"}
            for each in (former["config"], settings)
        ]
        differing = _differences(*compared)
        step = _not_finite_step(workdir)
        allowed = () if step is None else _REMEDIES
        remedies = [d for d in differing if d.startswith(allowed)]
        differing = [each for each in differing if each not in remedies]
        for key, fact in facts.items():
            if isinstance(fact, int):
                differing += _differences({key: former.get(key)}, {key: fact})
            elif former.get(key) != fact:
                differing.append(f"{key} changed")
        if differing:
            raise ValueError(
                f"{workdir} belongs to a run with another config: "
                f"{'; '.join(differing)}. Choose another workdir, or delete this one"
            )
        changes = former.get("changes", [])
        if remedies:
            changes.append({"not_finite_step": step, "changed": remedies})
            logging.info("step %d was not finite: %s", step, "; ".join(remedies))
    return {
        "config": settings,
        **facts,
        **({"changes": changes} if changes else {}),
        "git_revision": _git_revision(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _fill(config: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Adds the keys that a config lacks."""
    for key, value in defaults.items():
        if key not in config:
            config[key] = value
        elif isinstance(value, dict) and isinstance(config[key], dict):
            _fill(config[key], value)


def _read_config(path: str) -> dict[str, Any]:
    """Reads a `config.json`; the names of labels are compared composed (NFC)."""
    content = read_json(path)
    if "label_names" in content:
        content["label_names"] = list(map(composed, content["label_names"]))
    return content


def note_not_finite(workdir: str, step: int) -> None:
    """Notes the step that stopped a run, for `claim_workdir`."""
    write_json(os.path.join(workdir, _NOT_FINITE), {"step": step})


def _not_finite_step(workdir: str) -> int | None:
    """The step that stopped a run; None if there is none, or it got past that step."""
    path = os.path.join(workdir, _NOT_FINITE)
    step = read_json(path)["step"] if os.path.exists(path) else -1
    return step if step >= newest_step(workdir) else None


def _differences(former: dict, current: dict, prefix: str = "") -> list[str]:
    """Names the keys in which two nested dictionaries differ."""
    found = []
    for key in sorted(set(former) | set(current)):
        old, new = former.get(key), current.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{prefix}{key}.")
        elif old != new and not same_path(old, new):
            found.append(f"{prefix}{key} was {old!r}, is {new!r}")
    return found


def check_start(
    workdir: str, keep_head: bool, label_names: list[str], modality: str = RGB
) -> None:
    """Raises where a run cannot start from the weights of another one.

    Args:
        workdir: The other run's folder; that run must be finished.
        keep_head: Whether its head is to be loaded, for the same labels.
        label_names: The labels that the starting run tells apart.
        modality: What it sees of a clip, one of `clips.frame_shape.CHANNELS`.

    Raises:
        FileNotFoundError: It is no run, or has not finished.
        ValueError: Its network sees something else, or its head, which is to be loaded,
            is of other labels.
    """
    config, weights = (os.path.join(workdir, name) for name in (_CONFIG, WEIGHTS))
    for path in (config, weights):
        if not os.path.exists(path):
            raise FileNotFoundError(
                f"config.init.checkpoint: {path} does not exist; expected the workdir "
                "of a finished run"
            )
    content = _read_config(config)
    seen = modality_of(content["config"].get("data", {}))
    if seen != modality:
        raise ValueError(
            f"config.init.checkpoint is {workdir}, whose network sees {seen!r}, and "
            f"config.data.modality is {modality!r}; expected the same, or its "
            f"{weights} in config.init.inflate, which gives the first layer as many "
            "channels"
        )
    former = content["label_names"]
    if keep_head and former != label_names:
        raise ValueError(
            f"config.init.keep_head: the head of {workdir} is of {len(former)} labels "
            f"({', '.join(former[:3])}, ...), this run has {len(label_names)} "
            f"({', '.join(label_names[:3])}, ...); names and order must be the same"
        )


def load_run(
    workdir: str,
) -> tuple[config_dict.ConfigDict, list[str], keras.Model]:
    """Opens a finished run.

    Returns:
        Its config, the names of the model's outputs, and the trained model.

    Raises:
        FileNotFoundError: There is no finished run.
    """
    path = os.path.join(workdir, _CONFIG)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} does not exist: {workdir} is no training run")
    content = _read_config(path)
    config = config_dict.ConfigDict(content["config"])
    model = build_from_config(config, len(content["label_names"]))
    load_weights(workdir, model, keep_head=True)
    return config, content["label_names"], model


def dataset_fingerprint(dataset: ClipDataset) -> str:
    """SHA-256 over a dataset's description and index."""
    facts = dataclasses.asdict(dataset.info)
    del facts["files"]  # a copied video has another time and gives the same clips
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    index = dataset.index
    for column in (index.shard, index.offset, index.length, index.label, index.teacher):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def network_fingerprint(model: keras.Model) -> str:
    """SHA-256 over all weights of a network."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _git_revision() -> str | None:
    """The source tree's commit, with "-dirty" if it was changed; None without git."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        done = subprocess.run(
            ["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def build_from_config(config: config_dict.ConfigDict, num_classes: int) -> keras.Model:
    """Builds the model that a config describes."""
    data = config.data
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.model.precision)
    try:
        return _build(config, data, num_classes)
    finally:
        keras.config.set_dtype_policy(former)


def _build(config, data, num_classes: int) -> keras.Model:
    # What a run from before a key was made lacks is as `build_model` has it.
    settings = dict(config.model)
    del settings["precision"]
    channels = CHANNELS[modality_of(data)]
    return build_model(
        settings.pop("name"),
        num_classes,
        (data.num_frames, *height_and_width(data.crop_size), channels),
        weight_decay=config.optimizer.weight_decay,
        **settings | {"normalization": _normalization(config.model)},
    )


def _normalization(settings: Mapping[str, Any]):
    """How a run's model normalises pixels; what all did before there was a choice."""
    return settings.get("normalization", DEFAULT_NORMALIZATION)


def check_normalization(config: config_dict.ConfigDict) -> None:
    """Checks that the weights a run starts from are for pixels as it normalises them.

    Weights without a run's `config.json` beside them are taken as they are.

    Raises:
        ValueError: They are for others; the message names the keys.
    """
    init, folders = config.init, {"checkpoint": config.init.checkpoint}
    if init.inflate.endswith(".npz"):
        folders["inflate"] = os.path.dirname(os.path.abspath(init.inflate))
    for key, folder in folders.items():
        path = os.path.join(folder, _CONFIG)
        if not folder or not os.path.exists(path):
            continue
        theirs = _normalization(_read_config(path)["config"]["model"])
        ours = _normalization(config.model)
        if pixel_statistics(theirs) != pixel_statistics(ours):
            raise ValueError(
                f"config.init.{key} is {init[key]}, whose weights are for "
                f"config.model.normalization {theirs!r}, and here it is {ours!r}; "
                "expected the same"
            )


def read_results(workdir: str) -> dict[str, Any] | None:
    """The results of a finished run, else None."""
    path = os.path.join(workdir, _RESULTS)
    return read_json(path) if os.path.exists(path) else None


def write_results(workdir: str, results: dict[str, Any]) -> None:
    """Writes `results.json`; done last, it marks the run as finished."""
    write_json(os.path.join(workdir, _RESULTS), results)


def read_json(path: str) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        ValueError: The file is no JSON.
    """
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from error


def write_json(path: str, content: dict[str, Any]) -> None:
    """Writes a JSON object atomically."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())
