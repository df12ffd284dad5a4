"""Prediction as processes: stopped, killed, shared, and what follows it."""

import dataclasses
import os
import signal
import time

import numpy as np
import pytest

from experiments.build_labels import build_labels
from experiments.predict import choose_part
from spl_tf import training
from spl_tf.clips import ClipDataset
from tests.conftest import make_clip, write_dataset
from tests.training.run_files import clusters
from tests.training.teachers import contents, write_teacher
from tests.warm_python import WarmProcess

NUM_SHARDS = 40
SETTINGS = {"batch_size": 2, "num_crops": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A teacher, 200 clips in many shards, and an unbroken prediction of them."""
    folder = tmp_path_factory.mktemp("prediction")
    target = write_dataset(folder / "target", [make_clip(200, 0)], "abc", 1)
    teacher = write_teacher(folder / "teacher", train=target.directory)
    all_clips = [make_clip(n, n % 3) for n in range(200)]
    web = write_dataset(folder / "web", all_clips, "abc", NUM_SHARDS)
    training.predict(teacher, web.directory, str(folder / "unbroken"), **SETTINGS)
    return folder


def start(folder, output, environment=None, **flags):
    """Starts the binary."""
    flags = {
        "checkpoint": folder / "teacher",
        "input_dir": folder / "web",
        "output_dir": output,
        **SETTINGS,
        **flags,
    }
    flags = [f"--{name}={value}" for name, value in flags.items()]
    return WarmProcess("-m", "experiments.predict", *flags, environment=environment)


def finished_shards(output):
    """When each shard that has a report was written."""
    work = output / ".prediction"
    numbers = [path.stem[-5:] for path in work.glob("shard-*.json")]
    names = [f"clips.tfrecord-{number}-of-{NUM_SHARDS:05d}" for number in numbers]
    return {name: (output / name).stat().st_mtime_ns for name in names}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_prediction_stopped_half_way_is_continued_to_the_same_bytes(
    folder, tmp_path, number
):
    output = tmp_path / "out"
    process = start(folder, output)
    while not (output / ".prediction").exists() or not finished_shards(output):
        assert process.poll() is None, process.communicate()[1][-2000:]
        time.sleep(0.002)
    process.send_signal(number)
    printed, log = process.communicate(timeout=240)
    if number == signal.SIGTERM:
        assert process.returncode == training.STOPPED_EXIT_CODE, log[-2000:]
        assert "the same command continues" in printed
        assert not list(output.glob("*.incomplete-*"))
    assert not (output / "dataset.json").exists()
    before = finished_shards(output)
    assert 0 < len(before) < NUM_SHARDS

    training.predict(
        str(folder / "teacher"), str(folder / "web"), str(output), **SETTINGS
    )
    for name, written in before.items():
        assert (output / name).stat().st_mtime_ns == written
    assert contents(output) == contents(folder / "unbroken")


def test_the_command_leaves_bad_records_out_when_told_to(folder, tmp_path):
    all_clips = [make_clip(n, n % 3) for n in range(6)]
    all_clips[4] = dataclasses.replace(all_clips[4], frames=(b"no picture",) * 8)
    web = write_dataset(tmp_path / "web", all_clips, "abc", 2)
    output = tmp_path / "out"
    process = start(folder, output, input_dir=web.directory, on_bad_record="skip")
    printed, log = process.communicate(timeout=240)
    assert process.returncode == 0, log[-2000:]
    assert printed == f"{output}: 5 clips in 2 shards, bad records left out: 1\n"


def slurm(index):
    """What `srun --ntasks=2` adds to the environment of a task."""
    return {"SLURM_PROCID": str(index), "SLURM_STEP_NUM_TASKS": "2"}


def test_two_processes_find_their_parts_and_write_what_one_writes(folder, tmp_path):
    output = tmp_path / "out"
    workers = [start(folder, output, slurm(index)) for index in range(2)]
    printed = []
    for worker in workers:
        text, log = worker.communicate(timeout=240)
        assert worker.returncode == 0, log[-2000:]
        printed.append(text)
    assert any("200 clips in 40 shards" in text for text in printed)
    assert contents(output) == contents(folder / "unbroken")


def test_flags_say_the_part_where_the_environment_does_not(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    assert choose_part(None, None) == (0, 1)
    monkeypatch.setenv("TF_CONFIG", clusters(3)[2])
    assert choose_part(None, None) == (2, 3)
    assert choose_part(1, 5) == (1, 5)
    with pytest.raises(ValueError, match="--worker is 1 and --num_workers None"):
        choose_part(1, None)


def test_labels_are_built_without_a_pass_over_the_data(folder, tmp_path):
    labelled = folder / "unbroken"
    index = ClipDataset(labelled).index
    without_shards = tmp_path / "labelled"
    without_shards.mkdir()
    os.link(labelled / "dataset.json", without_shards / "dataset.json")
    built = build_labels(tmp_path / "labels", "spl_b", dataset=str(without_shards))
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (index.label, index.teacher), 1)
    assert (built.confusion.counts.toarray() == expected).all()
