"""What the engine runs: the paper's stages, their actions and results."""

from __future__ import annotations

from experiments.motionfit import actions, config, results, stages
from experiments.pipeline.registry import Experiment
from experiments.spl.actions import build_labels, predict


def _report(workdir: str) -> str:
    # Here and not above: the report's own libraries load when it is made.
    from experiments.motionfit.report import render

    return render(workdir)


EXPERIMENT = Experiment(
    check_config=config.check_config,
    stages=stages.stages_of_seed,
    actions={
        "add_flow": actions.add_flow,
        "choose_labelled": actions.choose_labelled,
        "extract_features": actions.extract_features,
        "cluster": actions.cluster,
        "retrieve": actions.retrieve,
        # On top of it, as SPL's own.
        "predict": predict,
        "build_labels": build_labels,
    },
    collect=results.collect,
    format_table=results.format_table,
    report=_report,
)
