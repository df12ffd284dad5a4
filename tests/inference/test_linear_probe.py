import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spl_tf import data, models, training
from spl_tf.inference import evaluation, linear_probe
from spl_tf.inference.evaluation import Views
from tests.conftest import write_dataset
from tests.training.finished_run import decode, textured_clip, write_run

NAMES = ["a", "b", "c"]


def blobs(rng, count=150, width=12, noise=2):
    """Features of three classes that overlap, on scales from 0.01 to 100."""
    labels = rng.integers(0, 3, count)
    centres = rng.normal(size=(3, width))
    features = centres[labels] + rng.normal(0, noise, (count, width))
    return (features * np.logspace(-2, 2, width) + 5).astype(np.float32), labels


@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_the_regression_is_that_of_scikit_learn(strength):
    features, labels = blobs(np.random.default_rng(0))
    features = StandardScaler().fit_transform(features.astype(np.float64))
    weights = linear_probe.fit_logistic_regression(features, labels, 3, strength)
    reference = LogisticRegression(
        C=1 / (strength * len(labels)), tol=1e-8, max_iter=10_000
    ).fit(features, labels)
    np.testing.assert_allclose(weights[:-1].T, reference.coef_, atol=1e-4)
    # A constant on all biases changes nothing.
    bias, expected = weights[-1], reference.intercept_
    np.testing.assert_allclose(
        bias - bias.mean(), expected - expected.mean(), atol=1e-4
    )


def test_of_several_labels_each_has_the_regression_of_scikit_learn():
    rng = np.random.default_rng(4)
    features, _ = blobs(rng, 300, 10)
    labels = features @ rng.normal(size=(10, 3)) / features.std() > [0, 1, 2]
    labels[np.arange(300), rng.integers(0, 3, 300)] ^= True
    probe = linear_probe.fit_probe(features, labels, 3, seed=5)

    rarest = np.where(labels, labels.sum(axis=0), 999).argmin(axis=1)
    held_out = linear_probe.choose_held_out(rarest, 5)
    standardised = StandardScaler().fit_transform(features.astype(np.float64))

    def reference(strength, chosen):
        settings = {"C": 1 / (strength * chosen.sum()), "tol": 1e-8, "max_iter": 10_000}
        return [
            LogisticRegression(**settings).fit(standardised[chosen], labels[chosen, c])
            for c in range(3)
        ]

    def scores_of(fitted, chosen):
        found = [each.predict_proba(standardised[chosen])[:, 1] for each in fitted]
        return np.stack(found, axis=1)

    expected = {}
    for strength in linear_probe.STRENGTHS:
        scores = scores_of(reference(strength, ~held_out), held_out)
        expected[strength] = np.mean(
            [
                average_precision_score(labels[held_out, c], scores[:, c])
                for c in (0, 1, 2)
            ]
        )
    assert probe.metric == "mAP"
    assert probe.held_out == pytest.approx(expected)
    assert probe.strength == max(expected, key=expected.get)

    everything = np.ones(300, bool)
    fitted = reference(probe.strength, everything)
    for c, each in enumerate(fitted):
        np.testing.assert_allclose(probe.weights[:-1, c], each.coef_[0], atol=1e-3)
        np.testing.assert_allclose(probe.weights[-1, c], each.intercept_, atol=1e-3)
    found = probe.probabilities(features)
    np.testing.assert_allclose(found, scores_of(fitted, everything), atol=1e-3)
    accuracy = [
        each.predict(standardised) == labels[:, c] for c, each in enumerate(fitted)
    ]
    assert ((found > 0.5) == labels).mean() == np.mean(accuracy)


def test_the_strength_is_the_best_on_the_held_out_tenth_and_all_clips_are_fitted():
    features, labels = blobs(np.random.default_rng(1), 300, 60, 8)
    probe = linear_probe.fit_probe(features, labels, 3, seed=5)

    held_out = linear_probe.choose_held_out(labels, 5)
    standardised = StandardScaler().fit_transform(features.astype(np.float64))

    def reference(strength, chosen):
        fitted = LogisticRegression(
            C=1 / (strength * chosen.sum()), tol=1e-6, max_iter=10_000
        )
        return fitted.fit(standardised[chosen], labels[chosen])

    expected = {
        strength: reference(strength, ~held_out).score(
            standardised[held_out], labels[held_out]
        )
        for strength in linear_probe.STRENGTHS
    }
    assert probe.held_out == pytest.approx(expected)
    best = max(expected.values())
    assert probe.strength == max(k for k, v in expected.items() if v == best)
    assert len(set(expected.values())) > 1

    fitted = reference(probe.strength, np.ones(len(labels), bool))
    np.testing.assert_allclose(
        probe.probabilities(features), fitted.predict_proba(standardised), atol=1e-4
    )


def test_new_clips_are_standardised_with_the_training_statistics():
    rng = np.random.default_rng(2)
    features, labels = blobs(rng)
    probe = linear_probe.fit_probe(features, labels, 3, strengths=[0.01])
    pipeline = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=1 / (0.01 * len(labels)), tol=1e-8, max_iter=10_000),
    ).fit(features.astype(np.float64), labels)
    others = 3 * blobs(rng)[0][:20]
    np.testing.assert_allclose(
        probe.probabilities(others), pipeline.predict_proba(others), atol=1e-3
    )


def test_a_feature_that_never_varies_does_no_harm():
    features, labels = blobs(np.random.default_rng(3))
    probe = linear_probe.fit_probe(features, labels, 3, strengths=[0.1])
    constant = np.concatenate([features, np.full((len(labels), 1), 7.0)], axis=1)
    other = linear_probe.fit_probe(constant, labels, 3, strengths=[0.1])
    np.testing.assert_allclose(
        other.probabilities(constant), probe.probabilities(features), atol=1e-4
    )


def test_a_tenth_of_each_class_is_held_out_by_the_seed():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [200, 34, 6]))
    held_out = linear_probe.choose_held_out(labels, seed=0)
    counts = np.bincount(labels[held_out], minlength=3)
    assert counts[0] == 20
    assert counts[1] in (3, 4)
    assert counts[2] in (0, 1)
    assert counts.sum() == 24
    again, other = (linear_probe.choose_held_out(labels, seed) for seed in (0, 1))
    assert (held_out == again).all()
    assert (held_out != other).any()
    assert linear_probe.choose_held_out(np.array([0, 1]), seed=0).sum() == 1
    with pytest.raises(ValueError, match="1 clips to train on, expected 2 or more"):
        linear_probe.choose_held_out(np.array([0]), seed=0)


@pytest.fixture
def spl_run(tmp_path):
    # Pre-trained on other labels than those of the clips.
    return write_run(tmp_path / "run", [f"label {n}" for n in range(5)])


def clip_set(directory, first, count, names=NAMES):
    all_clips = [textured_clip(n, n % 3, names) for n in range(first, first + count)]
    return write_dataset(directory, all_clips, names, 1, "clean"), all_clips


def test_the_features_are_frozen_and_those_of_a_test_clip_are_averaged(
    spl_run, tmp_path
):
    train, train_clips = clip_set(tmp_path / "train", 0, 20)
    test, test_clips = clip_set(tmp_path / "test", 100, 7)
    strategy = training.make_strategy("one")
    _, _, model = evaluation.open_run(spl_run, strategy)
    views = Views(data.ClipSampling(2, 2), 16, num_crops=3)
    scores, probe = linear_probe.score_linear(
        model, strategy, train, test, views, batch_size=8
    )

    network = models.feature_model(model)

    def features(clips, columns):
        crops = [
            decode(clip)[2:6:2, 2:18, left : left + 16]
            for clip in clips
            for left in columns
        ]
        found = network(np.stack(crops).astype(np.float32) / 255).numpy()
        return found.reshape(len(clips), len(columns), -1).mean(axis=1)

    known = features(train_clips, [10]).astype(np.float64)
    pipeline = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=1 / (probe.strength * 20), tol=1e-8, max_iter=10_000),
    ).fit(known, [clip.label_index for clip in train_clips])
    expected = pipeline.predict_proba(features(test_clips, [0, 10, 20]))
    np.testing.assert_allclose(scores.probabilities, expected, atol=2e-3)
    assert scores.ids.tolist() == [clip.id for clip in test_clips]
    assert scores.class_names == tuple(NAMES)


def test_datasets_of_different_classes_are_refused(spl_run, tmp_path):
    train, _ = clip_set(tmp_path / "train", 0, 3)
    test, _ = clip_set(tmp_path / "test", 3, 3, ["a", "c", "b"])
    strategy = training.make_strategy("one")
    _, _, model = evaluation.open_run(spl_run, strategy)
    views = Views(data.ClipSampling(2, 2), 16)
    with pytest.raises(ValueError, match="have different classes"):
        linear_probe.score_linear(model, strategy, train, test, views, 8)
    other, _ = clip_set(tmp_path / "other", 3, 3)
    with pytest.raises(ValueError, match="the penalty is 0, expected a number above 0"):
        linear_probe.score_linear(
            model, strategy, train, other, views, 8, strengths=[0.0]
        )


def test_clips_with_several_labels_are_learned_and_scored_with_all(spl_run, tmp_path):
    clips = [
        dataclasses.replace(textured_clip(n, n % 3, NAMES), more_labels=((2, "c"),))
        if n % 3 < 2
        else textured_clip(n, 2, NAMES)
        for n in range(12)
    ]
    tagged = write_dataset(tmp_path / "tagged", clips, NAMES, 1, "clean")
    single, _ = clip_set(tmp_path / "single", 0, 12)
    strategy = training.make_strategy("one")
    _, _, model = evaluation.open_run(spl_run, strategy)
    views = Views(data.ClipSampling(2, 2), 16)
    scores, probe = linear_probe.score_linear(
        model, strategy, tagged, single, views, 8, strengths=[1e-4]
    )
    # Single labels are judged as sets, too, where the others are learned as sets.
    assert scores.labels.tolist() == np.eye(3, dtype=bool)[np.arange(12) % 3].tolist()
    assert probe.multi_label
    hot = [[label in clip.labels for label in range(3)] for clip in clips]
    assert (scores.probabilities > 0.5).tolist() == hot
