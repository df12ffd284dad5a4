r"""What drives the order of the strategies: the rendered world, changed in one respect.

python -m experiments.run_pipeline \
    --config=experiments/spl/configs/ablation.py:few_clips \
    --workdir=runs/ablation_few_clips --jobs=3 --threads=1

The argument is one of `CHANGES`, or with `fw_` before it the same in the other world,
such as `fw_more_steps`. The seeds are the first three of `table.py`: its rows are what
a change is compared with. `make ablations` runs those that `spl/README.md` shows,
4 to 8 minutes each.
"""

from ml_collections import config_dict

from experiments.spl.configs import synthetic, table

# What each changes, as the report says it.
CHANGES = {
    "more_steps": "Pre-training has twice the steps; the teacher is the same.",
    "from_teacher": "Pre-training starts from the teacher's weights, which know the "
    "motion, and has its steps on top of the teacher's.",
    "fewer_siblings": "A search seldom finds the scene's other motion: it finds the "
    "class instead.",
    "faint_sprites": "The motion is hard to see, also for the teacher.",
    "few_clips": "A fifth of the web videos, about 100 clips per class.",
}


def get_config(argument: str = "more_steps"):
    """Three seeds of four strategies under one change.

    Args:
        argument: The change, one of `CHANGES`; with `fw_` before it world FW is changed
            instead of FA.

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
    _change(config, name)
    config.title = f"World {world.upper()}, changed: {name.replace('_', ' ')}"
    config.description = CHANGES[name]
    config.seeds = config.seeds[:3]
    config.strategies = ("none", "weak", "agreement", "spl_b")
    config.variants = config_dict.ConfigDict()
    config.curve = ()
    config.probe = False
    config.paper = config_dict.ConfigDict()
    return config


def _change(config: config_dict.ConfigDict, name: str) -> None:
    if name == "more_steps":
        # The teacher stays the same, and with it all labels.
        config.teacher = config.scratch
        synthetic.set_recipes(config, pretraining=2 * synthetic.PRETRAINING)
    elif name == "from_teacher":
        config.pretrain_from_teacher = True
    elif name == "fewer_siblings":
        config.world.sibling_shares = tuple(0.1 for _ in config.world.sibling_shares)
    elif name == "faint_sprites":
        config.world.nuisance.sprite_contrast = (0.3, 0.5)
    elif name == "few_clips":
        config.world.web_videos_per_class = 17
