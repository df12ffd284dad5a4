"""What the engine runs: the paper's stages, their actions and results."""

from __future__ import annotations

from experiments.omnisource import actions, config, results, stages
from experiments.pipeline.registry import Experiment


def _report(workdir: str) -> str:
    # Here and not above: the report's own libraries load when it is made.
    from experiments.omnisource.report import render

    return render(workdir)


EXPERIMENT = Experiment(
    check_config=config.check_config,
    stages=stages.stages_of_seed,
    actions={
        "predict": actions.predict,
        "find_duplicates": actions.find_duplicates,
        "filter": actions.filter_clips,
        "camera_motion": actions.camera_motion,
    },
    collect=results.collect,
    format_table=results.format_table,
    report=_report,
)
