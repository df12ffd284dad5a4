"""Trains a model: a teacher, a pre-training or a fine-tuning.

python -m experiments.train --config=experiments/spl/configs/r3d_50_g.py \
    --config.data.train=clips/target --config.data.validation=clips/val \
    --workdir=runs/teacher

The same command continues a run that was stopped, also on other devices
(`--strategy=one|mirrored|multi_worker|tpu`), and, after a step whose loss or gradient
was not finite, with another `optimizer.learning_rate`, `optimizer.clip_norm` or
`schedule.warmup`. Where nothing else names the processes of multi_worker, each is told:
`--cluster=host1:2222,host2:2222 --task=0`. With a validation set, the workdir gets
`per_class.csv` and `confusion.png`. Exit codes besides 0 and 1:

- 75: SIGTERM came, and the run is saved. Nothing is wrong, run it again.
- 69: another process of a multi_worker run was lost. Start all of them again. (137,
  SIGKILL, if it was lost while this one was connecting.)
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_dict, config_flags

from spl_tf import binary, data
from spl_tf.analysis.label_plots import plot_confusion
from spl_tf.distribution.cluster import process_place, tf_config_of
from spl_tf.distribution.interruption import WorkdirBusyError
from spl_tf.distribution.peer_watch import WORKER_LOST_EXIT_CODE
from spl_tf.distribution.strategies import STRATEGIES
from spl_tf.labels import ConfusionMatrix
from spl_tf.training import STOPPED_EXIT_CODE, TrainingStopped, train
from spl_tf.training.loop import CONFUSION
from spl_tf.training.run import WorkerLostError


def train_and_draw(config: config_dict.ConfigDict, workdir: str) -> dict[str, Any]:
    """Trains, and draws `confusion.png` of the validation set, if there is one."""
    with data.plain_bad_records():
        results = train(config, workdir)
    counts, picture = (os.path.join(workdir, f) for f in (CONFUSION, "confusion.png"))
    is_first = config.runtime.strategy != "multi_worker" or process_place()[0] == 0
    if is_first and os.path.exists(counts) and not os.path.exists(picture):
        confusion = ConfusionMatrix.load(counts)
        plot_confusion(confusion, picture, "label", "prediction", "error")
    return results


def choose_devices(
    config: config_dict.ConfigDict,
    overrides: dict[str, Any],
    strategy: str | None,
    tpu: str | None,
    cluster: Sequence[str] = (),
) -> None:
    """Sets `runtime.strategy` and `runtime.tpu` to what the short flags say.

    Args:
        config: A training's whole config, which is changed.
        overrides: What `--config.KEY` flags say, by key.
        strategy: What `--strategy` says; None for the config's.
        tpu: What `--tpu` says, a name, which gives the strategy "tpu"; None likewise.
        cluster: What `--cluster` says, which gives the strategy "multi_worker".

    Raises:
        ValueError: Two flags say different things; the message names both.
    """
    if tpu and strategy is None:
        strategy = "tpu"
    if tpu and strategy != "tpu":
        raise ValueError(f"--tpu is {tpu!r} and --strategy {strategy!r}; keep one")
    if cluster and strategy is None:
        strategy = "multi_worker"
    if cluster and strategy != "multi_worker":
        raise ValueError(f"--cluster has no use for --strategy={strategy}; keep one")
    for name, value in (("strategy", strategy), ("tpu", tpu)):
        if value is None:
            continue
        other = overrides.get(f"runtime.{name}", value)
        if other != value:
            raise ValueError(
                f"--{name} is {value!r} and --config.runtime.{name} {other!r}; keep one"
            )
        config.runtime[name] = value


def main(argv: list[str]) -> int:
    """Reads the flags, trains, prints the results."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    overrides = config_flags.get_override_values(values["config"])
    devices = (values.strategy, values.tpu, values.cluster)
    choose_devices(values.config, overrides, *devices)
    if values.cluster or values.task is not None:
        os.environ["TF_CONFIG"] = tf_config_of(values.cluster, values.task)
    try:
        results = train_and_draw(values.config, values.workdir)
    except TrainingStopped as stopped:
        print(stopped)
        return STOPPED_EXIT_CODE
    except WorkerLostError as error:
        print(f"error: {error}", file=sys.stderr)
        return WORKER_LOST_EXIT_CODE
    print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "File that makes the config.")
    flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
    flags.DEFINE_enum("strategy", None, STRATEGIES, "Devices; default: the config's.")
    flags.DEFINE_string("tpu", None, "Name of a TPU; for --strategy=tpu.")
    flags.DEFINE_list("cluster", [], "host:port of all processes of multi_worker.")
    flags.DEFINE_integer("task", None, "This process of --cluster, from 0.")
    flags.mark_flag_as_required("config")
    binary.run(main, errors=(FloatingPointError, WorkdirBusyError))
