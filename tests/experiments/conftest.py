"""A finished run of the pipeline, which tests read and copy."""

import pytest

from experiments.pipeline.runner import run_pipeline
from tests.experiments.pipelines import FinishedPipeline, small_config


@pytest.fixture(scope="session")
def finished_pipeline(tmp_path_factory):
    """Run without a break, one stage at a time."""
    config = small_config("none", "spl_b")
    config.probe = True
    config.curve = ("spl_b",)
    workdir = str(tmp_path_factory.mktemp("pipeline") / "run")
    lines = []
    results = run_pipeline(config, workdir, threads=1, echo=lines.append)
    return FinishedPipeline(config, workdir, results, lines)
