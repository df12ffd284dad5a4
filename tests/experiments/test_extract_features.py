"""Extraction as processes: killed, shared, and what it says of bad clips."""

import dataclasses
import os
import signal
import time

import numpy as np
import pytest

from spl_tf import models, training
from spl_tf.inference.evaluation import open_run
from spl_tf.inference.feature_extraction import extract_features
from spl_tf.inference.feature_file import FeatureFile
from spl_tf.runs import checkpoints, run_folder
from tests.conftest import make_clip, write_dataset
from tests.training.finished_run import decode, textured_clip, write_run
from tests.warm_python import WarmProcess

NAMES = ["a", "b", "c"]
NUM_SHARDS = 40
SETTINGS = {"batch_size": 4, "num_clips": 2, "num_crops": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, 200 clips in many shards, and their features without a break."""
    folder = tmp_path_factory.mktemp("features")
    write_run(folder / "run", NAMES)
    all_clips = [make_clip(n, n % 3) for n in range(200)]
    write_dataset(folder / "clips", all_clips, NAMES, NUM_SHARDS)
    extract(folder, folder / "unbroken.npz")
    return folder


def extract(folder, output, **settings):
    where = (str(each) for each in (folder / "run", folder / "clips", output))
    return extract_features(*where, **SETTINGS, **settings)


def start(folder, output, **flags):
    flags = {
        "checkpoint": folder / "run",
        "dataset": folder / "clips",
        "output": output,
        **SETTINGS,
        **flags,
    }
    flags = [f"--{name}={value}" for name, value in flags.items()]
    return WarmProcess("-m", "experiments.extract_features", *flags)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_extraction_stopped_half_way_is_continued_to_the_same_bytes(
    folder, tmp_path, number
):
    output, parts = tmp_path / "out.npz", tmp_path / ".out.npz"
    process = start(folder, output)
    while not list(parts.glob("shard-*.npz")):
        assert process.poll() is None, process.communicate()[1][-2000:]
        time.sleep(0.002)
    process.send_signal(number)
    printed, log = process.communicate(timeout=240)
    if number == signal.SIGTERM:
        assert process.returncode == training.STOPPED_EXIT_CODE, log[-2000:]
        assert "the same command continues" in printed
    assert not output.exists()
    assert 0 < len(list(parts.glob("shard-?????.npz"))) < NUM_SHARDS
    extract(folder, output)
    assert output.read_bytes() == (folder / "unbroken.npz").read_bytes()
    assert os.listdir(tmp_path) == ["out.npz"]


def test_what_is_finished_is_not_looked_at_again(folder, tmp_path):
    assert extract(folder, tmp_path / "out.npz", worker=1, num_workers=3) is None
    parts = sorted((tmp_path / ".out.npz").glob("shard-*.npz"))
    assert len(parts) == 13
    part = FeatureFile.load(parts[0])
    part.features[:] += 1
    part.save(parts[0])
    expected = FeatureFile.load(folder / "unbroken.npz").features.copy()
    expected[part.rows] += 1
    found = extract(folder, tmp_path / "out.npz").features
    np.testing.assert_array_equal(found, expected)


def test_two_processes_share_the_work(folder, tmp_path):
    output = tmp_path / "out.npz"
    workers = [start(folder, output, worker=n, num_workers=2) for n in range(2)]
    printed = []
    for worker in workers:
        text, log = worker.communicate(timeout=240)
        assert worker.returncode == 0, log[-2000:]
        printed.append(text)
    assert any("of each of 200 clips" in text for text in printed)
    assert output.read_bytes() == (folder / "unbroken.npz").read_bytes()


def test_features_are_means_over_all_views(tmp_path):
    run = write_run(tmp_path / "run", NAMES)
    all_clips = [textured_clip(n, n % 3, NAMES, size=(16, 30)) for n in range(3)]
    dataset = write_dataset(tmp_path / "clips", all_clips, NAMES, 2)
    stored = [all_clips[n] for n in (0, 2, 1)]
    output = str(tmp_path / "out.npz")
    found = extract_features(run, dataset.directory, output, num_clips=2, num_crops=3)
    _, _, model = open_run(run, training.make_strategy("one"))
    network = models.feature_model(model)
    for clip, features in zip(stored, found.features, strict=True):
        frames = decode(clip).astype(np.float32) / 255
        # Two runs of two frames at stride 2, evenly spread; three crops along a row.
        views = [
            frames[first : first + 3 : 2, :, left : left + 16]
            for first in (0, 4)
            for left in (0, 7, 14)
        ]
        expected = network.predict(np.stack(views), verbose=0).mean(axis=0)
        np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    assert found.ids.tolist() == [clip.id for clip in stored]


def test_bad_records_are_left_out_when_told_to_and_said(folder, tmp_path):
    all_clips = [make_clip(n, n % 3) for n in range(6)]
    all_clips[4] = dataclasses.replace(all_clips[4], frames=(b"no picture",) * 8)
    bad = write_dataset(tmp_path / "clips", all_clips, NAMES, 2)
    output = tmp_path / "out.npz"
    process = start(folder, output, dataset=bad.directory)
    _, log = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "video4@0-1000000" in log
    assert "Traceback" not in log
    process = start(folder, output, dataset=bad.directory, on_bad_record="skip")
    printed, log = process.communicate(timeout=240)
    assert process.returncode == 0, log[-2000:]
    assert "of each of 5 clips, bad records left out: 1" in printed
    found = FeatureFile.load(output)
    assert found.rows.tolist() == [0, 1, 3, 4, 5]  # video4 is the third of its shard
    assert list(found.skipped) == ["2"]


def test_what_is_of_other_inputs_is_refused_by_name(folder, tmp_path):
    output = str(tmp_path / "out.npz")
    where = (str(folder / "run"), str(folder / "clips"), output)
    os.link(folder / "unbroken.npz", output)
    found = extract_features(*where, **SETTINGS)
    assert len(found.rows) == 200
    with pytest.raises(
        ValueError, match=r"out\.npz of other inputs.* num_clips \(was 2"
    ):
        extract_features(*where, **SETTINGS | {"num_clips": 1})
    with pytest.raises(ValueError, match=r"expected a file that ends in \.npz"):
        extract_features(*where[:2], "out")
    with pytest.raises(ValueError, match="worker is 2, expected 0 to 1"):
        extract_features(*where, worker=2, num_workers=2)


def test_features_that_are_not_finite_name_the_clip(folder, tmp_path):
    run = write_run(tmp_path / "run", NAMES)
    _, _, model = run_folder.load_run(run)
    for weight in model.weights:
        if weight.path.endswith("beta"):
            weight.assign(np.full(weight.shape, np.inf))
    checkpoints.save_weights(run, model)
    output = str(tmp_path / "out.npz")
    with pytest.raises(ValueError, match=r"features of clip 'video0@.* are not finite"):
        extract_features(run, str(folder / "clips"), output)

    found = FeatureFile.load(folder / "unbroken.npz")
    found.features[3, 1] = np.inf
    found.save(output)
    with pytest.raises(ValueError, match=rf"clip '{found.ids[3]}' are not finite"):
        FeatureFile.load(output)


def test_a_dataset_that_was_made_anew_is_refused(folder, tmp_path):
    found = FeatureFile.load(folder / "unbroken.npz")
    assert len(found.open_dataset()) == 200
    other = write_dataset(tmp_path / "clips", [make_clip(0, 0)], NAMES, 1)
    with pytest.raises(ValueError, match="another dataset, or was made anew"):
        found.open_dataset(other.directory)
