r"""What drives the order of the strategies: the rendered world, changed in one respect.

python -m experiments.run_pipeline --config=experiments/configs/ablation.py:few_clips \
    --workdir=runs/ablation_few_clips --jobs=3 --threads=1

The argument is one of `CHANGES`, or with `fw_` before it the same in the other world,
such as `fw_more_steps`. The seeds are the first three of `table.py`: its rows are what
a change is compared with. `make ablations` runs those that experiments/README.md shows.
"""

from collections.abc import Callable

from ml_collections import config_dict

from experiments.configs import synthetic, table


def _fewer_siblings(config: config_dict.ConfigDict) -> None:
    """A search seldom finds the scene's other motion; it finds the class instead."""
    config.world.sibling_shares = tuple(0.1 for _ in config.world.sibling_shares)


def _faint_sprites(config: config_dict.ConfigDict) -> None:
    """A motion that is hard to see, also for the teacher."""
    config.world.nuisance.sprite_contrast = (0.3, 0.5)


def _few_clips(config: config_dict.ConfigDict) -> None:
    """A fifth of the web videos: about 100 clips per class."""
    config.world.web_videos_per_class = 17


def _fewer_steps(config: config_dict.ConfigDict) -> None:
    """Half of the steps of pre-training."""
    synthetic.set_recipes(config, pretraining=synthetic.PRETRAINING // 2)


def _more_steps(config: config_dict.ConfigDict) -> None:
    """Twice the steps of pre-training."""
    synthetic.set_recipes(config, pretraining=synthetic.PRETRAINING * 2)


def _from_teacher(config: config_dict.ConfigDict) -> None:
    """Pre-training starts from the teacher's weights, which know the motion."""
    config.pretrain_from_teacher = True


CHANGES: dict[str, Callable[[config_dict.ConfigDict], None]] = {
    "fewer_siblings": _fewer_siblings,
    "faint_sprites": _faint_sprites,
    "few_clips": _few_clips,
    "fewer_steps": _fewer_steps,
    "more_steps": _more_steps,
    "from_teacher": _from_teacher,
}


def get_config(argument: str = "more_steps"):
    """Three seeds of four strategies under one change.

    Args:
        argument: Of `CHANGES`; `fw_` before it changes world FW instead of FA.

    Raises:
        ValueError: There is no such change.
    """
    name = argument.removeprefix("fw_")
    if name not in CHANGES:
        raise ValueError(
            f"the argument is {argument!r}, expected one of {', '.join(CHANGES)}, "
            "with fw_ before it for world FW"
        )
    world = "fa" if argument == name else "fw"
    config = table.get_config(world)
    change = CHANGES[name]
    change(config)
    config.title = f"World {world.upper()}, changed: {name.replace('_', ' ')}"
    config.description = change.__doc__
    config.seeds = config.seeds[:3]
    config.strategies = ("none", "weak", "agreement", "spl_b")
    config.variants = config_dict.ConfigDict()
    config.curve = ()
    config.probe = False
    config.paper = config_dict.ConfigDict()
    return config
