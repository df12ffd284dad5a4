import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import training
from spl_tf.labels import ConfusionMatrix, build_label_map
from spl_tf.training import runs

# Trains in a process of its own, from a config given as JSON.
TRAIN = """
import json, sys
from ml_collections import config_dict
from spl_tf.training import train
train(config_dict.ConfigDict(json.loads(sys.argv[1])), sys.argv[2])
"""


def lines(workdir):
    with open(os.path.join(workdir, "metrics.jsonl")) as file:
        return [json.loads(line) for line in file]


def weights(workdir):
    with np.load(os.path.join(workdir, "weights.npz")) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_a_small_model_learns_a_small_dataset(config, tmp_path):
    config.schedule.cosine.steps = 196
    results = training.train(config, str(tmp_path / "run"))
    assert results["top_1"] > 0.95
    assert results["steps"] == 200
    assert (results["labels"], results["clips"]) == (3, 18)
    written = lines(tmp_path / "run")
    assert [line["step"] for line in written] == list(range(10, 201, 10))
    assert written[-1]["loss"] < written[0]["loss"]
    assert results["train_loss"] == written[-1]["loss"]


def test_a_finished_run_returns_its_results_without_work(config, tmp_path):
    workdir = str(tmp_path / "run")
    results = training.train(config, workdir)
    before = os.path.getmtime(os.path.join(workdir, "weights.npz"))
    assert training.train(config, workdir) == results
    assert os.path.getmtime(os.path.join(workdir, "weights.npz")) == before


def test_a_killed_run_goes_on_to_the_very_weights_of_an_unbroken_one(config, tmp_path):
    unbroken, killed = str(tmp_path / "unbroken"), str(tmp_path / "killed")
    config.schedule.cosine.steps = 196
    training.train(config, unbroken)
    command = [sys.executable, "-c", TRAIN, json.dumps(config.to_dict()), killed]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    checkpoints = os.path.join(killed, "checkpoints", "checkpoint")
    deadline = time.time() + 120
    while not os.path.exists(checkpoints) and time.time() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert os.path.exists(checkpoints)
    assert not os.path.exists(os.path.join(killed, "results.json"))
    training.train(config, killed)
    assert lines(killed) == lines(unbroken)
    first, second = weights(unbroken), weights(killed)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_another_config_in_the_same_workdir_is_refused(config, tmp_path):
    training.train(config, str(tmp_path / "run"))
    config.optimizer.momentum = 0.8
    with pytest.raises(ValueError, match=r"optimizer\.momentum was 0\.9, is 0\.8"):
        training.train(config, str(tmp_path / "run"))


def test_fine_tuning_starts_from_all_but_the_head(config, tmp_path):
    training.train(config, str(tmp_path / "first"))
    config.init.checkpoint = str(tmp_path / "first")
    config.optimizer.learning_rate = 0.0  # nothing moves but batch statistics
    training.train(config, str(tmp_path / "second"))
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    np.testing.assert_array_equal(first["stem/0"], second["stem/0"])
    np.testing.assert_array_equal(first["res3_gating/0"], second["res3_gating/0"])
    assert not np.array_equal(first["classifier/0"], second["classifier/0"])


def test_weights_of_another_network_name_every_mismatch(config, tmp_path):
    training.train(config, str(tmp_path / "first"))
    from spl_tf.models import build_model
    from spl_tf.training.checkpoints import load_weights

    other = build_model("r3d_50_g", 3, (2, 32, 32, 3))
    before = other.get_layer("stem").get_weights()[0].copy()
    with pytest.raises(
        ValueError, match=r"stem/0 is \(3, 5, 5, 3, 16\).*res5_0_a/0 is"
    ):
        load_weights(str(tmp_path / "first"), other, keep_head=True)
    np.testing.assert_array_equal(other.get_layer("stem").get_weights()[0], before)


def test_training_on_a_label_map_gives_a_head_of_its_labels(
    config, web_dataset, tmp_path
):
    confusion = ConfusionMatrix(web_dataset.info.class_names)
    confusion.update(web_dataset.index.label, web_dataset.index.teacher)
    label_map = build_label_map(confusion, "spl_b")
    label_map.save(tmp_path / "map")
    config.data.update(
        train=web_dataset.directory, validation="", label_map=str(tmp_path / "map")
    )
    results = training.train(config, str(tmp_path / "run"))
    assert (results["labels"], results["clips"]) == (6, 23)
    assert "top_1" not in results
    _, names, model = runs.load_run(str(tmp_path / "run"))
    assert names == list(label_map.label_names)
    assert model.output_shape == (None, 6)


def test_a_loss_that_is_not_finite_stops_the_run(config, tmp_path):
    config.optimizer.learning_rate = 1e12
    with pytest.raises(FloatingPointError, match="NaN or infinite between steps"):
        training.train(config, str(tmp_path / "run"))
    assert not os.path.exists(tmp_path / "run" / "results.json")


def test_a_validation_set_of_other_classes_is_refused(config, web_dataset, tmp_path):
    confusion = ConfusionMatrix(["a", "b", "c"])
    confusion.update([0, 1], [1, 1])
    build_label_map(confusion, "spl_b").save(tmp_path / "map")
    config.data.update(train=web_dataset.directory, label_map=str(tmp_path / "map"))
    with pytest.raises(ValueError, match=r"config\.data\.validation: .* 3 classes"):
        training.train(config, str(tmp_path / "run"))


# Two replicas need logical devices that are set up before TensorFlow starts.
MIRRORED = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
devices = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, devices)
from ml_collections import config_dict
from spl_tf.training import train
train(config_dict.ConfigDict(json.loads(sys.argv[1])), sys.argv[2])
"""


def test_two_replicas_train_as_one_of_twice_the_batch(config, tmp_path):
    config.model.synchronized_batch_norm = True
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    training.train(config, one)
    config.data.batch_size = 2
    config.runtime.strategy = "mirrored"
    command = [sys.executable, "-c", MIRRORED, json.dumps(config.to_dict()), two]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    for first, second in zip(lines(one), lines(two), strict=True):
        assert second["loss"] == pytest.approx(first["loss"], rel=1e-3)
    with open(os.path.join(two, "results.json")) as file:
        results = json.load(file)
    assert results["top_1"] == runs.read_results(one)["top_1"]


def test_strategies_have_names():
    assert isinstance(training.make_strategy("one"), tf.distribute.OneDeviceStrategy)
    with pytest.raises(ValueError, match="unknown strategy 'two'"):
        training.make_strategy("two")
