"""The command that trains: its flags, its pictures, its exit codes."""

import dataclasses
import json
import os

import pytest
from PIL import Image

from experiments.train import choose_devices, train_and_draw
from spl_tf import training
from spl_tf.data import BadRecordError
from tests.conftest import make_clip, write_dataset
from tests.training.run_files import start_command


@pytest.fixture
def config(tmp_path):
    """One step on six clips of three classes, which are also those to validate on."""
    all_clips = [make_clip(n, n % 3, names="abc") for n in range(6)]
    target = write_dataset(tmp_path / "target", all_clips, "abc", 1, "clean")
    config = training.default_config()
    config.model.name = "r3d_tiny_g"
    config.data.update(train=target.directory, validation=target.directory)
    config.data.update(num_frames=2, stride=2, crop_size=16, batch_size=2)
    config.schedule.warmup.epochs = 0.0
    config.schedule.length.update(steps=1, epochs=0.0)
    config.runtime.update(
        steps_per_call=1, log_every_steps=1, checkpoint_every_steps=1, strategy="one"
    )
    return config


def test_a_run_with_a_validation_set_gets_a_picture_of_its_confusions(config, tmp_path):
    workdir = tmp_path / "run"
    results = train_and_draw(config, str(workdir))
    picture = workdir / "confusion.png"
    with Image.open(picture) as image:
        assert min(image.size) > 300
    os.remove(picture)  # as when the process was killed before it was drawn
    assert train_and_draw(config, str(workdir)) == results
    assert picture.exists()
    config.data.validation = ""
    train_and_draw(config, str(tmp_path / "other"))
    assert not (tmp_path / "other" / "confusion.png").exists()


def test_a_bad_record_is_named_or_skipped_also_in_the_evaluation(config, tmp_path):
    all_clips = [make_clip(n, n % 3, names="abc") for n in range(6)]
    all_clips[4] = dataclasses.replace(all_clips[4], frames=(b"no picture",) * 8)
    bad = write_dataset(tmp_path / "bad", all_clips, "abc", 1, "clean").directory
    config.data.update(train=bad, validation=bad)
    config.schedule.length.update(steps=3)  # an epoch
    with pytest.raises(BadRecordError, match=r"^.*row 4, .*frame 0 is no JPEG.*wrong$"):
        train_and_draw(config, str(tmp_path / "run"))
    config.data.on_bad_record = "skip"
    assert train_and_draw(config, str(tmp_path / "other"))["steps"] == 3


def test_the_command_prints_the_results(config, tmp_path):
    process = start_command(config, tmp_path / "run", "--strategy=mirrored")
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed[-2000:]
    results = json.loads(printed[printed.index("{\n") :])
    assert results == json.loads((tmp_path / "run" / "results.json").read_text())
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["config"]["runtime"]["strategy"] == "mirrored"


def test_short_flags_choose_the_devices(config):
    choose_devices(config, {}, None, None)
    assert config.runtime.strategy == "one"
    overrides = {"runtime.strategy": "mirrored", "data.stride": 2}
    choose_devices(config, overrides, "mirrored", None)
    assert (config.runtime.strategy, config.runtime.tpu) == ("mirrored", "")
    choose_devices(config, {}, None, "pod-7")
    assert (config.runtime.strategy, config.runtime.tpu) == ("tpu", "pod-7")


@pytest.mark.parametrize(
    ("overrides", "strategy", "tpu", "message"),
    [
        (
            {"runtime.strategy": "one"},
            "mirrored",
            None,
            r"--strategy is 'mirrored' and --config\.runtime\.strategy 'one'; keep one",
        ),
        ({"runtime.tpu": "a"}, "tpu", "b", r"--tpu is 'b' and .*runtime\.tpu 'a'"),
        ({"runtime.strategy": "one"}, None, "a", r"--strategy is 'tpu' and .* 'one'"),
        ({}, "one", "a", r"--tpu is 'a' and --strategy 'one'; keep one"),
    ],
)
def test_flags_that_differ_are_refused(config, overrides, strategy, tpu, message):
    with pytest.raises(ValueError, match=message):
        choose_devices(config, overrides, strategy, tpu)
