"""Crops that are no squares and clips that are not RGB, through real steps."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.evaluate import evaluate
from experiments.visualize import decode_central
from spl_tf import clips, data, training
from spl_tf.analysis.grad_cam import grad_cam
from spl_tf.inference import evaluation, export
from spl_tf.models import build_model, summarize
from spl_tf.runs import run_folder
from spl_tf.training.moving import MovingAverage, ReducedSGD
from spl_tf.training.objectives import Objective
from spl_tf.training.step import (
    StepSettings,
    TrainState,
    make_train_call,
)
from tests import warm_python
from tests.conftest import write_dataset
from tests.training.finished_run import decode, softmax, textured_clip, write_run
from tests.training.run_files import lines

NAMES = "abc"
CROP = (16, 28)  # of frames of 20 x 36


@pytest.fixture
def shown():
    return [textured_clip(n, n % 3, NAMES) for n in range(6)]


@pytest.fixture
def textured(tmp_path, shown):
    return write_dataset(tmp_path / "clips", shown, NAMES, 1, "clean")


def test_a_run_of_rectangular_crops_trains_and_is_evaluated(config, textured, tmp_path):
    config.data.update(
        train=textured.directory, validation=textured.directory, crop_size=CROP
    )
    config.data.short_side = (20, 24)
    config.schedule.length.steps = 1
    config.schedule.warmup.steps = 1
    run = str(tmp_path / "run")
    results = training.train(config, run)
    assert np.isfinite(results["train_loss"])
    saved = json.loads((tmp_path / "run/config.json").read_text())
    assert saved["config"]["data"]["crop_size"] == list(CROP)
    assert training.train(config, run) == results
    again, _, model = run_folder.load_run(run)
    assert model.input_shape == (None, 2, *CROP, 3)
    assert again.data.crop_size == list(CROP)


def test_rectangular_views_of_a_finished_run(shown, textured, tmp_path):
    run = write_run(tmp_path / "run", NAMES, crop_size=CROP)
    strategy = training.make_strategy("one")
    _, _, model = evaluation.open_run(run, strategy)
    sampling = data.ClipSampling(2, 2)

    def expected(*corners):
        looks = [
            decode(clip)[[2, 4], top : top + 16, left : left + 28] / np.float32(255)
            for clip in shown
            for top, left in corners
        ]
        by_view = softmax(model(np.stack(looks)).numpy())
        return by_view.reshape(6, len(corners), 3).mean(axis=1)

    views = evaluation.Views(sampling, list(CROP), num_crops=3)
    found = evaluation.score(model, strategy, textured, views, 2).probabilities
    three = expected((2, 0), (2, 4), (2, 8))
    np.testing.assert_allclose(found, three, atol=1e-5)

    training.predict(run, textured.directory, str(tmp_path / "labelled"), 2, top_k=1)
    teacher = clips.ClipDataset(tmp_path / "labelled").index.teacher
    central = expected((2, 4))
    assert teacher.tolist() == central.argmax(axis=1).tolist()

    export.export(run, str(tmp_path / "served"))
    served = tf.saved_model.load(str(tmp_path / "served"))
    frames = np.stack(
        [decode_central(clip, evaluation.Views(sampling, CROP)) for clip in shown]
    )
    found = served.serve(frames)["all_probabilities"]
    np.testing.assert_allclose(found, central, atol=1e-5)
    assert grad_cam(model, data.unit_pixels(frames)).shape == (6, 2, *CROP)


def test_frames_that_a_rectangle_does_not_fit_into_are_named(textured):
    for size in ((21, 16), (16, 37)):
        with (
            pytest.raises(
                data.BadRecordError,
                match=rf"20 x 36, smaller than the crop of {size[0]} x {size[1]}\. .*"
                rf"--crop_size={size[0]},{size[1]}` to see",
            ),
            data.plain_bad_records(),
        ):
            list(data.eval_batches(textured, data.ClipSampling(2, 2), size, 2))


@pytest.mark.parametrize("value", [0, -3, (16,), (16, 0), (16, 2.5), 16.0, "16", None])
def test_impossible_crops_name_their_key(config, value):
    config.data.crop_size = value
    with pytest.raises(
        ValueError, match=r"config\.data\.crop_size is .*, expected the"
    ):
        training.check_config(config)


def test_a_network_of_two_channels_trains_and_predicts():
    strategy = training.make_strategy("one")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 2, 16, 24, 2), np.uint8)
    statistics = ((0.5, 0.4), (0.2, 0.3))
    model = build_model(
        "r3d_tiny_g", 3, pixels.shape[1:], dropout=0.0, normalization=statistics
    )
    (stem, *_) = summarize(model)
    assert stem.multiply_adds == 2 * 8 * 12 * 3 * 5 * 5 * 2 * 16
    optimizer = ReducedSGD(0.1)
    optimizer.build(model.trainable_variables)
    state = TrainState(
        model,
        optimizer,
        Objective(training.default_config().loss, 3, None),
        MovingAverage(model, 0.0),
        tf.Variable(0.0),
    )
    batch = {
        "clip": pixels,
        "label": np.int32([0, 1, 2, 0]),
        "index": np.arange(4),
        "draws": rng.random((4, 4), np.float32),
        "id": np.array([b"a"] * 4),
    }
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    call = make_train_call(strategy, state, StepSettings(data.Augmentation(), 4, 4))
    losses = call(iter(batches), tf.constant(12))["loss"].numpy()
    normal = (pixels / 255 - statistics[0]) / statistics[1]
    assert losses[-1] < losses[0]

    bare = build_model("r3d_tiny_g", 3, pixels.shape[1:], dropout=0.0)
    bare.set_weights(model.get_weights())
    expected = softmax(bare(normal.astype(np.float32)).numpy())
    one = tf.data.Dataset.from_tensors({"clip": pixels, "index": np.arange(4)})
    (found,) = evaluation.forward_batches(model, strategy, lambda *place: one)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    assert grad_cam(model, data.unit_pixels(pixels)).shape == (4, 2, 16, 24)


def test_frames_are_scaled_before_the_crop_where_the_run_says_so(tmp_path):
    shown = [textured_clip(n, n % 3, "abc", size=(32, 48)) for n in range(6)]
    dataset = write_dataset(tmp_path / "clips", shown, "abc", 1, "clean")
    run = write_run(tmp_path / "run", "abc")
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    content["config"]["data"]["test_short_side"] = 20
    path.write_text(json.dumps(content))

    def scaled(clip):
        frames = tf.image.resize(
            decode(clip)[[2, 4], 3:29, 11:37], (16, 16), antialias=True
        )
        return np.round(frames.numpy()) / np.float32(255)

    strategy = training.make_strategy("one")
    config, _, model = evaluation.open_run(run, strategy)
    expected = softmax(model(np.stack([scaled(clip) for clip in shown])).numpy())
    views = evaluation.Views.of(config.data)
    found = evaluation.score(model, strategy, dataset, views, 2).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5)
    training.predict(run, dataset.directory, str(tmp_path / "labelled"), 2, top_k=1)
    teacher = clips.ClipDataset(tmp_path / "labelled").index.teacher
    assert teacher.tolist() == expected.argmax(axis=1).tolist()
    frames = np.stack([decode_central(clip, views) for clip in shown])
    pixels = np.stack([scaled(clip) * 255 for clip in shown])
    np.testing.assert_allclose(frames, pixels, atol=1e-3)


def test_a_network_of_segments_trains(config, tmp_path):
    config.model.name = "resnet_18"
    config.model.width = 0.1
    config.data.update(num_frames=3, sampling="segments", crop_size=32)
    config.schedule.length.steps = 4
    config.data.validation = ""
    results = training.train(config, str(tmp_path / "run"))
    assert results["steps"] == 8
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["config"]["data"]["sampling"] == "segments"


def test_a_fully_convolutional_test_averages_the_probabilities_of_positions(tmp_path):
    shown = [textured_clip(n, n % 3, "abc") for n in range(6)]
    dataset = write_dataset(tmp_path / "clips", shown, "abc", 1, "clean")
    run = write_run(tmp_path / "run", "abc", projection_dim=5)
    _, _, model = run_folder.load_run(run)
    stages = evaluation.accept_any_size(
        keras.Model(model.input, model.get_layer("features").input)
    )
    larger = np.stack([decode(clip)[[2, 4], :, 8:28] for clip in shown])
    x = stages(larger / np.float32(255)).numpy().astype(np.float64)
    assert x.shape[1:4] == (2, 3, 3)
    for name in ("projection", "classifier"):
        kernel, bias = model.get_layer(name).get_weights()
        x = x @ kernel + bias
    expected = softmax(x).mean(axis=(1, 2, 3))

    options = {"fully_convolutional": True, "crop_size": 20}
    report = evaluate(run, dataset.directory, str(tmp_path / "report"), **options)
    assert report.results["settings"]["crop_size"] == 20
    found = np.load(tmp_path / "report" / "predictions.npz")["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    output = str(tmp_path / "labelled")
    training.predict(run, dataset.directory, output, 4, top_k=1, **options)
    assert clips.ClipDataset(output).index.teacher.tolist() == list(expected.argmax(1))
    with pytest.raises(ValueError, match="prediction of other inputs"):
        training.predict(run, dataset.directory, output, 4, top_k=1)


def test_ten_clips_of_whole_frames_are_averaged(tmp_path):
    # IG-65M: 10 clips, the shorter edge as it is, the classifier at every position.
    shown = [textured_clip(n, n % 3, "abc") for n in range(4)]
    dataset = write_dataset(tmp_path / "clips", shown, "abc", 1, "clean").directory
    run = write_run(tmp_path / "run", "abc")
    _, _, model = run_folder.load_run(run)
    stages = evaluation.accept_any_size(
        keras.Model(model.input, model.get_layer("features").input)
    )
    kernel, bias = model.get_layer("classifier").get_weights()
    starts = [int(len(shown[0].frames) / 10 * j) for j in range(10)]
    expected = []
    for clip in shown:
        frames = decode(clip)
        views = np.stack([frames[[s % 8, (s + 2) % 8]] for s in starts])
        x = stages(views / np.float32(255)).numpy().astype(np.float64)
        assert x.shape[:4] == (10, 2, 3, 5)
        expected.append(softmax(x @ kernel + bias).mean(axis=(0, 1, 2, 3)))
    flags = ["--num_clips=10", "--fully_convolutional", "--crop_size=20x36"]
    for binary, paths in (
        ("evaluate", (f"--dataset={dataset}", f"--output_dir={tmp_path / 'report'}")),
        ("predict", (f"--input_dir={dataset}", f"--output_dir={tmp_path / 'clips2'}")),
    ):
        command = ["-m", f"experiments.{binary}", f"--checkpoint={run}", *paths, *flags]
        done = warm_python.run(*command)
        assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(tmp_path / "report" / "predictions.npz")["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert results["settings"]["crop_size"] == [20, 36]
    labelled = clips.ClipDataset(tmp_path / "clips2")
    assert labelled.index.teacher.tolist() == np.argmax(expected, axis=1).tolist()
    # The same again finds what is finished.
    options = {"num_clips": 10, "fully_convolutional": True, "crop_size": [20, 36]}
    training.predict(run, dataset, str(tmp_path / "clips2"), **options)
    done = warm_python.run(*command, "--crop_size=20x")
    assert done.returncode == 1
    assert "expected pixels, 1 or more, or HEIGHTxWIDTH: 20x" in done.stderr


def test_recomputed_activations_change_no_loss(config, tmp_path):
    config.schedule.length.steps = 4
    config.model.dropout = 0.5
    config.runtime.update(steps_per_call=2, log_every_steps=2, checkpoint_every_steps=2)
    training.train(config, str(tmp_path / "kept"))
    config.model.recompute = True
    training.train(config, str(tmp_path / "recomputed"))
    kept, recomputed = (lines(tmp_path / name) for name in ("kept", "recomputed"))
    assert len(kept) == 4
    for ours, theirs in zip(recomputed, kept, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
