"""Rules that configs of experiments have in common."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_collections import config_dict

from spl_tf.data.sampling import NUM_CROPS


def check_keys(
    found: Iterable[str],
    reference: Iterable[str],
    path: str,
    all_needed: bool = True,
) -> None:
    """Raises ValueError where keys are unknown or missing.

    Args:
        found: Keys of a part of the config.
        reference: Keys that this part can have.
        path: Where that part is, for messages, such as "config.data".
        all_needed: Whether it must have all of them.
    """
    unknown, missing = set(found) - set(reference), set(reference) - set(found)
    if unknown:
        raise ValueError(
            f"{path}.{min(unknown)} is unknown; known are {sorted(reference)}"
        )
    if missing and all_needed:
        raise ValueError(f"{path}.{min(missing)} is missing")


def chosen_words(
    argument: str, choices: Sequence[Sequence[str]], switches: Sequence[str] = ()
) -> tuple[list[str], set[str]]:
    """What the words of a config's argument choose.

    Args:
        argument: Words with commas between, in any order.
        choices: Of each, one word may be named; else it is the first.
        switches: Words that may be there or not.

    Returns:
        The word of each choice, and the switches that are there.

    Raises:
        ValueError: A word is unknown, or two are of one choice.
    """
    words = [word for word in argument.split(",") if word]
    found = []
    for known in choices:
        named = [word for word in words if word in known]
        if len(named) > 1:
            raise ValueError(f"the config's argument names {' and '.join(named)}")
        found.append((named or list(known))[0])
    known = {*switches, *(word for choice in choices for word in choice)}
    if unknown := set(words) - known:
        raise ValueError(
            f"the config's argument has {min(unknown)!r}, expected words of "
            f"{sorted(known)}"
        )
    return found, set(words) & set(switches)


def set_rows(config: config_dict.ConfigDict, rows: Mapping[str, Any]) -> None:
    """Sets rows, and that all of them run; a config alone would lose their order.

    Args:
        config: The experiment's config.
        rows: Settings by name, in the order of the table.
    """
    config.rows = config_dict.ConfigDict(dict(rows))
    config.strategies = tuple(rows)


def check_seeds(seeds: Iterable[int], name: str) -> None:
    """Raises ValueError unless these are different seeds of training, at least one."""
    seeds = tuple(seeds)
    valid = all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in seeds)
    if not seeds or not valid or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"{name} is {seeds}, expected different integers from 0 to {2**32 - 1}"
        )


def check_views(settings: config_dict.ConfigDict, path: str) -> None:
    """Raises ValueError for impossible views of a prediction or an evaluation.

    Args:
        settings: Part of a config with num_clips, num_crops and batch_size.
        path: Where that part is, for messages, such as "config.predict".
    """
    for name in ("num_clips", "batch_size"):
        if settings[name] < 1:
            raise ValueError(f"{path}.{name} is {settings[name]}, not 1 up")
    if settings.num_crops not in NUM_CROPS:
        raise ValueError(
            f"{path}.num_crops is {settings.num_crops}, expected one of {NUM_CROPS}"
        )


def check_evaluation(settings: config_dict.ConfigDict, path: str) -> None:
    """Raises ValueError for impossible settings of `experiments.evaluate`.

    Args:
        settings: Part of a config with protocol, num_clips, num_crops and batch_size.
        path: Where that part is, for messages, such as "config.evaluate".
    """
    check_views(settings, path)
    protocol, views = settings.protocol, (settings.num_clips, settings.num_crops)
    if protocol not in ("views", "paper"):
        raise ValueError(
            f"{path}.protocol is {protocol!r}, expected 'views' or 'paper'"
        )
    if protocol == "paper" and views != (1, 1):
        raise ValueError(
            f"{path}.protocol is 'paper', which has one view, and num_clips, "
            f"num_crops are {views}"
        )


def check_exists(path: str, key: str) -> None:
    """Raises ValueError or FileNotFoundError where a local path is not there."""
    if not path:
        raise ValueError(f"{key} is empty")
    if "://" not in path and not os.path.exists(path):
        raise FileNotFoundError(f"{key}: there is no {path}")
