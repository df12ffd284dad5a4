"""What the engine runs: the paper's stages, their actions and results."""

from __future__ import annotations

from experiments.pipeline.registry import Experiment
from experiments.spl import actions, config, results, stages


def _report(workdir: str) -> str:
    # Here and not above: the report's own libraries load when it is made.
    from experiments.spl.reporting.gather import gather
    from spl_tf.analysis.report import render_page

    return render_page(gather(workdir))


EXPERIMENT = Experiment(
    check_config=config.check_config,
    stages=stages.stages_of_seed,
    actions={"predict": actions.predict, "build_labels": actions.build_labels},
    collect=results.collect,
    format_table=results.format_table,
    report=_report,
)
