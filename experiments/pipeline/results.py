"""`results.json`: what has been found so far, and how each stage stands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ml_collections import config_dict

from experiments.pipeline import registry
from experiments.pipeline.fingerprints import Record
from experiments.pipeline.ledger import RAN, SKIPPED, Ledger
from experiments.pipeline.scheduler import log_of


def collect(
    config: config_dict.ConfigDict, seeds: Sequence[int], ledger: Ledger
) -> dict[str, Any]:
    """The content of `results.json`: what there is of results that are up to date.

    Args:
        config: The experiment's whole config.
        seeds: Seeds of training, the config's and those chosen besides.
        ledger: What is known of former stages.
    """

    def record(name: str) -> Record | None:
        outcome = ledger.outcomes.get(name)
        return outcome and outcome.record

    return {
        "title": config.title,
        "description": config.description,
        **registry.find(config).collect(config, seeds, record),
        "stages": _stages(ledger),
    }


def _stages(ledger: Ledger) -> list[dict[str, Any]]:
    found = []
    for stage in ledger.stages:
        outcome = ledger.outcomes.get(stage.name)
        if outcome is None:
            continue
        log = log_of(stage.name)
        has_log = os.path.exists(os.path.join(ledger.workdir, log))
        found.append(
            {
                "stage": stage.name,
                "seconds": outcome.record.seconds if outcome.record else 0.0,
                "state": outcome.state,
                "reason": outcome.reason,
                "log": log if has_log else None,
            }
        )
    return found


def format_progress(results: dict[str, Any]) -> str:
    """How many stages are done, for the terminal."""
    stages = results["stages"]
    done = sum(stage["state"] in (RAN, SKIPPED) for stage in stages)
    return f"{done} of {len(stages)} stages done"
