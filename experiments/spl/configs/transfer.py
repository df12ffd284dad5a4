"""Fine-tuning on another target than the web clips were labelled for (section 4.4).

Open: its schedule; it is SoccerNet's, the one that the paper gives for few clips.
"""

from __future__ import annotations

from ml_collections import config_dict

from experiments.spl.config import NONE, default_config
from experiments.spl.configs import phases, pipelines
from experiments.spl.configs.kinetics200 import finetune as source
from experiments.spl.configs.kinetics200 import pretrain

_SOURCE = "kinetics200"  # whose pre-trained networks are taken


def experiment(
    dataset: str,
    title: str,
    paper: dict[str, float],
    scratch: config_dict.ConfigDict,
    finetuning: config_dict.ConfigDict,
    argument: str,
) -> config_dict.ConfigDict:
    """An experiment whose rows differ in the weights that training starts from.

    Args:
        dataset: The target, a folder of configs.
        title: Name of the target in titles.
        paper: Top-1 of Table 4 by row; a row beside "none" is a strategy of the source
            and the source's name.
        scratch: Recipe of all rows of `paper`, which differ in their initial weights.
        finetuning: Recipe of rows with web clips, should there be any.
        argument: With smoke, the weights are those of the source's smoke run.
    """
    switches = pipelines.parse_switches(argument)
    if pipelines.ANCHOR in switches:
        raise ValueError(
            f"{pipelines.ANCHOR!r} is for pre-training, and {dataset} has none"
        )
    config = pipelines.on_videos(dataset)
    config.title = f"{title}, pre-trained on WebK200"
    config.scratch, config.finetune = scratch, finetuning
    config.pretrain = pretrain.recipe()
    config.data.web = default_config().data.web  # there is none
    runs = f"{pipelines.workdir_of(_SOURCE, switches)}/seed_0/runs"
    for name in ("weak", "spl_b"):
        init = {"inflate": "", "checkpoint": f"{runs}/{name}_pretrain"}
        variant = {"labels": NONE, "scratch": {"init": init}}
        config.variants[f"{name}_{_SOURCE}"] = config_dict.ConfigDict(variant)
    config.strategies = tuple(paper)
    config.paper = {
        "source": f"Table 4 ({title}; none is ImageNet)",
        "rows": {row: {"top_1": value} for row, value in paper.items()},
    }
    return pipelines.finish(config, switches)


def finetune(
    recipe: config_dict.ConfigDict, dataset: str, argument: str
) -> config_dict.ConfigDict:
    """`phases.finetune`, but from the source's pre-training of the same argument."""
    config = phases.finetune(recipe, dataset, argument)
    config.init.checkpoint = source.get_config(argument).init.checkpoint
    return config
