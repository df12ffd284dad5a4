import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import data, training
from spl_tf.clips import ClipDataset
from spl_tf.labels import ConfusionMatrix, build_label_map
from spl_tf.training import runs
from tests.conftest import small_disk

# Trains in a process of its own, from a config given as JSON.
TRAIN = """
import json, sys
from ml_collections import config_dict
from spl_tf.training import train
train(config_dict.ConfigDict(json.loads(sys.argv[1])), sys.argv[2])
"""


def lines(workdir):
    """The log without what the clock decides."""
    with open(os.path.join(workdir, "metrics.jsonl")) as file:
        written = [json.loads(line) for line in file]
    for line in written:
        assert line.pop("clips_per_second") > 0
        assert 0 <= line.pop("input_wait") <= 1
    return written


def checkpoints(workdir):
    """Names of the checkpoints of a run, oldest first."""
    directory = os.path.join(workdir, "checkpoints")
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def start(config, workdir, script=TRAIN):
    """Starts training in a process of its own."""
    command = [sys.executable, "-c", script, json.dumps(config.to_dict()), workdir]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()[-2000:]
        time.sleep(0.02)


def assert_same_run(first, second):
    """Same losses and weights, to the bit."""
    assert lines(first) == lines(second)
    former, latter = weights(first), weights(second)
    assert former.keys() == latter.keys()
    for name in former:
        np.testing.assert_array_equal(former[name], latter[name], err_msg=name)


def weights(workdir):
    with np.load(os.path.join(workdir, "weights.npz")) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_a_small_model_learns_a_small_dataset(config, tmp_path):
    config.schedule.length.steps = 196
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
    config.schedule.length.steps = 196
    training.train(config, unbroken)
    process = start(config, killed)
    wait_for(lambda: checkpoints(killed), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not os.path.exists(os.path.join(killed, "results.json"))
    training.train(config, killed)
    assert_same_run(killed, unbroken)


STOPPABLE = """
import json, sys
from ml_collections import config_dict
from spl_tf import training
try:
    training.train(config_dict.ConfigDict(json.loads(sys.argv[1])), sys.argv[2])
except training.TrainingStopped as stopped:
    print(stopped, file=sys.stderr)
    sys.exit(training.STOPPED_EXIT_CODE)
"""


def test_sigterm_saves_at_the_next_step_and_the_run_goes_on(config, tmp_path):
    unbroken, stopped = str(tmp_path / "unbroken"), str(tmp_path / "stopped")
    config.schedule.length.steps = 1996
    # One call for many steps: only the call itself can be that quick.
    config.runtime.update(
        steps_per_call=1000, log_every_steps=1000, checkpoint_every_steps=1000
    )
    training.train(config, unbroken)
    process = start(config, stopped, STOPPABLE)
    wait_for(lambda: os.path.exists(os.path.join(stopped, "metrics.jsonl")), process)
    time.sleep(4)  # the first call compiles, then runs for some seconds
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == training.STOPPED_EXIT_CODE, printed[-2000:]
    assert "the same command continues" in printed.splitlines()[-1]
    (saved,) = checkpoints(stopped)
    assert int(saved) % 1000
    training.train(config, stopped)
    assert_same_run(stopped, unbroken)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(config, tmp_path, damage):
    unbroken, damaged = str(tmp_path / "unbroken"), str(tmp_path / "damaged")
    training.train(config, unbroken)
    shutil.copytree(unbroken, damaged)
    os.remove(os.path.join(damaged, "results.json"))
    newest = os.path.join(damaged, "checkpoints", checkpoints(damaged)[-1])
    (path,) = (
        os.path.join(newest, name) for name in os.listdir(newest) if "data" in name
    )
    if damage == "missing":
        os.remove(path)
    elif damage == "truncated":
        os.truncate(path, os.path.getsize(path) // 2)
    else:
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
    training.train(config, damaged)
    assert checkpoints(damaged) == ["000000030", "000000040", "000000040.damaged"]
    assert_same_run(damaged, unbroken)


def test_a_full_disk_keeps_the_checkpoint_before(config, tmp_path):
    small = tmp_path / "small"
    with small_disk(small, "420k") as enlarge:
        config.runtime.keep_checkpoints = 100
        with pytest.raises(OSError, match=r"cannot be written.* is kept; free some"):
            training.train(config, str(small / "run"))
        kept = checkpoints(small / "run")
        assert kept
        assert all(name.isdigit() for name in kept)
        enlarge()
        assert training.train(config, str(small / "run"))["steps"] == 40


def test_a_second_process_in_the_workdir_is_refused(config, tmp_path):
    config.schedule.length.steps = 99996
    process = start(config, str(tmp_path / "run"))
    try:
        wait_for((tmp_path / "run" / "config.json").exists, process)
        with pytest.raises(RuntimeError, match=rf"process \(id {process.pid}\)"):
            training.train(config, str(tmp_path / "run"))
    finally:
        process.kill()
        process.communicate()


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
    config.runtime.update(steps_per_call=1, log_every_steps=1, checkpoint_every_steps=1)
    with pytest.raises(FloatingPointError, match=r"loss of step \d is nan") as stop:
        training.train(config, str(tmp_path / "run"))
    step = int(re.search(r"step (\d+)", str(stop.value)).group(1))
    assert [int(name) for name in checkpoints(tmp_path / "run")][-1] == step
    source = data.TrainInput(
        ClipDataset(config.data.train), None, data.ClipSampling(2, 2), 16, True, 0
    )
    (batch,) = data.train_batches(source, 4, start_step=step, stop_step=step + 1)
    for clip_id in batch["id"].numpy():
        assert repr(clip_id.decode()) in str(stop.value)
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
        assert second["gradient_norm"] == pytest.approx(
            first["gradient_norm"], rel=1e-2
        )
    with open(os.path.join(two, "results.json")) as file:
        results = json.load(file)
    assert results["top_1"] == runs.read_results(one)["top_1"]


def test_strategies_have_names():
    assert isinstance(training.make_strategy("one"), tf.distribute.OneDeviceStrategy)
    with pytest.raises(ValueError, match="unknown strategy 'two'"):
        training.make_strategy("two")


def replicas_script(count):
    """Trains on that many logical devices, set up before TensorFlow starts."""
    return MIRRORED.replace("* 2", f"* {count}")


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer.clip_norm": 0.5, "optimizer.moving_average": 0.9},
        {"loss.name": "anchor", "loss.anchor.warm_up_epochs": 1},
        {"loss.name": "data_parameters", "loss.data_parameters_mode": "joint"},
        {"model.precision": "mixed_bfloat16", "model.projection_dim": 5},
        {"runtime.xla": True},
        {"data.short_side": (16, 20), "data.resampling.power": 0.5},
    ],
)
def test_every_option_continues_to_the_bit_after_a_kill(config, tmp_path, change):
    config.update_from_flattened_dict(change)
    unbroken, cut = str(tmp_path / "unbroken"), str(tmp_path / "cut")
    results = training.train(config, unbroken)
    assert np.isfinite(results["train_loss"])
    shutil.copytree(unbroken, cut)
    for name in ("results.json", "weights.npz", "checkpoints/000000040"):
        path = os.path.join(cut, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    training.train(config, cut)
    assert_same_run(cut, unbroken)


def test_replicas_and_accumulation_make_the_step_of_one_large_batch(config, tmp_path):
    # Batch statistics are those of each accumulated batch, so they are left out here.
    config.model.update(name="r3d_tiny_g", synchronized_batch_norm=True)
    config.optimizer.update(clip_norm=1.0, moving_average=0.5)
    two, both = str(tmp_path / "two"), str(tmp_path / "both")
    config.runtime.strategy = "mirrored"
    config.data.batch_size = 1
    for workdir, replicas, accumulation in ((two, 1, 2), (both, 2, 1)):
        settings = config.copy_and_resolve_references()
        settings.optimizer.accumulation_steps = accumulation
        script = FROZEN + replicas_script(replicas)
        process = start(settings, workdir, script)
        _, printed = process.communicate(timeout=240)
        assert process.returncode == 0, printed[-2000:]
    for first, second in zip(lines(two), lines(both), strict=True):
        for name in ("loss", "gradient_norm"):
            assert second[name] == pytest.approx(first[name], rel=1e-3), name
    former, latter = weights(two), weights(both)
    for name in former:
        np.testing.assert_allclose(former[name], latter[name], rtol=1e-3, atol=1e-5)


# Batch normalisation by its moving statistics, as in a network without it.
FROZEN = """
import spl_tf.models.layers as layers
call = layers.BatchNorm.call
layers.BatchNorm.call = lambda self, x, training=None, mask=None: call(self, x, False)
"""


def test_clipping_bounds_the_step(config, tmp_path):
    config.optimizer.update(clip_norm=1e-3, momentum=0.0, learning_rate=1.0)
    config.optimizer.weight_decay = 0.0
    config.schedule.update(shape="constant", warmup_start=1.0)
    config.schedule.warmup.steps = 0
    config.schedule.length.steps = 1
    config.init.checkpoint = str(tmp_path / "start")
    config.init.keep_head = True
    start_config = config.copy_and_resolve_references()
    start_config.init.checkpoint = ""
    start_config.optimizer.learning_rate = 0.0
    training.train(start_config, str(tmp_path / "start"))
    training.train(config, str(tmp_path / "run"))
    before, after = weights(tmp_path / "start"), weights(tmp_path / "run")
    from spl_tf.models import build_model

    model = build_model("r3d_tiny_g", 3, (2, 16, 16, 3))
    moved = 0.0
    for layer in model.layers:
        trainable = {id(weight) for weight in layer.trainable_weights}
        for place, weight in enumerate(layer.weights):
            if id(weight) in trainable:
                name = f"{layer.name}/{place}"
                moved += np.square(after[name] - before[name]).sum()
    assert np.sqrt(moved) == pytest.approx(1e-3, rel=1e-2)
    assert lines(tmp_path / "run")[0]["gradient_norm"] > 1e-2


def test_the_average_of_the_weights_is_what_is_handed_on(config, tmp_path):
    config.runtime.update(steps_per_call=1, log_every_steps=1, checkpoint_every_steps=1)
    config.runtime.keep_checkpoints = 50
    config.schedule.length.steps = 6
    config.optimizer.moving_average = 0.5
    training.train(config, str(tmp_path / "run"))
    handed_on = weights(tmp_path / "run")["stem/0"]
    kernels = [
        model_array(tmp_path / "run" / "checkpoints" / step / "state", handed_on.shape)
        for step in checkpoints(tmp_path / "run")
    ]
    # The average before the first step is the start, which no checkpoint holds: after
    # ten steps it has a share of 0.1 %.
    average = kernels[0]
    for kernel in kernels[1:]:
        average = 0.5 * average + 0.5 * kernel
    scale = abs(average).max()
    np.testing.assert_allclose(handed_on, average, atol=2e-3 * scale)
    assert abs(kernels[-1] - handed_on).max() > 4e-3 * scale


def model_array(checkpoint, shape):
    """The model's only array of that shape in a checkpoint."""
    reader = tf.train.load_checkpoint(str(checkpoint))
    (name,) = (
        name
        for name, found in reader.get_variable_to_shape_map().items()
        if "_trainable_variables" in name and tuple(found) == shape
    )
    return reader.get_tensor(name)


def test_tensorboard_gets_training_and_validation(config, tmp_path):
    training.train(config, str(tmp_path / "run"))
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    tags = {
        value.tag
        for record in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }
    assert {"train/loss", "train/learning_rate", "validation/top_1"} <= tags
