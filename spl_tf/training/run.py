"""A training run: from a config to results in a workdir."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import Any

import tensorflow as tf
from absl import logging
from ml_collections import config_dict

from spl_tf.distribution.agreement import check_same
from spl_tf.distribution.cluster import find_cluster, own_name, peer_addresses
from spl_tf.distribution.interruption import TrainingStopped, locked
from spl_tf.distribution.peer_watch import watched
from spl_tf.distribution.strategies import (
    PEER_ERRORS,
    is_chief,
    make_strategy,
    wait_for_all,
)
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import save_weights
from spl_tf.training.assembly import assemble
from spl_tf.training.config import default_config, default_source
from spl_tf.training.config_rules import check_config
from spl_tf.training.loop import Loop


class WorkerLostError(RuntimeError):
    """Another process of the run died."""


def train(config: config_dict.ConfigDict, workdir: str) -> dict[str, Any]:
    """Trains to the end of the schedule; a run that was stopped goes on.

    The same clips make the same steps on any number of replicas, but for rounding and
    the statistics of batch normalisation: those are of a replica's batch, or with
    `model.synchronized_batch_norm` of the batches of all replicas. Accumulated batches
    always have statistics of their own, so 2 batches of 4 clips are as one of 8 only
    in a network that does not use batch statistics.

    Args:
        config: A training's whole config, see `default_config`.
        workdir: Gets `config.json`, `checkpoints/`, `metrics.jsonl`, `tensorboard/`,
            `weights.npz` and, last, `results.json`; with a validation set also
            `per_class.csv` and `confusion.npz`, a `ConfusionMatrix`.

    Returns:
        The content of `results.json`: `steps`, `clips` (in an epoch), `labels`,
        `train_loss` and `train_accuracy` of the last log interval, `seconds`, and
        with a validation set `top_1`, `top_5`, `mean_class_accuracy` and `mAP`. A
        finished run returns it at once.

    Raises:
        ValueError: The config or the data is wrong (before any work).
        WorkdirBusyError: Another process works in the workdir.
        FloatingPointError: The loss, or the gradient, became NaN or infinite.
        TrainingStopped: SIGTERM came; the run is saved.
        WorkerLostError: Another process of the run died. Where TensorFlow does not
            notice it, this process ends; see `peer_watch.watched`.
        OSError: The disk is full; earlier checkpoints stay.
    """
    check_config(config)
    run_folder.check_workdir(workdir)
    runtime = config.runtime
    cluster = find_cluster() if runtime.strategy == "multi_worker" else None
    try:
        peers, own = peer_addresses(cluster), own_name(cluster)
        not_told = (*PEER_ERRORS, TrainingStopped)
        with watched(peers, runtime.startup_timeout, own, workdir, not_told):
            # First of all: processes must find each other before TensorFlow does more.
            strategy = make_strategy(runtime.strategy, runtime.tpu, cluster)
            results = _train(config, workdir, strategy)
            wait_for_all(strategy)
            return results
    except PEER_ERRORS as error:
        if cluster is None and runtime.strategy != "tpu":
            raise
        raise WorkerLostError(
            "another process of this run cannot be reached any more "
            f"({_cause(error.message)}); start all of them again, the run "
            "continues from its last checkpoint"
        ) from error


def _cause(message: str) -> str:
    """The part of TensorFlow's message that says what happened, on one line."""
    found = re.search(r"(?:aborted by|terminated with): (.*)", message, re.DOTALL)
    text = found.group(1) if found else message
    rest = r"\[type\.|The tasks have crashed|Additional GRPC|The error could"
    return " ".join(re.split(rest, text)[0].split())


def _train(config, workdir: str, strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """Trains, or continues to, on the devices of a strategy; see `train`."""
    parts = assemble(config, strategy.num_replicas_in_sync)
    defaults = default_config()
    with defaults.data.unlocked():
        defaults.data.sources = {name: default_source() for name in config.data.sources}
    os.makedirs(workdir, exist_ok=True)
    writes = is_chief(strategy)
    with locked(workdir) if writes else contextlib.nullcontext():
        if writes:
            run_folder.describe(workdir, config, defaults, **parts.facts)
        finished = run_folder.read_results(workdir)
        facts = {"config": config.to_dict(), **parts.facts}
        check_same(strategy, facts | {"finished": finished is not None})
        if finished is not None:
            logging.info("%s is finished", workdir)
            return finished
        started = time.time()
        loop = Loop(parts, workdir, strategy)
        check_same(strategy, {"step": loop.step})
        if writes:  # not before all is built: what is refused then claims nothing
            run_folder.claim_workdir(workdir, config, defaults, **parts.facts)
        results = loop.train() | loop.evaluate()
        results["seconds"] = round(time.time() - started, 1)
        if writes:
            save_weights(workdir, loop.state.model)
            run_folder.write_results(workdir, results)
    return results
