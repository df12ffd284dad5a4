"""Clips with several labels: one drawn, or all of them as multi-hot rows."""

import collections
import dataclasses
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from experiments.evaluate import evaluate, evaluate_again, summary
from spl_tf import data, training
from spl_tf.clips import ClipDataset, parse_clip
from spl_tf.inference.export import export
from spl_tf.inference.prediction import predict
from spl_tf.losses import sigmoid_cross_entropy
from spl_tf.training.assembly import open_sources
from spl_tf.training.config import default_source
from tests.conftest import make_clip, write_dataset
from tests.training.run_files import lines

# Of grey levels that go up with the clip's number; "c" is on both ends.
LABELS = [(0, 2)] * 6 + [(0,)] * 3 + [(1,)] * 3 + [(1, 2)] * 6
HOT = np.array([[label in labels for label in range(3)] for labels in LABELS])


@pytest.fixture
def tagged(tmp_path):
    """18 clips with one or two of the labels a, b and c."""
    clips = [
        dataclasses.replace(
            make_clip(n + 6 * (n > 8), labels[0], names="abc", teacher=[n % 3]),
            more_labels=tuple((label, "abc"[label]) for label in labels[1:]),
        )
        for n, labels in enumerate(LABELS)
    ]
    return write_dataset(tmp_path / "tagged", clips, "abc", num_shards=1)


@pytest.fixture
def several(config, tagged):
    """A config whose only source is the clips with several labels."""
    source = default_source()
    source.dataset = tagged.directory
    config.data.update(train="", validation="")
    with config.data.unlocked():
        config.data.sources.tags = source
    return config


def drawn(config, steps):
    """The labels that each row gets in turn."""
    opened = open_sources(config, 4)
    found = collections.defaultdict(list)
    for batch in data.train_batches(opened.inputs, opened.sizes, stop_step=steps):
        for row, label in zip(
            batch["index"].numpy(), batch["label"].numpy(), strict=True
        ):
            found[row].append(label)
    return found


def test_one_label_is_drawn_and_stays(several):
    several.data.sources.tags.labels.kind = "one_of"
    found = drawn(several, 45)
    assert all(label in LABELS[row] for row, (label, *_) in found.items())
    assert all(len(set(labels)) == 1 for labels in found.values())
    two = {found[row][0] == LABELS[row][0] for row in range(18) if len(LABELS[row]) > 1}
    assert two == {True, False}
    first = {row: labels[0] for row, labels in found.items()}
    several.seed = 1
    assert {row: labels[0] for row, labels in drawn(several, 9).items()} != first


def test_one_label_is_drawn_anew_in_each_epoch(several):
    several.data.sources.tags.labels.update(kind="one_of", redraw=True)
    found = drawn(several, 450)  # 100 epochs
    for row, labels in found.items():
        assert set(labels) == set(LABELS[row])
        share = np.mean(np.array(labels) == LABELS[row][0])
        assert share == 1 or 0.3 < share < 0.7
    again = drawn(several, 45)
    assert all(again[row] == labels[:10] for row, labels in found.items())


def test_all_labels_are_multi_hot_rows(several):
    several.data.sources.tags.labels.kind = "all"
    several.loss.name = "sigmoid_cross_entropy"
    for row, labels in drawn(several, 5).items():
        np.testing.assert_array_equal(labels[0], HOT[row])
    # Sources of one label come along as rows, too.
    several.data.sources.tags.labels.kind = "teacher"
    for row, labels in drawn(several, 5).items():
        np.testing.assert_array_equal(labels[0], np.eye(3)[row % 3])


def test_the_sigmoid_loss_is_the_mean_binary_cross_entropy_of_all_labels():
    logits = np.random.default_rng(0).normal(size=(18, 3)).astype(np.float32) * 3
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = -np.where(HOT, np.log(p), np.log(1 - p)).mean(axis=1)
    found = sigmoid_cross_entropy(HOT, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"row 0 of the soft targets.*from 0 to 1"):
        sigmoid_cross_entropy(HOT * 2, logits)


def test_a_network_of_several_labels_trains_predicts_and_is_measured(
    several, tagged, tmp_path
):
    several.data.sources.tags.labels.kind = "all"
    several.data.update(validation=tagged.directory, mixup=0.1)
    several.loss.name = "sigmoid_cross_entropy"
    several.optimizer.learning_rate = 0.5
    several.schedule.length.steps = 200
    run = str(tmp_path / "run")
    results = training.train(several, run)
    assert results["mAP"] > 0.9
    assert results["label_accuracy"] > 0.8
    assert lines(run)[-1]["loss"] < lines(run)[0]["loss"]
    assert lines(run)[-1]["label_accuracy"] > 0.7
    report = evaluate(run, tagged.directory, str(tmp_path / "report"))
    assert report.results["mAP"] == pytest.approx(results["mAP"])
    assert "label accuracy" in summary(report)
    assert not os.path.exists(tmp_path / "report" / "confusion.png")
    saved = str(tmp_path / "report" / "predictions.npz")
    again = evaluate_again(saved, str(tmp_path / "again"))
    assert {**again.results, "settings": 0} == {**report.results, "settings": 0}
    probabilities = np.load(saved)["probabilities"]
    expected = ((probabilities > 0.5) == HOT).mean()
    assert results["label_accuracy"] == pytest.approx(expected)
    predict(run, tagged.directory, str(tmp_path / "predicted"), top_k=3)
    reader = ClipDataset(tmp_path / "predicted").reader()
    clip = parse_clip(reader.read(0))
    np.testing.assert_allclose(
        clip.teacher_confidence, np.sort(probabilities[0])[::-1], rtol=1e-4
    )
    export(run, str(tmp_path / "exported"))
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    found = exported.serve(tf.fill([1, 2, 16, 16, 3], tf.constant(0, tf.uint8)))
    assert abs(found["all_probabilities"].numpy().sum() - 1) > 1e-3


def test_what_does_not_fit_several_labels_is_told_before_any_work(
    several, tagged, tmp_path
):
    labels, run = several.data.sources.tags.labels, str(tmp_path / "run")
    with pytest.raises(ValueError, match=r"sources\.tags: .*row 0.*\[0 2\].*one_of"):
        training.train(several, run)
    labels.kind = "all"
    with pytest.raises(ValueError, match=r"tags\.labels\.kind is 'all'.*multi-hot"):
        training.train(several, run)
    labels.redraw = True
    with pytest.raises(ValueError, match=r"tags\.labels\.redraw is for kind 'one_of'"):
        training.train(several, run)
    labels.kind = "one_of"
    several.data.sources.tags.resampling.power = 0.5
    with pytest.raises(ValueError, match=r"sources\.tags: resampling.*one label"):
        training.train(several, run)
    several.data.sources.tags.resampling.power = 1.0
    several.data.validation = tagged.directory
    with pytest.raises(ValueError, match=r"row 0: it has \[0 2\]"):
        training.train(several, run)
    assert not os.path.exists(run)


def test_a_filter_by_agreement_looks_at_all_labels(several):
    source = several.data.sources.tags
    source.labels.kind = "one_of"
    source.filter.agreement = True
    agreeing = [row for row in range(18) if row % 3 in LABELS[row]]
    assert sorted(drawn(several, 9)) == agreeing


def test_a_run_from_before_redraw_was_made_goes_on(several, tmp_path):
    several.data.sources.tags.labels.kind = "one_of"
    run = str(tmp_path / "run")
    training.train(several, run)
    path = os.path.join(run, "config.json")
    with open(path) as file:
        content = json.load(file)
    del content["config"]["data"]["sources"]["tags"]["labels"]["redraw"]
    with open(path, "w") as file:
        json.dump(content, file)
    assert training.train(several, run)["steps"] == 40
