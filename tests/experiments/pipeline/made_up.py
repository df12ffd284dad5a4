"""A paper that nobody wrote: each seed throws dice, and adds them up."""

import json
import os
import random

from experiments.pipeline.registry import Experiment, default_config
from experiments.pipeline.stages import Input, Stage, folder_of_seed


def get_config():
    config = default_config("tests.experiments.pipeline.made_up")
    config.title = "Dice"
    config.seeds = (3, 4)
    config.dice = 5
    return config


def check_config(config):
    if config.dice < 1:
        raise ValueError(f"config.dice is {config.dice}, expected 1 or more")


def stages(config, seed):
    folder = folder_of_seed(seed)
    settings = {"dice": config.dice, "seed": seed}
    yield Stage(f"{folder}/throw", "throw", settings, {}, f"{folder}/dice", seed=seed)
    read = {"dice": Input("content", f"{folder}/dice")}
    yield Stage(f"{folder}/add", "add", {}, read, f"{folder}/sum", seed=seed, row="all")


def throw(task):
    rng = random.Random(task.settings["seed"])
    os.makedirs(task.output, exist_ok=True)
    with open(os.path.join(task.output, "dice.json"), "w") as file:
        json.dump([rng.randint(1, 6) for _ in range(task.settings["dice"])], file)
    return {"count": task.settings["dice"]}


def add(task):
    with open(os.path.join(task.inputs["dice"], "dice.json")) as file:
        total = sum(json.load(file))
    os.makedirs(task.output, exist_ok=True)
    return {"count": 1, "sum": total}


def collect(config, seeds, record):
    found = {seed: record(f"{folder_of_seed(seed)}/add") for seed in seeds}
    return {"sums": {str(k): v.facts["sum"] for k, v in found.items() if v}}


def report(workdir):
    with open(os.path.join(workdir, "results.json")) as file:
        return f"<p>{json.load(file)['sums']}</p>"


EXPERIMENT = Experiment(
    check_config=check_config,
    stages=stages,
    actions={"throw": throw, "add": add},
    collect=collect,
    format_table=lambda results: f"sums {results['sums']}",
    report=report,
)
