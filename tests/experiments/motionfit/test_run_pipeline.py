"""From rendered videos to clusters of their motion and the table, at a tiny size."""

import json
import os

import numpy as np
import pytest

from experiments.motionfit.results import format_table
from experiments.pipeline.choice import Choice
from experiments.pipeline.registry import make_stages
from experiments.pipeline.runner import describe_plan, run_pipeline
from spl_tf.clips import ClipDataset, parse_clip
from spl_tf.labels.assignment import Assignment
from tests.experiments.motionfit.small import small_config
from tests.experiments.pipelines import PipelineProcess, reasons

WITHOUT = "without_labelled"
ROWS = ("scratch_20", "motionfit_20", WITHOUT, "spl_b_on_motionfit")


def make_config(*rows):
    config = small_config(*rows)
    config.rows[WITHOUT] = {
        "fraction": 0.2,
        "teacher": "motion",
        "source": "target_train",
        "without_labelled": True,
    }
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = make_config(*ROWS)
    config.report = True
    workdir = str(tmp_path_factory.mktemp("motionfit") / "run")
    return config, workdir, run_pipeline(config, workdir, threads=1)


def lines_of(path):
    with open(path) as file:
        return file.read().split()


def ids_of(directory):
    """The media of a dataset's clips, with the rows of each."""
    found, dataset = {}, ClipDataset(directory)
    with dataset.reader() as reader:
        for row in range(len(dataset)):
            media = parse_clip(reader.read(row)).media_id
            found.setdefault(media, []).append(row)
    return found


def test_every_stage_is_done_and_up_to_date_afterwards(finished):
    config, workdir, results = finished
    names = [stage.name for stage in make_stages(config, [0])]
    assert list(reasons(results, "done")) == names
    again = run_pipeline(config, workdir, threads=1)
    assert list(reasons(again, "skipped")) == names
    assert again["rows"] == results["rows"]
    assert "0 of " in describe_plan(config, workdir)


def test_a_fifth_of_each_class_is_labelled_and_trained_on(finished):
    _, workdir, _ = finished
    part = f"{workdir}/seed_0/labelled/20"
    labelled, rest = (set(lines_of(f"{part}/{n}.csv")) for n in ("labelled", "rest"))
    media = ids_of(f"{workdir}/seed_0/clips/target_train")
    assert labelled | rest == set(media)
    assert not labelled & rest
    dataset = ClipDataset(f"{workdir}/seed_0/clips/target_train")
    rows = [row for name in labelled for row in media[name]]
    assert sorted(dataset.index.label[rows]) == list(range(12))  # 1 of 5 each
    with open(f"{workdir}/seed_0/runs/scratch_20/config.json") as file:
        sources = json.load(file)["config"]["data"]["sources"]
    assert sources["labelled"]["filter"]["exclude_ids"].endswith("labelled/20/rest.csv")


def test_labelled_clips_are_in_no_cluster_where_they_are_left_out(finished):
    _, workdir, results = finished
    labels = Assignment.load(
        f"{workdir}/seed_0/clusters/{WITHOUT}/assignment.npz"
    ).labels
    media = ids_of(f"{workdir}/seed_0/clips/target_train_flow")
    labelled = lines_of(f"{workdir}/seed_0/labelled/20/labelled.csv")
    left_out = sorted(row for name in labelled for row in media[name])
    assert np.flatnonzero(labels < 0).tolist() == left_out
    assert set(labels) == {-1, 0, 1, 2, 3, 4}
    (found,) = [c for c in results["seeds"][0]["clusters"] if c["row"] == WITHOUT]
    assert found["clips"] == len(labels) - len(left_out)


def test_what_a_row_starts_from_is_trained_without_being_a_row():
    names = [
        stage.name for stage in make_stages(make_config("spl_b_on_motionfit"), [0])
    ]
    assert "seed_0/selftrain/motionfit_20" in names
    assert "seed_0/motionfit_20/finetune" not in names


def test_chosen_rows_take_their_own_teachers_and_clusters_along():
    stages = make_stages(make_config("scratch_20", "motionfit_20", "motionfit_50"), [0])
    chosen = Choice(rows=("motionfit_20",)).of(stages)
    own = ("train_teacher/motion_20", "evaluate_teacher/motion_20")
    assert {f"seed_0/{name}" for name in (*own, "cluster/motionfit_20")} <= chosen
    assert not [name for name in chosen if "50" in name or "scratch" in name]


def test_nothing_sees_flow_where_no_teacher_does():
    names = [stage.name for stage in make_stages(make_config("appearance_20"), [0])]
    assert not [name for name in names if "flow" in name]


def test_the_table_has_every_row_and_its_clusters(finished):
    _, workdir, results = finished
    assert [row["strategy"] for row in results["rows"]] == list(ROWS)
    for row in results["rows"]:
        assert set(row["recall"]) == {"1", "5", "10", "20", "50"}
    text = format_table(results)
    for name in ROWS:
        assert f"\n{name} " in f"\n{text}"
    page = os.path.join(workdir, "report", "index.html")
    with open(page) as file:
        assert "motionfit_20" in file.read()


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_results(finished, tmp_path):
    _, _, results = finished
    config, log = make_config("motionfit_20"), tmp_path / "log"
    for kill_at in ("add_flow/web starts", "selftrain/motionfit_20 starts"):
        process = PipelineProcess(config, tmp_path / "run", log, threads=1)
        process.wait_for(kill_at)
        process.process.kill()
        process.process.join()
    (continued,) = run_pipeline(config, str(tmp_path / "run"), threads=1)["rows"]
    expected = {row["strategy"]: row for row in results["rows"]}["motionfit_20"]
    for key in ("train_loss", "top_1", "top_5", "mAP", "recall"):
        assert continued[key] == expected[key]
