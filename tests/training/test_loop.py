"""What training makes of its config and its data."""

import csv
import dataclasses
import os
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from spl_tf import data, training
from spl_tf.inference import evaluation
from spl_tf.labels import ConfusionMatrix, build_label_map
from spl_tf.models import build_model
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import WEIGHTS, load_weights
from spl_tf.training.objectives import LabelCounts
from tests.conftest import make_clip, write_dataset
from tests.training.finished_run import write_run
from tests.training.run_files import ROOT, checkpoints, lines, weights


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
    # The labels have about as many clips in an interval.
    last = written[-1]
    assert last["label_accuracy"] == pytest.approx(last["accuracy"], abs=0.05)


def test_the_classes_of_the_validation_set_are_told_apart(config, target, tmp_path):
    config.schedule.length.steps = 16
    results = training.train(config, str(tmp_path / "run"))
    strategy = training.make_strategy("one")
    _, _, model = evaluation.open_run(str(tmp_path / "run"), strategy)
    views = evaluation.Views(data.ClipSampling(2, 2), 16)
    scores = evaluation.score(model, strategy, target, views, 18)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (scores.labels, scores.probabilities.argmax(axis=1)), 1)
    assert expected.trace() < 18  # not all are recognised

    confusion = ConfusionMatrix.load(tmp_path / "run" / "confusion.npz")
    assert (confusion.counts.toarray() == expected).all()
    with open(tmp_path / "run" / "per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a", "b", "c"]
    shares = expected.diagonal() / 6
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(shares)
    assert results["top_1"] == pytest.approx(expected.trace() / 18)
    assert results["mean_class_accuracy"] == pytest.approx(shares.mean())


def test_labels_are_counted_until_they_are_taken():
    counts = LabelCounts(4)
    logits = np.eye(4, dtype=np.float32)[[0, 1, 2, 2, 0]]
    counts.update(tf.constant([0, 1, 1, 2, 2]), tf.constant(logits))
    counts.update(tf.constant([1]), tf.constant(logits[1:2]))
    np.testing.assert_allclose(counts.take(), [1, 2 / 3, 1 / 2, np.nan])
    assert np.isnan(counts.take()).all()


def test_a_finished_run_returns_its_results_without_work(config, tmp_path):
    workdir = str(tmp_path / "run")
    results = training.train(config, workdir)
    before = os.path.getmtime(os.path.join(workdir, "weights.npz"))
    assert training.train(config, workdir) == results
    assert os.path.getmtime(os.path.join(workdir, "weights.npz")) == before


def started_from(caplog):
    """The line that says so, and its layers: those loaded, those that were not."""
    (line,) = [
        record.getMessage()
        for record in caplog.records
        if record.getMessage().startswith("starting from")
    ]
    source, loaded, kept = line.split("; ")
    return source, set(names_in(loaded)), set(names_in(kept))


def names_in(text):
    return text.split(": ")[1].split(", ")


@pytest.fixture
def one_step(config, caplog):
    """Nothing moves but batch statistics; what is logged is kept."""
    caplog.set_level("INFO", "absl")
    config.data.validation = ""
    config.optimizer.learning_rate = 0.0
    config.schedule.warmup.steps = 0
    config.schedule.length.steps = 1
    return config


@pytest.mark.parametrize("keep_head", [False, True])
def test_a_run_starts_from_the_weights_of_another_and_names_them(
    one_step, tmp_path, caplog, keep_head
):
    before = write_run(tmp_path / "before", "abc")
    one_step.init.update(checkpoint=before, keep_head=keep_head)
    training.train(one_step, str(tmp_path / "run"))
    first, second = weights(before), weights(tmp_path / "run")
    names = {name.split("/")[0] for name in first}
    source, loaded, kept = started_from(caplog)
    assert source == f"starting from {before}"
    assert kept == ({"none"} if keep_head else {"classifier"})
    assert loaded == names - kept
    for name in ("stem/0", "res3_gating/0"):
        np.testing.assert_array_equal(first[name], second[name])
    assert keep_head == np.array_equal(first["classifier/0"], second["classifier/0"])


def test_inflated_weights_are_named(one_step, tmp_path, caplog):
    one_step.init.inflate = os.path.join(write_run(tmp_path / "a", "abc"), WEIGHTS)
    training.train(one_step, str(tmp_path / "run"))
    source, loaded, kept = started_from(caplog)
    assert source == f"starting from {one_step.init.inflate}"
    assert {"stem", "res2_0_a_bn"} <= loaded
    assert kept == {"classifier"}


def test_a_run_from_scratch_says_so_with_what_it_costs_and_a_restart_says_what_it_reads(
    one_step, tmp_path, caplog
):
    training.train(one_step, str(tmp_path / "run"))
    source, loaded, kept = started_from(caplog)
    assert source == "starting from scratch"
    assert loaded == {"none"}
    assert kept == {name.split("/")[0] for name in weights(tmp_path / "run")}
    (table,) = [
        r.getMessage() for r in caplog.records if "multiply-adds" in r.getMessage()
    ]
    assert table.splitlines()[-1].startswith("total")

    caplog.clear()
    os.remove(tmp_path / "run" / "results.json")
    training.train(one_step, str(tmp_path / "run"))
    read = f"continuing from {tmp_path / 'run' / 'checkpoints' / '000000001'}: average,"
    messages = [record.getMessage() for record in caplog.records]
    assert [m for m in messages if m.startswith(read)]
    assert not [m for m in messages if m.startswith("starting from")]


def test_a_head_of_other_labels_is_refused_before_anything_is_written(
    one_step, tmp_path
):
    before = write_run(tmp_path / "before", "abd")
    one_step.init.update(checkpoint=before, keep_head=True)
    with pytest.raises(
        ValueError, match=r"config\.init\.keep_head: the head of .*a, b"
    ):
        training.train(one_step, str(tmp_path / "run"))
    os.remove(tmp_path / "before" / WEIGHTS)
    with pytest.raises(
        FileNotFoundError, match=r"config\.init\.checkpoint: .*finished"
    ):
        training.train(one_step, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_workdir_says_what_the_run_is(one_step, target, tmp_path):
    training.train(one_step, str(tmp_path / "run"))
    content = run_folder.read_json(str(tmp_path / "run" / "config.json"))
    assert content["config"]["schedule"]["length"]["steps"] == 1
    assert content["config"]["optimizer"]["momentum"] == 0.9
    assert content["label_names"] == ["a", "b", "c"]
    assert content["datasets"] == {"train": run_folder.dataset_fingerprint(target)}
    assert content["clips_per_step"] == 4
    assert content["versions"]["tensorflow"] == tf.__version__
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode == 0:
        assert content["git_revision"].startswith(done.stdout.strip())


def test_weights_of_another_network_name_every_mismatch(tmp_path):
    first = write_run(tmp_path / "first", "abc")
    other = build_model("r3d_50_g", 3, (2, 32, 32, 3))
    before = other.get_layer("stem").get_weights()[0].copy()
    with pytest.raises(
        ValueError, match=r"stem/0 is \(3, 5, 5, 3, 16\).*res5_0_a/0 is"
    ):
        load_weights(first, other, keep_head=True)
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
    _, names, model = run_folder.load_run(str(tmp_path / "run"))
    assert names == list(label_map.label_names)
    assert model.output_shape == (None, 6)


def test_a_validation_set_of_other_classes_is_refused(config, web_dataset, tmp_path):
    confusion = ConfusionMatrix(["a", "b", "c"])
    confusion.update([0, 1], [1, 1])
    build_label_map(confusion, "spl_b").save(tmp_path / "map")
    config.data.update(train=web_dataset.directory, label_map=str(tmp_path / "map"))
    with pytest.raises(ValueError, match=r"config\.data\.validation: .* 3 classes"):
        training.train(config, str(tmp_path / "run"))


def with_label(number, label):
    return dataclasses.replace(make_clip(number, 0), label_index=label)


@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_labels_that_are_no_classes_are_refused_before_anything_is_written(
    config, tmp_path, split, label
):
    wrong = [with_label(n, label if n in (2, 5) else n % 3) for n in range(6)]
    config.data[split] = write_dataset(tmp_path / "wrong", wrong, "abc", 1).directory
    with pytest.raises(
        ValueError,
        match=rf"wrong/clips\.tfrecord-00000-of-00001, row 2: its label is {label}, "
        r"expected 0 to 2 \(2 such rows\)",
    ):
        training.train(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("impossible", "message"),
    [
        ({"seed": 2**33}, "config.seed is 8589934592"),
        ({"data.crop_size": 2}, "too small for r3d_tiny_g"),
    ],
)
def test_a_config_that_is_refused_does_not_claim_the_workdir(
    one_step, tmp_path, impossible, message
):
    refused = one_step.copy_and_resolve_references()
    refused.update_from_flattened_dict(impossible)
    with pytest.raises(ValueError, match=message):
        training.train(refused, str(tmp_path / "run"))
    assert training.train(one_step, str(tmp_path / "run"))["steps"] == 1


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
    assert {f"{part}/accuracy_per_label" for part in ("train", "validation")} <= tags


def test_a_remote_workdir_is_refused(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="workdir is gs://bucket/run, expected a fold"):
        training.train(config, "gs://bucket/run")
    assert not os.path.exists("gs:")
