"""From rendered images and videos to the table, at a tiny size."""

import csv
import json
import os

import pytest

from experiments.omnisource.results import format_table
from experiments.pipeline.registry import make_stages
from experiments.pipeline.runner import describe_plan, run_pipeline
from spl_tf.clips import ClipDataset
from tests.experiments.omnisource.small import small_config, surest_by_class
from tests.experiments.pipelines import PipelineProcess, reasons

IMAGES, SHORT, UNTRIMMED = "web_images", "web_short", "web_untrimmed"
ROWS = ("target", "images", "all", "unfiltered")


def make_config(*rows):
    config = small_config(*rows)
    config.sources[IMAGES].clips.kind = "perspective"
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = make_config(*ROWS)
    workdir = str(tmp_path_factory.mktemp("omnisource") / "run")
    return config, workdir, run_pipeline(config, workdir, threads=1)


def run_config(workdir, row):
    with open(os.path.join(workdir, "seed_0/runs", row, "config.json")) as file:
        return json.load(file)


def test_every_stage_is_done_and_up_to_date_afterwards(finished):
    config, workdir, results = finished
    names = [stage.name for stage in make_stages(config, [0])]
    assert list(reasons(results, "done")) == names
    again = run_pipeline(config, workdir, threads=1)
    assert list(reasons(again, "skipped")) == names
    assert again["rows"] == results["rows"]
    assert "0 of " in describe_plan(config, workdir)


def test_all_kinds_of_web_data_become_clips_of_their_length(finished):
    _, workdir, _ = finished
    clips = {
        name: ClipDataset(f"{workdir}/seed_0/clips/{name}").index
        for name in ("target_train", IMAGES, SHORT, UNTRIMMED)
    }
    frames = {name: set(index.frames.tolist()) for name, index in clips.items()}
    assert frames == {"target_train": {8}, IMAGES: {1}, SHORT: {8}, UNTRIMMED: {8}}
    # Two videos of two segments a class, less those that are damaged on purpose.
    assert len(clips[UNTRIMMED].label) > 24 * 1.5


def test_a_filter_keeps_of_each_class_what_it_says(finished):
    _, workdir, results = finished
    seed = f"{workdir}/seed_0"
    expected = surest_by_class(f"{seed}/clips/web_short_by_video_teacher", 0.5)
    with open(f"{seed}/filtered/{SHORT}/classes.csv", newline="") as file:
        after = [int(row["after"]) for row in csv.DictReader(file)]
    assert after == expected
    source = {s["source"]: s for s in results["seeds"][0]["sources"]}[SHORT]
    assert source["kept"] == sum(expected)


def test_near_copies_are_left_out_of_training(finished):
    _, workdir, results = finished
    for source in results["seeds"][0]["sources"]:
        folder = os.path.join(workdir, source["duplicates"])
        with open(os.path.join(folder, "exclude_ids.csv")) as file:
            assert len(file.readlines()) == source["excluded"]
    data = run_config(workdir, "all")["config"]["data"]["sources"]
    excluded = data[SHORT]["filter"]["exclude_ids"]
    assert excluded.endswith(f"seed_0/duplicates/{SHORT}/exclude_ids.csv")
    motion = data[IMAGES]["clips"]["motion"]
    assert motion.endswith("seed_0/camera_motion/motion.npz")


def test_the_table_has_every_row_and_what_sources_gave(finished):
    _, workdir, results = finished
    with open(f"{workdir}/seed_0/evaluation/all/results.json") as file:
        evaluated = json.load(file)
    rows = {row["strategy"]: row for row in results["rows"]}
    assert rows["all"]["top_1"] == evaluated["top_1"]
    text = format_table(results)
    assert list(rows) == list(ROWS)
    for name in (*ROWS, IMAGES, SHORT, UNTRIMMED):
        assert f"\n{name} " in f"\n{text}"


def test_another_filter_runs_again_what_depends_on_it(finished, tmp_path):
    _, workdir, _ = finished
    config = make_config(*ROWS)
    config.sources[SHORT].filter.keep_fraction = 0.75
    plan = describe_plan(config, workdir)
    rerun = {line.split()[0] for line in plan.splitlines() if line[:5] == "seed_"}
    assert rerun == {
        f"seed_0/filter/{SHORT}",
        *(
            f"seed_0/{row}/{step}"
            for row in ("all", "unfiltered")
            for step in ("train", "evaluate")
        ),
    }


def test_a_killed_run_continues_to_the_same_results(finished, tmp_path):
    _, _, results = finished
    config, log = make_config("images"), tmp_path / "log"
    for kill_at in ("convert_web_images starts", "images/train starts"):
        process = PipelineProcess(config, tmp_path / "run", log, threads=1)
        process.wait_for(kill_at)
        process.process.kill()
        process.process.join()
    (continued,) = run_pipeline(config, str(tmp_path / "run"), threads=1)["rows"]
    expected = {row["strategy"]: row for row in results["rows"]}["images"]
    for key in ("train_loss", "top_1", "top_5", "mAP"):
        assert continued[key] == expected[key]
