"""What configs of the experiment decide, and which are refused."""

import pathlib

import pytest

from experiments.motionfit.config import check_config, parse_row, recipe
from experiments.motionfit.configs import files, hmdb51, studies, synthetic, ucf101
from experiments.pipeline.runner import run_pipeline
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL, WEB
from tests.experiments.motionfit.small import shrink, small_config


def changed(**changes):
    """A config with some keys changed; dots are written as two underscores."""
    config = small_config("scratch_20", "motionfit_20")
    config.update_from_flattened_dict(
        {key.replace("__", "."): value for key, value in changes.items()}
    )
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ("nothing",)}, "'nothing', which is none of config.rows"),
        ({"strategies": ()}, "config.strategies is empty"),
        ({"rows__scratch_20__fraction": 0.0}, "scratch_20.fraction is 0.0, expected"),
        ({"rows__motionfit_20__teacher": "he"}, "is 'he', expected one of config.tea"),
        ({"num_clusters": 1}, "num_clusters is 1, expected 2 or more"),
        ({"features__num_clips": 0}, "num_clips is 0, expected 1 or more"),
        ({"teachers__motion__model__name": "x"}, "config.teachers.motion"),
        ({"selftrain__data__train": "clips"}, "config.selftrain .* names 'clips'"),
        ({"flow__method": "x"}, "config.flow: method is 'x'"),
    ],
)
def test_a_wrong_config_is_refused_before_any_work(changes, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError, KeyError), match=message):
        run_pipeline(changed(**changes), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"share": 0.2}, "config.rows.x.share is unknown"),
        ({"teacher": "motion", "labels": "x"}, "x.labels is 'x', expected 'clusters'"),
        ({"teacher": "motion", "source": "x"}, "x.source is 'x', expected one of"),
        ({"start": "scratch_20"}, "x.start is 'scratch_20'"),
        ({"start": "motionfit_20"}, "x.start is 'motionfit_20'"),
        (
            {"teacher": "motion", "without_labelled": True, "fraction": 0.5},
            "x.without_labelled leaves the labelled part out",
        ),
        ({"changes": {"tune": {}}}, "config.rows.x.changes.tune is unknown"),
        ({"changes": {"scratch": {"data": {"size": 1}}}}, "changes.scratch: .*size"),
    ],
)
def test_a_wrong_row_is_refused(row, message):
    config = small_config("scratch_20")
    config.rows.x = row
    config.strategies = ("scratch_20", "x")
    with pytest.raises(ValueError, match=message):
        check_config(config)


def test_rows_of_a_strategy_have_as_many_steps_from_either_start():
    config = synthetic.get_config()
    steps = {}
    for name in ("spl_b", "spl_b_on_motionfit"):
        row = parse_row(config, name)
        phases = ["pretrain", *(["selftrain"] if row.start else [])]
        schedules = [recipe(config, phase, row, 0).schedule for phase in phases]
        steps[name] = sum(s.warmup.steps + s.length.steps for s in schedules)
    assert len(set(steps.values())) == 1


@pytest.mark.parametrize("name", ["", *studies.STUDIES])
def test_studies_are_valid_and_on_the_first_seeds(name):
    config = studies.get_config(name)
    check_config(config)
    assert config.seeds == (10, 11, 12)
    for table in config.tables:
        assert set(table["paper"].get("rows", {})) <= set(table["rows"])


def test_an_unknown_study_is_refused():
    with pytest.raises(ValueError, match="'strides', expected one of source"):
        studies.get_config("strides")


@pytest.mark.parametrize("dataset", [ucf101, hmdb51])
@pytest.mark.parametrize("network", ["r2plus1d_18", "s3d_g"])
@pytest.mark.parametrize("table", files.TABLES)
def test_configs_of_papers_are_valid_where_their_files_are(
    dataset, network, table, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = dataset.get_config(f"{table},{network},2")
    with pytest.raises(FileNotFoundError, match="data/"):
        check_config(config)
    splits = (TARGET_TRAIN, TARGET_VAL, *([WEB] * (table == files.KINETICS)))
    for split in splits:
        for path in (config.data[split].root, config.data.classes):
            pathlib.Path(path).mkdir(parents=True, exist_ok=True)
        pathlib.Path(config.data[split].manifest).touch()
    check_config(config)
    assert config.data[TARGET_TRAIN].manifest.endswith("target_2.csv")
    check_config(dataset.get_config(f"{table},{network},smoke"))


def test_an_unknown_word_in_the_argument_is_refused():
    with pytest.raises(ValueError, match="'fold_2', expected words of"):
        ucf101.get_config("fold_2")
    with pytest.raises(ValueError, match="names 1 and 2"):
        ucf101.get_config("1,2")


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["kinetics400,smoke", "semi_supervised,smoke"])
def test_smoke_runs(argument, tmp_path):
    config = ucf101.get_config(argument)
    results = run_pipeline(config, str(tmp_path / "run"), threads=1)
    assert [row["strategy"] for row in results["rows"]] == list(config.strategies)
    assert (tmp_path / "run" / "report" / "index.html").stat().st_size > 10_000


@pytest.mark.slow
def test_tiny_studies_have_all_rows(tmp_path):
    config = shrink(studies.get_config())
    results = run_pipeline(config, str(tmp_path / "run"), threads=1)
    assert [row["strategy"] for row in results["rows"]] == list(config.strategies)
