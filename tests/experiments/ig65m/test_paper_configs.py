"""The configs for a user's own posts and the paper's target sets."""

import pathlib

import pytest

from experiments.ig65m.config import check_config, parse_row, recipe, views
from experiments.ig65m.configs import (
    epic_kitchens,
    kinetics400,
    recipes,
    something_something,
)
from experiments.pipeline.runner import run_pipeline
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL
from spl_tf import training

TABLES = ("amounts", "label_spaces", "capacity", "comparison")
ARGUMENTS = [
    *((kinetics400, table) for table in TABLES),
    *((epic_kitchens, f"{table},noun") for table in TABLES),
    (something_something, ""),
]


def make_files(config):
    """Empty files where the config reads the user's."""
    paths = [config.data.classes, *config.posts.files]
    folders = [config.posts.root]
    for split in (TARGET_TRAIN, TARGET_VAL):
        paths.append(config.data[split].manifest)
        folders.append(config.data[split].root)
    for space in config.spaces.to_dict().values():
        folders.append(space.pop("root", ""))
        paths += space.values()
    for folder in filter(None, folders):
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    for path in paths:
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).touch()


@pytest.mark.parametrize(("dataset", "argument"), ARGUMENTS)
@pytest.mark.parametrize("switch", ["", ",se"])
def test_configs_are_valid_where_their_files_are(
    dataset, argument, switch, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = dataset.get_config(argument + switch)
    with pytest.raises(FileNotFoundError, match="data/"):
        check_config(config)
    make_files(config)
    check_config(config)
    (table,) = config.tables
    assert set(table["paper"]["rows"]) <= set(table["rows"]) == set(config.rows)
    check_config(dataset.get_config(f"{argument}{switch},smoke"))


def test_pre_training_is_that_of_section_3_3():
    for frames, videos in ((32, 6), (8, 16)):
        settings = recipes.pretraining(frames)
        assert (settings.data.batch_size, settings.data.num_frames) == (videos, frames)
        assert settings.data.stride == 1
        assert settings.data.crop_size == 112
        assert not settings.model.synchronized_batch_norm
        # 128 GPUs; the rate at 768 videos a step is 0.192.
        batch = 128 * videos
        peak = settings.optimizer.learning_rate * batch / 768
        assert peak == pytest.approx(0.00025 * batch)
        phases = (settings.schedule.warmup, settings.schedule.length)
        warmup, length = (round(phase.examples / batch) for phase in phases)
        assert (warmup + length) * batch == pytest.approx(490e6, rel=1e-4)
        schedule = training.WarmupSchedule(
            peak, 0.0, warmup, length, "halving", halvings=13
        )
        assert float(schedule(warmup // 2)) == pytest.approx(peak / 2, rel=1e-3)
        for part in range(14):
            middle = warmup + round((part + 0.5) * length / 14)
            assert float(schedule(middle)) == pytest.approx(peak / 2**part)


def test_a_video_has_one_label_and_classes_come_by_the_root_of_their_size():
    config = kinetics400.get_config("capacity")
    row = parse_row(config, "ig_65m_152")
    settings = recipe(config, "pretrain", row, seed=3)
    assert settings.model.name == "r2plus1d_152"
    (source,) = settings.data.sources.values()
    assert (source.labels.kind, source.labels.redraw) == ("one_of", False)
    assert source.resampling.power == 0.5
    assert config.conversion.frame_size == "128x171"
    assert views(config)["num_clips"] == 10


def test_what_is_compared_with_others_is_tested_at_every_position():
    config = kinetics400.get_config("comparison")
    shown = views(config)
    assert (shown["fully_convolutional"], shown["crop_size"]) == (True, 128)
    assert config.tables[0]["paper"]["rows"]["ig_152"] == {
        "top_1": 0.805,
        "top_5": 0.946,
    }
    config = kinetics400.get_config("comparison,se")
    assert config.conversion.to_dict() == {"short_side": 128}
    assert config.tables[0]["paper"]["rows"]["ig_152"]["top_1"] == 0.813
    config = epic_kitchens.get_config("capacity,action")
    assert config.tables[0]["paper"]["rows"]["kinetics_152"] == {"top_1": 0.178}
    assert config.data[TARGET_VAL].settings.split == "validation"
    assert something_something.get_config().conversion.frames_fps == 12


def test_an_unknown_word_in_the_argument_is_refused():
    with pytest.raises(ValueError, match="'table_5', expected words of"):
        kinetics400.get_config("table_5")
    with pytest.raises(ValueError, match="names verb and noun"):
        epic_kitchens.get_config("verb,noun")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "argument", "rows"),
    [
        (kinetics400, "amounts,smoke", ("scratch", "ig_500k")),
        (epic_kitchens, "label_spaces,verb,smoke", ("verb_noun_19m",)),
        (something_something, "smoke", ("kinetics_34",)),
    ],
)
def test_smoke_runs(dataset, argument, rows, tmp_path):
    config = dataset.get_config(argument)
    config.strategies, config.tables = rows, ()
    results = run_pipeline(config, str(tmp_path / "run"), threads=1)
    assert [row["strategy"] for row in results["rows"]] == list(config.strategies)
    assert (tmp_path / "run" / "report" / "index.html").stat().st_size > 10_000
