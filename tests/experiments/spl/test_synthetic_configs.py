"""The experiments on rendered worlds: what they share and in what they differ."""

import pytest

from experiments.spl.config import check_config
from experiments.spl.configs import ablation, synthetic, table
from spl_tf.training import resolve_steps


def steps(settings):
    return sum(
        resolve_steps(part, settings.schedule[part].to_dict(), 1, 32)
        for part in ("warmup", "length")
    )


def flat(config, prefix=""):
    found = {}
    for key, value in config.items():
        if hasattr(value, "items"):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


ALL = [
    synthetic.get_config(),
    *(table.get_config(world) for world in ("fa", "fw")),
    *(ablation.get_config(w + name) for name in ablation.CHANGES for w in ("", "fw_")),
]


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.title)
def test_the_baseline_trains_as_long_as_the_others_in_total(config):
    check_config(config)
    assert steps(config.scratch) == steps(config.pretrain) + steps(config.finetune)


def test_the_table_is_of_seeds_that_nothing_was_chosen_on():
    for world in ("fa", "fw"):
        config = table.get_config(world)
        assert len(config.seeds) >= 8
        assert min(config.seeds) > 9
        assert set(config.paper.rows) <= set(config.strategies)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("fewer_siblings", {"world.sibling_shares"}),
        ("faint_sprites", {"world.nuisance.sprite_contrast"}),
        ("few_clips", {"world.web_videos_per_class"}),
        ("from_teacher", {"pretrain_from_teacher"}),
    ],
)
@pytest.mark.parametrize("world", ["fa", "fw"])
def test_an_ablation_changes_one_thing(name, changed, world):
    plain = flat(table.get_config(world))
    config = flat(ablation.get_config(name if world == "fa" else f"fw_{name}"))
    differing = {
        key
        for key in plain.keys() | config.keys()
        if plain.get(key) != config.get(key)
        and key.startswith(("world", "conversion", "scratch", "pretrain", "finetune"))
    }
    assert differing == changed
    assert set(config["seeds"]) < set(plain["seeds"])


@pytest.mark.parametrize("world", ["", "fw_"])
def test_more_steps_are_twice_as_many_on_labels_of_the_same_teacher(world):
    plain = table.get_config(world.removesuffix("_") or "fa")
    config = ablation.get_config(f"{world}more_steps")
    assert steps(config.pretrain) == 2 * steps(plain.pretrain)
    assert config.finetune == plain.finetune
    assert (config.teacher, config.world) == (plain.scratch, plain.world)


def test_an_unknown_change_is_refused():
    with pytest.raises(ValueError, match=r"'more'.*fewer_siblings, faint_sprites"):
        ablation.get_config("more")
