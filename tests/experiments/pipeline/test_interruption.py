"""The pipeline, killed and stopped: nothing is lost, nothing is left running."""

import json
import os
import random
import shutil
import signal
import threading
import time

from experiments.pipeline.runner import run_pipeline
from spl_tf.training import STOPPED_EXIT_CODE
from tests.experiments.pipelines import (
    PipelineProcess,
    reasons,
    small_config,
    stage_processes,
    table,
)


def process_of(log, seconds=240):
    """Waits for the process that writes to a log; its id."""
    deadline = time.monotonic() + seconds
    while not (found := stage_processes(log)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found[0]


def assert_nothing_is_left_running(workdir):
    deadline = time.monotonic() + 240  # ends a hang
    while stage_processes(workdir):
        assert time.monotonic() < deadline, stage_processes(workdir)
        time.sleep(0.05)


def test_killed_three_times_with_two_jobs_it_finds_what_an_unbroken_run_of_one_finds(
    finished_pipeline, tmp_path
):
    config, workdir = finished_pipeline.config, tmp_path / "run"
    moment = random.SystemRandom()
    kills = []
    for stage in ("convert_web", "spl_b/pretrain", "spl_b/finetune"):
        # Two seconds after the last of them has started there is more to do.
        kills.append((stage, moment.uniform(0, 2)))
        log = tmp_path / f"{len(kills)}.log"
        running = PipelineProcess(config, workdir, log, jobs=2, threads=1)
        running.wait_for(f"seed_0/{stage} starts")
        time.sleep(kills[-1][1])
        os.kill(running.process.pid, signal.SIGKILL)
        assert running.exit_code() == -signal.SIGKILL
        assert_nothing_is_left_running(workdir)
    results = run_pipeline(config, str(workdir), jobs=2, threads=1)
    assert table(results) == table(finished_pipeline.results), kills
    assert not (workdir / "stale").exists(), kills


def test_a_stage_that_is_killed_fails_alone_and_continues_the_next_time(
    finished_pipeline, tmp_path
):
    config, workdir = finished_pipeline.config, str(tmp_path / "run")
    shutil.copytree(finished_pipeline.workdir, workdir)
    for folder in ("runs/spl_b_pretrain", "runs/spl_b"):
        shutil.rmtree(os.path.join(workdir, "seed_0", folder))
    lines, found = [], {}

    def run():
        found.update(run_pipeline(config, workdir, threads=1, echo=lines.append))

    running = threading.Thread(target=run)
    running.start()
    log = os.path.join(workdir, "logs/seed_0/spl_b/pretrain.log")
    os.kill(process_of(log), signal.SIGKILL)
    running.join(240)
    failed = reasons(found, "failed")
    assert list(failed) == ["seed_0/spl_b/pretrain"]
    assert "killed by SIGKILL" in failed["seed_0/spl_b/pretrain"]
    assert any(f"see {log}" in line for line in lines)
    not_run = reasons(found, "not run")
    expected = ["seed_0/spl_b/finetune", "seed_0/spl_b/evaluate", "seed_0/spl_b/probe"]
    assert list(not_run) == expected
    expected = "it needs seed_0/spl_b/pretrain, which is failed"
    assert not_run["seed_0/spl_b/finetune"] == expected
    assert [row["strategy"] for row in found["rows"]] == ["none"]

    again = run_pipeline(config, workdir, threads=1)
    assert reasons(again, "done") == {
        "seed_0/spl_b/pretrain": "it did not finish",
        "seed_0/spl_b/finetune": "seed_0/runs/spl_b is not there",
    }
    assert table(again) == table(finished_pipeline.results)


def test_stopped_it_saves_and_leaves_no_process(tmp_path):
    config = small_config("none")
    config.scratch.schedule.length.steps = 100_000
    workdir = tmp_path / "run"
    metrics = workdir / "seed_0/runs/none/metrics.jsonl"
    steps = 0
    for sent, code in ((signal.SIGTERM, STOPPED_EXIT_CODE), (signal.SIGINT, 1)):
        running = PipelineProcess(config, workdir, tmp_path / f"{code}.log")
        process_of(os.path.join(str(workdir), "logs/seed_0/teacher.log"))
        deadline = time.monotonic() + 240
        while last_step(metrics) <= steps:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(running.process.pid, sent)
        assert running.exit_code() == code
        assert not stage_processes(workdir)
        assert "seed_0/teacher stopped" in running.lines()[-1]
        assert checkpoints(workdir / "seed_0/runs/none")[-1] >= last_step(metrics)
        steps = checkpoints(workdir / "seed_0/runs/none")[-1]


def last_step(metrics):
    """Of the last line of a run's metrics; 0 without."""
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def checkpoints(run):
    return sorted(int(path.name) for path in (run / "checkpoints").iterdir())
