"""Fine-tuning on another target than the web clips were labelled for (section 4.4).

Open: its schedule; it is SoccerNet's, the one that the paper gives for few clips.
"""

from __future__ import annotations

from ml_collections import config_dict

from experiments.spl.config import NONE, default_config
from experiments.spl.configs import phases, pipelines
from experiments.spl.configs.kinetics200 import finetune as source

_SOURCE = "kinetics200"  # whose pre-trained networks are taken


def experiment(dataset: str, switches: frozenset[str]) -> config_dict.ConfigDict:
    """An experiment without recipes; its rows are the weights to start from.

    Args:
        dataset: The target.
        switches: With smoke, the weights are those of the source's smoke run.
    """
    if pipelines.ANCHOR in switches:
        raise ValueError(
            f"{pipelines.ANCHOR!r} is for pre-training, and {dataset} has none"
        )
    config = pipelines.on_videos(dataset)
    config.data.web = default_config().data.web  # there is none
    runs = f"{pipelines.workdir_of(_SOURCE, switches)}/seed_0/runs"
    for name in ("weak", "spl_b"):
        init = {"inflate": "", "checkpoint": f"{runs}/{name}_pretrain"}
        variant = {"labels": NONE, "scratch": {"init": init}}
        config.variants[f"{name}_{_SOURCE}"] = config_dict.ConfigDict(variant)
    return config


def finetune(
    recipe: config_dict.ConfigDict, dataset: str, argument: str
) -> config_dict.ConfigDict:
    """As `phases.finetune`, from a pre-training of the source."""
    config = phases.finetune(recipe, dataset, argument)
    config.init.checkpoint = source.get_config(argument).init.checkpoint
    return config
