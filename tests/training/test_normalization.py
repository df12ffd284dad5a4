"""One normalisation of pixels, wherever a run's network is at work."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from experiments.visualize import decode_central
from spl_tf import clips, data, training
from spl_tf.analysis.grad_cam import grad_cam
from spl_tf.inference import evaluation, export
from spl_tf.models import build_model
from spl_tf.runs import run_folder
from spl_tf.runs.checkpoints import load_weights
from tests.conftest import write_dataset
from tests.training.finished_run import decode, softmax, textured_clip, write_run
from tests.training.run_files import assert_same_run, lines

NAMES = "abc"
MEAN, STD = (0.43, 0.39, 0.38), (0.23, 0.22, 0.21)


def bare_model(run):
    """The run's network without its normalisation."""
    model = build_model("r3d_tiny_g", 3, (2, 16, 16, 3), dropout=0.0)
    load_weights(run, model, keep_head=True)
    return model


def test_all_that_a_run_does_normalises_as_numpy_does(tmp_path):
    run = write_run(tmp_path / "run", NAMES, normalization=(MEAN, STD))
    shown = [textured_clip(n, n % 3, NAMES) for n in range(4)]
    dataset = write_dataset(tmp_path / "clips", shown, NAMES, 1, "clean")
    pixels = np.stack([decode(clip)[[2, 4], 2:18, 10:26] for clip in shown])
    normal = ((pixels / 255 - MEAN) / STD).astype(np.float32)
    bare = bare_model(run)
    expected = softmax(bare(normal).numpy())
    assert expected.std(axis=0).max() > 1e-3

    strategy = training.make_strategy("one")
    _, _, model = evaluation.open_run(run, strategy)
    sampling = data.ClipSampling(2, 2)
    scores = evaluation.score(
        model, strategy, dataset, evaluation.Views(sampling, 16), 2
    )
    np.testing.assert_allclose(scores.probabilities, expected, atol=1e-5)

    training.predict(run, dataset.directory, str(tmp_path / "labelled"), 2, top_k=3)
    labelled = clips.ClipDataset(tmp_path / "labelled")
    with labelled.reader() as reader:
        found = [clips.parse_clip(reader.read(row)) for row in range(4)]
    for clip, row in zip(found, expected, strict=True):
        confidence = row[list(clip.teacher_index)]
        np.testing.assert_allclose(clip.teacher_confidence, confidence, atol=1e-5)

    export.export(run, str(tmp_path / "served"))
    served = tf.saved_model.load(str(tmp_path / "served"))
    found = served.serve(pixels)["all_probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)

    frames = np.stack(
        [decode_central(clip, evaluation.Views(sampling, 16)) for clip in shown]
    )
    heat = grad_cam(model, data.unit_pixels(frames))
    np.testing.assert_allclose(heat, grad_cam(bare, normal), atol=1e-3)


def test_a_run_trains_on_what_it_is_evaluated_on(config, tmp_path):
    config.model.normalization = (MEAN, STD)
    config.augmentation.update(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    config.schedule.length.steps = 1
    config.schedule.warmup.steps = 0
    config.runtime.update(steps_per_call=1, log_every_steps=1, checkpoint_every_steps=1)
    config.data.update(batch_size=18, flip=False, validation="")
    config.optimizer.learning_rate = 0.0
    run = str(tmp_path / "run")
    training.train(config, run)
    saved = json.loads((tmp_path / "run/config.json").read_text())
    assert saved["config"]["model"]["normalization"] == [list(MEAN), list(STD)]

    source = clips.ClipDataset(config.data.train)
    (batch,) = data.train_batches(
        data.TrainInput(source, None, data.ClipSampling(2, 2), 16, False, 0),
        18,
        stop_step=1,
    )
    normal = (batch["clip"].numpy() / 255 - MEAN) / STD
    logits = bare_model(run)(normal.astype(np.float32), training=True).numpy()
    chosen = softmax(logits)[np.arange(18), batch["label"]]
    assert lines(run)[0]["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-4)


def as_before_there_was_a_choice(run):
    """Takes the key out of a run's config."""
    path = os.path.join(run, "config.json")
    content = run_folder.read_json(path)
    del content["config"]["model"]["normalization"]
    run_folder.write_json(path, content)


def test_a_run_from_before_opens_and_goes_on(config, tmp_path):
    config.schedule.length.steps = 16
    whole, cut = str(tmp_path / "whole"), str(tmp_path / "cut")
    training.train(config, whole)
    shutil.copytree(whole, cut)
    as_before_there_was_a_choice(cut)
    clip = np.random.default_rng(0).integers(0, 256, (2, 2, 16, 16, 3), np.uint8)
    _, _, model = run_folder.load_run(cut)
    expected = bare_model(cut)(clip.astype(np.float32) / 127.5 - 1)
    np.testing.assert_array_equal(model(data.unit_pixels(clip)), expected)

    for name in ("results.json", "weights.npz"):
        os.remove(os.path.join(cut, name))
    # Positions in a checkpoint are those of a network that does not normalise.
    newest = f"{cut}/checkpoints/000000020"
    tf.train.Checkpoint(model=bare_model(whole)).write(f"{cut}/bare")
    found, former = (
        {name for name, _ in tf.train.list_variables(path) if "/moving_" in name}
        for path in (f"{newest}/state", f"{cut}/bare")
    )
    assert len(found) == 14
    assert found == former
    shutil.rmtree(newest)
    training.train(config, cut)
    assert_same_run(cut, whole)


def test_weights_for_other_pixels_are_no_start(config, tmp_path):
    run = write_run(tmp_path / "run", NAMES)
    as_before_there_was_a_choice(run)
    config.model.normalization = (MEAN, STD)
    for key, source in (("checkpoint", run), ("inflate", f"{run}/weights.npz")):
        config.init.update(checkpoint="", inflate="")
        config.init[key] = source
        with pytest.raises(ValueError, match=rf"init\.{key} is .*model\.normalization"):
            training.train(config, str(tmp_path / "other"))
    assert not os.path.exists(tmp_path / "other")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("imagenet", "is 'imagenet', expected one of"),
        ((MEAN, (0.2, 0.0, 0.2)), ".* std above 0"),
        ((MEAN[:2], STD[:2]), "has 2 means and 2 deviations, .* of which there are 3"),
        ((MEAN, STD[:2]), "has 3 means and 2 deviations"),
        ((0.5, 0.5), r"is \(0\.5, 0\.5\), expected one of"),
        ((MEAN, (0.2, float("nan"), 0.2)), ".* expected numbers"),
    ],
)
def test_impossible_normalisations_name_their_key(config, value, message):
    config.model.normalization = value
    with pytest.raises(ValueError, match=rf"config\.model\.normalization {message}"):
        training.check_config(config)


def test_in_bfloat16_pixels_are_normalised_in_float32(config):
    config.model.update(precision="mixed_bfloat16", normalization=(MEAN, STD))
    model = run_folder.build_from_config(config, 3)
    layer = model.get_layer("stem_normalization")
    found = tf.keras.Model(model.input, layer.output)(np.full((1, 2, 16, 16, 3), 0.4))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(
        found[0, 0, 0, 0], (0.4 - np.array(MEAN)) / STD, rtol=1e-5
    )
    again = type(layer).from_config(layer.get_config())
    assert (again.mean, again.std, again.dtype) == (MEAN, STD, "float32")
