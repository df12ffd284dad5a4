"""The engine runs any paper's stages."""

import json
import os
import random

import pytest

from experiments.pipeline import registry
from experiments.pipeline.runner import describe_plan, run_pipeline
from experiments.spl.experiment import EXPERIMENT
from tests import warm_python
from tests.experiments.pipeline import made_up
from tests.experiments.pipelines import reasons


def sums(dice, *seeds):
    """What the made-up paper finds."""
    generators = {str(seed): random.Random(seed) for seed in seeds}
    return {
        seed: sum(rng.randint(1, 6) for _ in range(dice))
        for seed, rng in generators.items()
    }


def test_the_engine_runs_a_paper_that_it_does_not_know(tmp_path):
    workdir, config, lines = str(tmp_path / "run"), made_up.get_config(), []
    assert "5 of 5 stages would run" in describe_plan(config, workdir)
    results = run_pipeline(config, workdir, jobs=2, echo=lines.append)
    names = [f"seed_{seed}/{name}" for seed in (3, 4) for name in ("throw", "add")]
    assert list(reasons(results, "done")) == [*names, "report"]
    assert (results["title"], results["sums"]) == ("Dice", sums(5, 3, 4))
    with open(os.path.join(workdir, "report/index.html")) as page:
        assert page.read() == f"<p>{sums(5, 3, 4)}</p>"

    run_pipeline(config, workdir, echo=lines.append)
    assert lines[-1] == "5 of 5 stages were up to date"
    config.dice = 6
    results = run_pipeline(config, workdir, seeds=[4], rows=["all"])
    assert reasons(results, "done")["seed_4/throw"] == "settings.dice was 5, is 6"
    assert results["sums"] == sums(6, 4)
    assert "not chosen" in reasons(results, "not run")["seed_3/throw"]


def test_the_binary_takes_any_papers_config(tmp_path):
    flags = [f"--config={made_up.__file__}", f"--workdir={tmp_path / 'run'}"]
    done = warm_python.run("-m", "experiments.run_pipeline", *flags, "--seeds=7")
    assert done.returncode == 0, done.stderr
    assert f"\nsums {sums(5, 7)}\n" in done.stdout
    assert json.loads((tmp_path / "run/results.json").read_text())["title"] == "Dice"


def test_an_impossible_config_or_an_unknown_paper_is_refused(tmp_path):
    config = made_up.get_config()
    config.dice = 0
    with pytest.raises(ValueError, match=r"config\.dice is 0"):
        run_pipeline(config, str(tmp_path / "run"))
    config.experiment = "spel"
    with pytest.raises(ValueError, match=r"config\.experiment is 'spel', exp"):
        run_pipeline(config, str(tmp_path / "run"))
    assert not os.listdir(tmp_path)


def test_a_config_from_before_there_were_several_papers_is_of_the_first():
    assert registry.find({}) is EXPERIMENT
