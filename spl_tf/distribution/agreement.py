"""Several processes that must have the same before they train together."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from spl_tf.distribution.strategies import PEER_ERRORS, is_multi_worker, wait_for_all

_SHOWN = 4  # of the values of a name, of the hosts of a value, and of the names
_WIDTH = 60


def check_same(strategy: tf.distribute.Strategy, facts: Mapping[str, Any]) -> None:
    """Compares facts of all processes of a run; to be called by each of them.

    Args:
        strategy: The run's.
        facts: JSON values by name, or nested ones.

    Raises:
        ValueError: A fact is not the same everywhere; raised in all processes, and the
            message says which host has what.
    """
    if not is_multi_worker(strategy):
        return
    resolver = strategy.cluster_resolver
    place = f"{socket.gethostname()} ({resolver.task_type} {resolver.task_id})"
    line = json.dumps([place, dict(_flat(facts))])
    found = dict(map(json.loads, _gather_lines(strategy, line)))
    names = dict.fromkeys(name for each in found.values() for name in each)
    differing = [text for name in names if (text := _difference(name, found))]
    if not differing:
        return
    more = len(differing) - _SHOWN
    # A process that ends takes away what others have not got yet of its line.
    with contextlib.suppress(*PEER_ERRORS):
        wait_for_all(strategy)
    raise ValueError(
        "the processes of this run do not have the same: "
        + "; ".join(differing[:_SHOWN])
        + (f"; and {more} more" if more > 0 else "")
        + ". Look whether workdir and datasets are the same folders on all hosts, and "
        "whether all processes got the same command; then start all of them again"
    )


def _flat(facts: Mapping[str, Any], prefix: str = ""):
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _difference(name: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Who has which value of a name; empty where all have the same."""
    places: dict[str, list[str]] = {}
    for place, facts in found.items():
        value = json.dumps(facts[name]) if name in facts else "not there"
        places.setdefault(value, []).append(place)
    if len(places) == 1:
        return ""
    return f"{name} is " + ", ".join(
        f"{value[:_WIDTH]} on {', '.join(owners[:_SHOWN])}"
        + (f" and {len(owners) - _SHOWN} more" if len(owners) > _SHOWN else "")
        for value, owners in list(places.items())[:_SHOWN]
    )


def _gather_lines(strategy: tf.distribute.Strategy, line: str) -> list[str]:
    """What every replica of every process says, which may be of any length."""
    # Neither strings nor bytes travel.
    own = tf.constant(list(f"{line}\n".encode()), tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def gather(numbers):
        return strategy.gather(strategy.run(tf.identity, args=(numbers,)), axis=0)

    return bytes(gather(own).numpy().tolist()).decode().splitlines()
