"""The whole path, from rendered video files to the table, at a tiny size."""

import json
import os
import shutil

import numpy as np
import pytest

from experiments.pipeline.runner import describe_plan, run_pipeline
from experiments.spl.results import format_table
from spl_tf.clips import ClipDataset
from spl_tf.distribution.interruption import WorkdirBusyError, locked
from spl_tf.labels import LabelMap
from tests import warm_python
from tests.experiments.pipelines import reasons, table

STAGES = [
    "seed_0/render",
    "seed_0/convert_target_train",
    "seed_0/convert_web",
    "seed_0/teacher",
    "seed_0/convert_target_val",
    "seed_0/predict",
    "seed_0/none/evaluate",
    "seed_0/none/probe",
    "seed_0/spl_b/build_labels",
    "seed_0/spl_b/pretrain",
    "seed_0/spl_b/finetune",
    "seed_0/spl_b/evaluate",
    "seed_0/spl_b/probe",
]


@pytest.fixture(scope="module")
def config(finished_pipeline):
    return finished_pipeline.config


@pytest.fixture(scope="module")
def finished(finished_pipeline, tmp_path_factory):
    """A copy of the run, which these tests change."""
    workdir = str(tmp_path_factory.mktemp("copy") / "run")
    shutil.copytree(finished_pipeline.workdir, workdir)
    return workdir, finished_pipeline.results, finished_pipeline.lines


def files(workdir):
    """Times of all files but those that each run writes anew."""
    found = {
        os.path.join(folder, name): os.stat(os.path.join(folder, name)).st_mtime_ns
        for folder, _, names in os.walk(workdir)
        for name in names
    }
    for name in ("config.json", "results.json", "lock"):
        found.pop(os.path.join(workdir, name), None)
    return found


def test_every_stage_runs_once_and_says_so(finished):
    _, results, lines = finished
    assert [stage["stage"] for stage in results["stages"]] == STAGES
    assert list(reasons(results, "done")) == STAGES
    for name in STAGES:
        assert sum(f"{name} starts" in line for line in lines) == 1
        assert sum(f"{name} done in " in line for line in lines) == 1


def test_every_stage_has_a_log_of_what_it_printed(finished):
    workdir, results, _ = finished
    logs = {stage["stage"]: stage["log"] for stage in results["stages"]}
    with open(os.path.join(workdir, logs["seed_0/spl_b/build_labels"])) as file:
        assert "> spl_b" in file.read().replace(">  ", "> ")
    with open(os.path.join(workdir, logs["seed_0/teacher"])) as file:
        assert "multiply-adds" in file.read()


def test_the_table_agrees_with_the_files_it_is_made_from(finished):
    workdir, results, _ = finished
    (seed,) = results["seeds"]
    web = ClipDataset(os.path.join(workdir, seed["web_teacher"]))
    agree = int((web.index.label == web.index.teacher).sum())
    assert seed["noise_ratio"] == pytest.approx(1 - agree / len(web))
    none, spl_b = results["rows"]
    assert (none["strategy"], none["labels"], none["clips"]) == ("none", 0, 0)
    assert (spl_b["strategy"], spl_b["labels"]) == ("spl_b", 24)
    assert (spl_b["clips"], spl_b["kept"], spl_b["cover"]) == (len(web), 1.0, 1.0)
    truth = ClipDataset(os.path.join(workdir, seed["target_val"])).index.label
    for row in (none, spl_b):
        assert row["top_1"] == top_1(os.path.join(workdir, row["evaluation"]), truth)
        probe = os.path.join(workdir, f"seed_0/probe/{row['strategy']}")
        assert row["probe_top_1"] == top_1(probe, truth)
    with open(os.path.join(workdir, "results.json")) as file:
        assert json.load(file) == results


def top_1(evaluation, truth):
    with np.load(os.path.join(evaluation, "predictions.npz")) as scores:
        chosen = scores["probabilities"].argmax(axis=1)
        return float((chosen == truth[scores["rows"]]).mean())


def test_the_curve_has_rows_of_its_own_which_may_be_the_tables(finished):
    _, results, _ = finished
    assert results["curve"] == results["rows"][1:]


def test_the_saved_label_map_labels_the_clips(finished):
    workdir, results, _ = finished
    label_map = LabelMap.load(os.path.join(workdir, results["rows"][1]["label_map"]))
    web = ClipDataset(os.path.join(workdir, results["seeds"][0]["web_teacher"]))
    labels = label_map.lookup(web.index.label, web.index.teacher)
    agree = web.index.label == web.index.teacher
    expected = np.where(agree, web.index.label, 12 + web.index.label)
    assert labels.tolist() == expected.tolist()


def test_fine_tuning_starts_from_what_pre_training_has_learned(finished):
    workdir, results, _ = finished
    row = results["rows"][1]
    with open(os.path.join(workdir, row["finetune"], "config.json")) as file:
        start = json.load(file)["config"]["init"]["checkpoint"]
    assert start.endswith(f"/run/{row['pretrain']}")


def test_the_printed_table_has_a_line_per_strategy(finished):
    _, results, _ = finished
    lines = format_table(results).splitlines()
    assert lines[0].startswith(f"noise ratio {results['seeds'][0]['noise_ratio']:.1%}")
    for line, row in zip(lines[-2:], results["rows"], strict=True):
        name, labels, clips, kept, *shares = line.split()
        assert (name, labels, clips) == (
            row["strategy"],
            str(row["labels"]),
            str(row["clips"]),
        )
        assert kept == f"{row['kept']:.1%}"
        expected = [row["top_1"], row["top_5"], row["probe_top_1"]]
        assert shares == [f"{share:.1%}" for share in expected]


def test_a_run_without_a_row_says_how_many_stages_are_done(config, tmp_path):
    workdir = str(tmp_path / "run")
    found = run_pipeline(config, workdir, stages=["render"], echo=lambda line: None)
    assert format_table(found) == f"1 of {len(STAGES)} stages done"
    again = run_pipeline(config, workdir, stages=["render"], echo=lambda line: None)
    assert format_table(again) == f"1 of {len(STAGES)} stages done"


def test_a_second_run_changes_nothing(finished, config):
    workdir, results, _ = finished
    before, lines = files(workdir), []
    again = run_pipeline(config, workdir, echo=lines.append)
    assert table(again) == table(results)
    assert list(reasons(again, "skipped")) == STAGES
    assert files(workdir) == before
    assert lines == [f"{len(STAGES)} of {len(STAGES)} stages were up to date"]


def test_a_run_from_before_a_key_was_made_has_its_default(finished, config, tmp_path):
    workdir = str(tmp_path / "run")
    shutil.copytree(finished[0], workdir)
    for stage in ("teacher", "spl_b/pretrain"):
        path = tmp_path / f"run/stages/seed_0/{stage}.json"
        record = json.loads(path.read_text())
        del record["fingerprint"]["settings.data.on_bad_record"]
        path.write_text(json.dumps(record))
    text = describe_plan(config, workdir)
    assert text.startswith(f"0 of {len(STAGES)} stages would run")
    changed = config.copy_and_resolve_references()
    changed.pretrain.data.on_bad_record = "skip"
    line = line_of(describe_plan(changed, workdir), "seed_0/spl_b/pretrain")
    assert "settings.data.on_bad_record was 'error', is 'skip'" in line


def test_another_process_in_the_workdir_is_named(finished, config):
    workdir, _, _ = finished
    with locked(workdir), pytest.raises(WorkdirBusyError, match=str(os.getpid())):
        run_pipeline(config, workdir)


def test_a_dry_run_shows_the_plan_and_touches_nothing(finished, config, tmp_path):
    fresh = tmp_path / "fresh"
    text = describe_plan(config, str(fresh))
    assert not fresh.exists()
    assert f"{len(STAGES)} of {len(STAGES)} stages would run" in text
    assert line_of(text, "seed_0/teacher").split()[-7:-5] == ["8", "steps"]
    assert "~" in line_of(text, "seed_0/teacher")

    workdir, _, _ = finished
    before = files(workdir)
    changed = config.copy_and_resolve_references()
    changed.finetune.optimizer.learning_rate = 0.01
    text = describe_plan(changed, workdir)
    assert files(workdir) == before
    finetune = line_of(text, "seed_0/spl_b/finetune")
    assert "settings.optimizer.learning_rate was 0.05, is 0.01" in finetune
    assert "~" not in finetune  # measured: it has run
    assert "after seed_0/spl_b/finetune" in line_of(text, "seed_0/spl_b/evaluate")
    assert f"2 of {len(STAGES)} stages would run" in text


def line_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


def test_a_changed_key_runs_what_depends_on_it_and_keeps_the_former(finished, config):
    workdir, results, _ = finished
    changed = config.copy_and_resolve_references()
    changed.finetune.schedule.length.steps = 4
    changed.description = "said in other words"
    changed.finetune.runtime.keep_checkpoints = 1
    lines = []
    again = run_pipeline(changed, workdir, jobs=2, echo=lines.append)
    ran = reasons(again, "done")
    assert list(ran) == ["seed_0/spl_b/finetune", "seed_0/spl_b/evaluate"]
    key = "settings.schedule.length.steps was 6, is 4"
    assert ran["seed_0/spl_b/finetune"] == key
    assert ran["seed_0/spl_b/evaluate"].startswith("inputs.checkpoint changed (")
    (line,) = (line for line in lines if "finetune starts" in line)
    assert f"because {key}" in line
    former = os.path.join(workdir, "stale", "seed_0/runs/spl_b-1")
    assert former in os.path.join(workdir, line.rsplit(" ", 1)[-1])
    with open(os.path.join(former, "results.json")) as file:
        assert json.load(file)["steps"] == 8
    assert again["description"] == "said in other words"
    assert again["rows"][0] == results["rows"][0]


def test_the_binary_prints_the_table_and_takes_choices(config, tmp_path):
    settings, path = tmp_path / "settings.json", tmp_path / "config.py"
    settings.write_text(json.dumps(config.to_dict()))
    path.write_text(
        "import json\nfrom ml_collections import config_dict\n"
        f"def get_config():\n    with open({str(settings)!r}) as file:\n"
        "        return config_dict.ConfigDict(json.load(file))\n"
    )
    workdir = tmp_path / "run"

    def run(stages):
        flags = [f"--config={path}", f"--workdir={workdir}", f"--stages={stages}"]
        return warm_python.run("-m", "experiments.run_pipeline", *flags, "--seeds=3")

    done = run("evaluate")
    assert done.returncode == 1, done.stderr
    assert "seed_3/none/evaluate did not run: it needs seed_3/" in done.stdout
    done = run("render,convert_*")
    assert done.returncode == 0, done.stderr
    assert "seed_3/render done in" in done.stdout
    assert "\n4 of 26 stages done\n" in done.stdout
    assert str(workdir / "results.json") in done.stdout
    assert len(ClipDataset(workdir / "seed_3/clips/target_val")) == 24
    assert not (workdir / "seed_3/runs").exists()


def test_a_finished_run_elsewhere_labels_the_web_clips(finished, config, tmp_path):
    workdir, _, _ = finished
    other = config.copy_and_resolve_references()
    other.teacher = os.path.join(workdir, "seed_0", "runs", "none")
    other.predict.classes = "dataset"
    chosen = ["render", "convert_web", "predict"]
    found = run_pipeline(other, str(tmp_path / "run"), stages=chosen)
    names = [stage["stage"] for stage in found["stages"]]
    assert "seed_0/teacher" not in names
    assert "seed_0/none/scratch" in names
    ours, theirs = (
        ClipDataset(os.path.join(folder, "seed_0", "clips", "web_teacher")).index
        for folder in (str(tmp_path / "run"), workdir)
    )
    np.testing.assert_array_equal(ours.teacher, theirs.teacher)
