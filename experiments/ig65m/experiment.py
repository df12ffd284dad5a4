"""What the engine runs: the paper's stages, their actions and results."""

from __future__ import annotations

from experiments.ig65m import actions, config, results, stages
from experiments.pipeline.registry import Experiment


def _report(workdir: str) -> str:
    # Here and not above: the report's own libraries load when it is made.
    from experiments.ig65m.report import render

    return render(workdir)


EXPERIMENT = Experiment(
    check_config=config.check_config,
    stages=stages.stages_of_seed,
    actions={
        "make_queries": actions.make_queries,
        "make_manifest": actions.make_manifest,
        "make_subset": actions.make_subset,
        "tune": actions.tune,
    },
    collect=results.collect,
    format_table=results.format_table,
    report=_report,
)
