"""What the `pipeline.py` of the datasets share: data, rows beside strategies, switches.

A dataset's `pipeline.py` is the whole experiment; its trainings have the recipes of its
`teacher.py`, `pretrain.py` and `finetune.py`. The argument of a config is a list: what
it chooses, and the switches `anchor` (anchor loss in pre-training) and `smoke`
(rendered data, a tiny network, two steps), for example `pretrain.py:spl_b,smoke`.
"""

from __future__ import annotations

from ml_collections import config_dict

from experiments.spl.config import SPLITS, default_config
from experiments.spl.configs import smoke

SMOKE, ANCHOR = SWITCHES = ("smoke", "anchor")


def parse_argument(argument: str) -> tuple[str, frozenset[str]]:
    """Splits a config's argument into what it chooses, or "", and its switches."""
    words = [word for word in argument.split(",") if word]
    chosen = [word for word in words if word not in SWITCHES]
    if len(chosen) > 1:
        raise ValueError(
            f"the config's argument is {argument!r}, expected one choice and, after "
            f"commas, any of {', '.join(SWITCHES)}"
        )
    return "".join(chosen), frozenset(words) & frozenset(SWITCHES)


def parse_switches(argument: str) -> frozenset[str]:
    """The switches of an argument of a config that has nothing else to choose."""
    chosen, switches = parse_argument(argument)
    if chosen:
        raise ValueError(
            f"a pipeline has all its rows and takes no {chosen!r}; choose some with "
            f"--strategies. Its argument can be {', '.join(SWITCHES)}"
        )
    return switches


def on_videos(dataset: str) -> config_dict.ConfigDict:
    """An experiment on the videos in `data/<dataset>`, without recipes."""
    config = _experiment(dataset)
    # Open: how the teacher looks at a 10 s clip. 4 x 16 frames at stride 4 cover it.
    config.predict.num_clips = 4
    config.evaluate.protocol = "paper"
    # Open: how many, of "roughly balanced" classes. 147K videos gave 6.7e5 clips.
    config.data.web.settings = {
        "clips_per_video": 5,
        "clip_seconds": 10.0,
        "balance_classes": True,
    }
    return config


def on_images(dataset: str) -> config_dict.ConfigDict:
    """An experiment on the images in `data/<dataset>`, without recipes."""
    config = _experiment(dataset)
    for split in SPLITS:
        config.data[split].kind = "images"
    config.variants.forward_correction = _variant(
        "weak", {"name": "forward_correction", "transition": ""}
    )
    return config


def _experiment(dataset: str) -> config_dict.ConfigDict:
    """An experiment on `data/<dataset>`, with Table 1's variants."""
    config = default_config()
    config.data.classes = f"data/{dataset}/classes.txt"
    for split, name in zip(SPLITS, ("target", "target", "web"), strict=True):
        config.data[split].manifest = f"data/{dataset}/{name}.csv"
        config.data[split].root = f"data/{dataset}/{name}"
    config.data.target_train.settings = {"split": "train"}
    config.data.target_val.settings = {"split": "test"}
    config.conversion = {"short_side": 256}
    # Open: which temperatures are learned; the default is one per clip.
    config.variants.data_parameters = _variant("weak", {"name": "data_parameters"})
    config.variants.spl_b_anchor = _variant("spl_b", {"name": "anchor"})
    return config


def _variant(labels: str, loss: dict[str, str]) -> config_dict.ConfigDict:
    return config_dict.ConfigDict({"labels": labels, "pretrain": {"loss": loss}})


def finish(
    config: config_dict.ConfigDict, switches: frozenset[str]
) -> config_dict.ConfigDict:
    """The experiment with its switches: a row with anchor loss, the size of a smoke."""
    if ANCHOR in switches:
        config.strategies += ("spl_b_anchor",)
    return smoke.shrink(config) if SMOKE in switches else config


def workdir_of(dataset: str, switches: frozenset[str] = frozenset()) -> str:
    """Where the pipeline of a dataset works, by the commands of its docstring."""
    return f"runs/{dataset}" + (f"_{SMOKE}" if SMOKE in switches else "")
