"""Stages on features of datasets that have been moved."""

import json
import shutil

from experiments.motionfit import actions
from experiments.pipeline.task import Share, Task
from spl_tf.inference.feature_extraction import extract_features
from tests.conftest import write_dataset
from tests.training.finished_run import textured_clip, write_run

NAMES = ["walk", "run"]


def task_of(action, settings, inputs, output):
    inputs = {name: str(path) for name, path in inputs.items()}
    return Task(action, settings, inputs, str(output), {}, "", Share(1, 1, 0, 1))


def test_what_was_finished_before_a_move_is_read_after_it(tmp_path):
    run = write_run(tmp_path / "run", NAMES)
    before, after = tmp_path / "before", tmp_path / "after"
    some = [textured_clip(n, n % 2, NAMES) for n in range(6)]
    write_dataset(before / "clips", some, NAMES)
    found = before / "found"
    found.mkdir()
    for name in ("features.npz", actions.QUERIES_FILE, actions.GALLERY_FILE):
        extract_features(run, str(before / "clips"), str(found / name))
    shutil.move(before, after)
    clips, found = after / "clips", after / "found"
    inputs = {"features": found / "features.npz", "dataset": clips}
    settings = {"num_clusters": 2, "seed": 0}
    actions.cluster(task_of(actions.cluster, settings, inputs, after / "clusters"))
    written = json.loads((after / "clusters/clusters.json").read_text())
    assert written["settings"]["dataset"] == str(clips)
    inputs = {"checkpoint": run, "queries": clips, "gallery": clips}
    facts = actions.retrieve(task_of(actions.retrieve, {}, inputs, found))
    assert facts["count"] == 6
