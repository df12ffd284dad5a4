"""Fine-tunes with the learning rate that is best on training clips held out.

python -m experiments.tune --config=finetune.py --config.data.train=clips/train \
    --config.init.checkpoint=runs/pretrained --workdir=runs/tuned \
    --learning_rates=0.01,0.02,0.04 --held_out=0.1

IG-65M's full fine-tuning (section 4): of each class a tenth of the videos is held out,
a network is trained on the others with each rate (`optimizer.learning_rate` of the
config), and the rate of the highest top-1 on what was held out, or mAP where clips have
several labels, trains on all clips. Of rates that are as good the lower one wins.

The workdir gets `held_out.csv`, the media ids held out; a run for each rate in
`rates/`, and in `winner/` the run on all clips; and `tune.json`, what was tried and
found. The same command continues a search that was stopped, and does nothing twice that
is finished. A rate whose training ends as not finite is listed as such.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags, logging
from ml_collections import config_dict, config_flags

from experiments.media_shares import choose_media, write_ids
from experiments.reporting import text_table
from experiments.train import train_and_draw
from spl_tf import binary, data
from spl_tf.clips import ClipDataset
from spl_tf.distribution.interruption import WorkdirBusyError
from spl_tf.inference.evaluation import Views, open_run, score
from spl_tf.inference.outputs import is_multi_label
from spl_tf.inference.scores import Scores, measure
from spl_tf.labels.filters import read_filter
from spl_tf.runs import run_folder
from spl_tf.text_files import listed_ids
from spl_tf.training import (
    STOPPED_EXIT_CODE,
    TrainingStopped,
    check_config,
    default_config,
    make_strategy,
)
from spl_tf.training.config import replica_batch_size
from spl_tf.training.source_inputs import settings_of_sources

_RESULTS, _SCORES = "tune.json", "held_out.npz"
_HELD_OUT, _EXCLUDED = "held_out.csv", "exclude_ids.csv"
_STRATEGIES = ("auto", "one", "mirrored")  # those of one process


def tune(
    config: config_dict.ConfigDict,
    workdir: str,
    learning_rates: Sequence[float],
    held_out: float = 0.1,
) -> dict[str, Any]:
    """Tries learning rates on a part of the training clips, and trains on all.

    Args:
        config: A training's whole config, see `default_config`, of one source. Its
            seed also decides which clips are held out, its validation set is that of
            the last run, and its learning rate counts for nothing.
        workdir: Gets the runs and `tune.json`; see the module.
        learning_rates: Values of `optimizer.learning_rate`.
        held_out: Share of the clips of each class that is held out, by whole videos.

    Returns:
        The content of `tune.json`: `metric`; `held_out`, how many `clips` of how many
        `media` were, and how many clips were `trained` on; `tried`, for each rate,
        ascending, the `metric`, None if training was not finite; `winner`, a rate; and
        `results`, those of its run on all clips.

    Raises:
        ValueError: The config or the data is wrong, or the workdir is of another
            search.
        FloatingPointError: No rate, or not the training on all clips, was finite.
        TrainingStopped: SIGTERM came; what was done so far is saved.
    """
    rates = _checked(learning_rates, held_out)
    part = _hold_out(config, workdir, held_out)
    content = {"metric": part.metric, "held_out": part.facts, "tried": []}
    for rate in rates:
        quality = _try(part, os.path.join(workdir, "rates", repr(rate)), rate)
        content["tried"].append({"learning_rate": rate, part.metric: quality})
        run_folder.write_json(os.path.join(workdir, _RESULTS), content)
    finite = [each for each in content["tried"] if each[part.metric] is not None]
    if not finite:
        raise FloatingPointError(
            f"{workdir}: the training was not finite with any of the learning rates "
            f"{rates}; try lower ones, or set config.optimizer.clip_norm, in another "
            "workdir"
        )
    best = max(finite, key=lambda each: each[part.metric])["learning_rate"]
    results = train_and_draw(_at_rate(config, best), os.path.join(workdir, "winner"))
    content |= {"winner": best, "results": results}
    run_folder.write_json(os.path.join(workdir, _RESULTS), content)
    return content


@dataclasses.dataclass(frozen=True)
class _Part:
    """What the search trains on and what it holds out.

    Attributes:
        config: The config of the search: without the clips that are held out.
        dataset: The dataset of the clips.
        rows: int64 [n], the index rows that are held out.
        facts: How many clips and media are, for `tune.json`.
    """

    config: config_dict.ConfigDict
    dataset: ClipDataset
    rows: np.ndarray
    facts: dict[str, int]

    @property
    def multi_label(self) -> bool:
        return is_multi_label(self.config)

    @property
    def metric(self) -> str:
        return "mAP" if self.multi_label else "top_1"


def _checked(learning_rates: Sequence[float], held_out: float) -> list[float]:
    """The rates, ascending."""
    for rate in learning_rates:
        if not 0 < rate < math.inf:
            raise ValueError(f"learning_rates has {rate}, expected numbers above 0")
    rates = sorted(set(learning_rates))
    if not rates or len(rates) < len(learning_rates):
        raise ValueError(
            f"learning_rates is {list(learning_rates)}, expected one or more, each once"
        )
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is {held_out}, expected above 0 and below 1")
    return rates


def _hold_out(config, workdir: str, fraction: float) -> _Part:
    """Chooses what is held out, and notes it in the workdir."""
    check_config(config)
    run_folder.check_workdir(workdir)
    name, source = _one_source(config)
    dataset = ClipDataset(source.dataset)
    (data.several_labels if is_multi_label(config) else data.check_one_label)(dataset)
    share = choose_media(dataset, fraction, config.seed)
    rule, who = read_filter(source.filter.to_dict()), f"the filter of source {name!r}"
    rows = np.flatnonzero(share.rows & data.apply_filter(dataset, rule, who))
    if not len(rows):
        raise ValueError(
            f"{dataset.directory}: {who} keeps none of the "
            f"{np.count_nonzero(share.rows)} clips that are held out; hold out more"
        )
    path = os.path.join(workdir, _HELD_OUT)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if listed_ids(file.read()) != set(share.ids):
                raise ValueError(
                    f"{path} lists other media than are held out by --held_out="
                    f"{fraction:g} and config.seed {config.seed}: {workdir} is of "
                    "another search. Choose another workdir, or delete this one"
                )
    os.makedirs(workdir, exist_ok=True)
    write_ids(path, share.ids)
    source.filter.exclude_ids = os.path.join(workdir, _EXCLUDED)
    write_ids(source.filter.exclude_ids, sorted({*share.ids, *rule.exclude_ids}))
    rule = read_filter(source.filter.to_dict())
    facts = {
        "clips": len(rows),
        "media": len(share.ids),
        "trained": int(np.count_nonzero(data.apply_filter(dataset, rule, who))),
    }
    return _Part(_without_validation(config, name, source), dataset, rows, facts)


def _one_source(config) -> tuple[str, config_dict.ConfigDict]:
    """Name and settings of the one source, a copy."""
    if config.runtime.strategy not in _STRATEGIES:
        raise ValueError(
            f"config.runtime.strategy is {config.runtime.strategy!r}, expected one of "
            f"{list(_STRATEGIES)}: a search is of one process"
        )
    sources = settings_of_sources(config)
    if len(sources) > 1:
        raise ValueError(
            f"config.data.sources are {sorted(sources)}, expected one: it would not "
            "be clear whose clips are held out"
        )
    ((name, source),) = sources.items()
    if source.labels.kind not in ("record", "all"):
        raise ValueError(
            f"source {name!r} has labels.kind {source.labels.kind!r}, expected "
            "'record' or 'all': what is held out is measured by the records' own labels"
        )
    return name, source.copy_and_resolve_references()


def _without_validation(config, name: str, source) -> config_dict.ConfigDict:
    """The config with the source's settings, and no other set to evaluate on."""
    config = config.copy_and_resolve_references()
    config.data.update(train="", validation="")
    # It went into the source's settings.
    config.data.resampling = default_config().data.resampling
    with config.unlocked():
        config.data.sources = {name: source}
    return config


def _at_rate(config, rate: float) -> config_dict.ConfigDict:
    config = config.copy_and_resolve_references()
    config.optimizer.learning_rate = rate
    return config


def _try(part: _Part, workdir: str, rate: float) -> float | None:
    """What a learning rate reaches on what is held out; None if it is not finite."""
    config = _at_rate(part.config, rate)
    try:
        train_and_draw(config, workdir)
    except FloatingPointError as error:
        logging.warning("learning rate %g: %s", rate, error)
        return None
    path = os.path.join(workdir, _SCORES)
    if not os.path.exists(path):
        _score(part, config, workdir).save(path)
    scores = Scores.load(path)
    if not np.isfinite(scores.probabilities).all():
        logging.warning("learning rate %g: probabilities are not finite", rate)
        return None
    return measure(scores).metrics[part.metric]


def _score(part: _Part, config, workdir: str) -> Scores:
    """What a run says of the clips that are held out."""
    strategy = make_strategy(config.runtime.strategy)
    batch_size = replica_batch_size(config, strategy.num_replicas_in_sync)
    _, _, model = open_run(workdir, strategy)
    views = Views.of(config.data, on_bad_record=config.data.on_bad_record)
    return score(
        model, strategy, part.dataset, views, batch_size, part.multi_label, part.rows
    )


def table(content: dict[str, Any]) -> str:
    """What was tried, for a reader; `content` is that of `tune.json`."""
    metric, held_out = content["metric"], content["held_out"]
    rows = [["learning rate", f"held-out {metric.replace('_', '-')}", ""]]
    for each in content["tried"]:
        quality, rate = each[metric], each["learning_rate"]
        shown = "not finite" if quality is None else f"{quality:.2%}"
        rows.append([repr(rate), shown, "winner" * (rate == content["winner"])])
    return "\n".join(
        [
            f"{held_out['clips']:,} clips of {held_out['media']:,} media held out, "
            f"{held_out['trained']:,} trained on",
            *(line.rstrip() for line in text_table.aligned(rows)),
        ]
    )


def main(argv: list[str]) -> int:
    """Reads the flags, searches, prints what was tried."""
    binary.no_arguments(argv)
    values = flags.FLAGS
    try:
        rates = [float(each) for each in values.learning_rates]
    except ValueError as error:
        raise app.UsageError(
            f"--learning_rates={','.join(values.learning_rates)}: {error}"
        ) from error
    try:
        content = tune(values.config, values.workdir, rates, values.held_out)
    except TrainingStopped as stopped:
        print(stopped, file=sys.stderr)
        return STOPPED_EXIT_CODE
    print(table(content))
    print(f"\nwrote {os.path.join(values.workdir, 'winner')}")
    return 0


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "File that makes the config.")
    flags.DEFINE_string("workdir", None, "Folder of the search.", required=True)
    flags.DEFINE_list(
        "learning_rates", None, "Values of optimizer.learning_rate.", required=True
    )
    flags.DEFINE_float("held_out", 0.1, "Share of each class's clips to hold out.")
    flags.mark_flag_as_required("config")
    binary.run(main, errors=(FloatingPointError, WorkdirBusyError))
