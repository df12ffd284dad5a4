"""The configs of the paper's tables and figures: all are valid, and tiny ones run."""

import importlib
import os
import pathlib

import pytest

from experiments.omnisource.config import check_config, parse_row, recipe
from experiments.omnisource.configs import studies, ucf101_flow
from experiments.omnisource.results import format_table
from experiments.pipeline.runner import run_pipeline
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL
from spl_tf import training
from tests.experiments.omnisource.small import shrink

PAPERS = {
    "kinetics400": (
        "slow_only",
        "slow_only_scratch",
        "slow_only_101",
        "slow_only_101_scratch",
        "tsn",
        "tsn_b4",
    ),
    "mini_kinetics200": ("slow_only", "tsn"),
    "ucf101_images": ("",),
    "youtube_car": ("",),
}
ARGUMENTS = [(name, each) for name, found in PAPERS.items() for each in found]


def get_config(name, argument):
    module = importlib.import_module(f"experiments.omnisource.configs.{name}")
    return module.get_config(argument)


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_configs_of_papers_are_valid_where_their_files_are(
    name, argument, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = get_config(name, argument)
    with pytest.raises(FileNotFoundError, match=rf"data/{name.split('_im')[0]}"):
        check_config(config)
    for split in (TARGET_TRAIN, TARGET_VAL, *config.sources):
        for path in (config.data[split].root, config.data.classes):
            pathlib.Path(path).mkdir(parents=True, exist_ok=True)
        pathlib.Path(config.data[split].manifest).touch()
    check_config(config)
    assert set(config.paper.rows) <= set(config.strategies)
    check_config(get_config(name, f"{argument},smoke"))


@pytest.mark.parametrize(
    ("name", "argument", "batch"),
    [  # 24 : 12 : 12 : 12 and 24 : 64 : 12 : 12, as released
        ("mini_kinetics200", "slow_only", 96 * (1 + 3 / 2)),
        ("mini_kinetics200", "tsn", 4 * (24 + 64 + 12 + 12)),
        ("kinetics400", "slow_only", 128 * (1 + 3 / 2)),
    ],
)
def test_batches_have_the_shares_of_the_release(name, argument, batch):
    config = get_config(name, argument)
    settings = recipe(config, parse_row(config, "all"), seed=0)
    assert settings.data.global_batch_size == batch


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_transfer_starts_from_runs_that_must_be_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = get_config("transfer", name)
    with pytest.raises(FileNotFoundError, match="kinetics400_slow_only/seed_0/runs"):
        check_config(config)
    rows = [parse_row(config, row) for row in config.strategies]
    assert [row.start for row in rows] == ["without_web", "with_web"]


def test_the_second_stream_of_table_6_sees_flow(tmp_path):
    config = ucf101_flow.get_config()
    config.data.train = str(tmp_path)
    training.check_config(config)
    assert (config.data.modality, config.data.sampling) == ("flow", "segments")


ALONE = {**studies.TOGETHER, **studies.FIGURE_7}


@pytest.mark.parametrize("name", ALONE)
def test_studies_are_valid_and_on_the_first_seeds(name):
    config = studies.get_config(name)
    check_config(config)
    assert config.seeds == (10, 11, 12)
    assert config.strategies[0] == "target"
    (table,) = config.tables
    assert set(table["paper"].get("rows", {})) <= set(table["rows"])
    assert tuple(table["rows"]) == config.strategies


def test_a_row_of_several_studies_is_the_same_in_each():
    together = studies.get_config()
    check_config(together)
    assert [table["title"] for table in together.tables] == [
        name.replace("_", " ").capitalize() for name in studies.TOGETHER
    ]
    for name in studies.TOGETHER:
        alone = studies.get_config(name)
        for row in alone.strategies:
            assert parse_row(alone, row) == parse_row(together, row)


def test_an_unknown_study_is_refused():
    with pytest.raises(ValueError, match="'table_11', expected one of table_8"):
        studies.get_config("table_11")


def test_a_table_of_rows_that_are_not_there_is_refused():
    config = studies.get_config("table_8")
    config.tables[0]["rows"] = ("target", "stil")
    with pytest.raises(ValueError, match=r"config\.tables\[0\]\.rows\.stil is unknown"):
        check_config(config)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "figure_7_3"])
def test_tiny_studies_have_all_rows(name, tmp_path):
    config = shrink(studies.get_config(name))
    config.report = True
    results = run_pipeline(config, str(tmp_path / "run"), threads=1)
    assert [row["strategy"] for row in results["rows"]] == list(config.strategies)
    text = format_table(results)
    assert text.count("ahead of target") == len(config.tables)
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert all(table["title"] in page for table in config.tables)


def check_smoke(name, argument, workdir):
    config = get_config(name, f"{argument},smoke")
    results = run_pipeline(config, workdir, threads=1)
    assert [row["strategy"] for row in results["rows"]] == list(config.strategies)
    assert os.path.getsize(f"{workdir}/report/index.html") > 10_000


@pytest.mark.slow
def test_smoke_runs_of_slow_only_and_what_follows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_smoke("kinetics400", "slow_only", "runs/kinetics400_slow_only_smoke")
    check_smoke("transfer", "ucf101", "runs/ucf101_omnisource_smoke")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "argument"), [("mini_kinetics200", "tsn"), ("youtube_car", "")]
)
def test_smoke_runs_of_segments(name, argument, tmp_path):
    check_smoke(name, argument, str(tmp_path / "run"))
