"""A run that is stopped, killed or damaged, and goes on."""

import os
import re
import shutil
import signal
import time

import numpy as np
import pytest

from spl_tf import data, training
from spl_tf.clips import ClipDataset
from spl_tf.runs import run_folder
from tests.conftest import make_clip, small_disk, write_dataset
from tests.training.conftest import small_config, write_target
from tests.training.finished_run import write_run
from tests.training.run_files import (
    assert_same_run,
    checkpoints,
    start,
    start_command,
    wait_for,
    weights,
)
from tests.training.teachers import contents


@pytest.fixture
def config(config):
    """Without a validation set: what is measured at the end decides nothing here."""
    config.data.validation = ""
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A config, and the workdir of its unbroken run."""
    folder = tmp_path_factory.mktemp("finished")
    config = small_config(write_target(folder / "target"))
    config.data.validation = ""
    training.train(config, str(folder / "run"))
    return config, str(folder / "run")


def test_a_killed_run_goes_on_to_the_very_weights_of_an_unbroken_one(config, tmp_path):
    unbroken, killed = str(tmp_path / "unbroken"), str(tmp_path / "killed")
    config.schedule.length.steps = 196
    config.model.dropout = 0.5
    config.loss.update(name="data_parameters", data_parameters_mode="joint")
    training.train(config, unbroken)
    begun = os.path.join(killed, "metrics.jsonl")
    # Once before anything was saved, once after.
    for is_due in (lambda: os.path.exists(begun), lambda: checkpoints(killed)):
        process = start(config, killed)
        wait_for(is_due, process)
        process.kill()
        process.communicate()
        assert not os.path.exists(os.path.join(killed, "results.json"))
    training.train(config, killed)
    assert_same_run(killed, unbroken)


def test_sigterm_saves_at_the_next_step_and_the_run_goes_on(config, tmp_path):
    unbroken, stopped = str(tmp_path / "unbroken"), str(tmp_path / "stopped")
    config.schedule.length.steps = 996
    # One call for all steps: only the call itself can be that quick.
    config.runtime.update(
        steps_per_call=1000, log_every_steps=1000, checkpoint_every_steps=1000
    )
    training.train(config, unbroken)
    process = start_command(config, stopped)
    wait_for(lambda: os.path.exists(os.path.join(stopped, "metrics.jsonl")), process)
    time.sleep(4)  # the first call compiles, then runs for some seconds
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == training.STOPPED_EXIT_CODE == 75, printed[-2000:]
    assert "the same command continues" in printed.splitlines()[-1]
    (saved,) = checkpoints(stopped)
    assert int(saved) % 1000
    training.train(config, stopped)
    assert_same_run(stopped, unbroken)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer.clip_norm": 0.5, "optimizer.moving_average": 0.9},
        {"model.dropout": 0.5, "optimizer.accumulation_steps": 2},
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


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(
    finished, tmp_path, caplog, damage
):
    (config, unbroken), damaged = finished, str(tmp_path / "damaged")
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
    (warning,) = [r for r in caplog.records if "cannot be read" in r.getMessage()]
    assert warning.levelname == "WARNING"
    assert f"{newest} cannot be read and is set aside" in warning.getMessage()
    assert_same_run(damaged, unbroken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model.projection_dim": 5},
            r"optimizer: in the model only: projection/bias, projection/kernel; of "
            r"other shapes: classifier/kernel is \(48, 3\), expected \(5, 3\)",
        ),
        (
            {"model.gating_bias": False},
            r"optimizer: in the file only: res2_gating/bias, res3_gating/bias",
        ),
        (
            {"loss.name": "data_parameters"},
            r"model only: instance_temperatures/logarithm, instance_temperatures/veloc",
        ),
        ({"optimizer.momentum": 0.0}, r"in the file only: .*optimizer/_variables/10,"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused_and_stays(
    finished, tmp_path, change, message
):
    config, former = finished
    shutil.copytree(f"{former}/checkpoints", tmp_path / "run" / "checkpoints")
    before = contents(tmp_path / "run" / "checkpoints")
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(change)
    with pytest.raises(ValueError, match=message) as refusal:
        training.train(config, str(tmp_path / "run"))
    assert f"checkpoint {tmp_path / 'run' / 'checkpoints' / '000000040'}" in str(
        refusal.value
    )
    assert contents(tmp_path / "run" / "checkpoints") == before


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
    config.optimizer.momentum = 0.9
    write_dataset(tmp_path / "target", [make_clip(0, 0, names="abc")], "abc", 1)
    with pytest.raises(ValueError, match=r"another config: datasets changed"):
        training.train(config, str(tmp_path / "run"))


@pytest.mark.parametrize("calls", [1, 5])
def test_a_loss_that_is_not_finite_stops_the_run(config, tmp_path, calls):
    config.optimizer.learning_rate = 1e12
    names = ("steps_per_call", "log_every_steps", "checkpoint_every_steps")
    config.runtime.update(dict.fromkeys(names, calls))
    with pytest.raises(FloatingPointError, match=r"loss of step \d is nan") as stop:
        training.train(config, str(tmp_path / "run"))
    step = int(re.search(r"step (\d+)", str(stop.value)).group(1))
    saved = [int(name) for name in checkpoints(tmp_path / "run")]
    assert max(saved, default=0) == step // calls * calls
    source = data.TrainInput(
        ClipDataset(config.data.train), None, data.ClipSampling(2, 2), 16, True, 0
    )
    (batch,) = data.train_batches(source, 4, start_step=step, stop_step=step + 1)
    for clip_id in batch["id"].numpy():
        assert repr(clip_id.decode()) in str(stop.value)
    assert not os.path.exists(tmp_path / "run" / "results.json")


@pytest.mark.parametrize("name", ["run[1]", "back\\slash"])
def test_a_run_in_a_folder_whose_name_is_a_pattern_goes_on(config, tmp_path, name):
    workdir = tmp_path / name
    config.schedule.length.steps = 4
    results = training.train(config, str(workdir))
    (saved,) = checkpoints(workdir)
    # As a run that was killed after its last checkpoint.
    os.remove(workdir / "results.json")
    again = training.train(config, str(workdir))
    assert checkpoints(workdir) == [saved]
    assert again["train_loss"] == results["train_loss"]


def test_a_run_whose_data_is_spelled_otherwise_goes_on(config, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    config.schedule.length.steps = 4
    results = training.train(config, str(workdir))
    monkeypatch.chdir(tmp_path)
    data_dir = config.data.train
    for spelled in (f"{data_dir}/", os.path.relpath(data_dir), f"/{data_dir}"):
        config.data.train = spelled
        assert training.train(config, f"{workdir}/") == results
    config.data.train = str(shutil.copytree(data_dir, tmp_path / "other"))
    with pytest.raises(ValueError, match=r"data\.train was .*, is"):
        training.train(config, str(workdir))


def test_a_gradient_that_is_not_finite_stops_the_run_before_anything_is_saved(
    config, tmp_path
):
    # Logits of 1e20 have a finite loss; the squares of their gradients overflow.
    start = write_run(tmp_path / "start", "abc")
    arrays = weights(start)
    arrays["classifier/0"] *= 1e25
    np.savez(os.path.join(start, "weights.npz"), **arrays)
    config.init.update(checkpoint=start, keep_head=True)
    names = ("steps_per_call", "log_every_steps", "checkpoint_every_steps")
    config.runtime.update(dict.fromkeys(names, 1))
    with pytest.raises(
        FloatingPointError,
        match=r"loss of step 0 is [\d.e+]+, the norm of its gradient inf; its clips "
        r"are 'video\d+@0-1000000', '",
    ):
        training.train(config, str(tmp_path / "run"))
    assert checkpoints(tmp_path / "run") == []


def test_a_run_goes_on_with_a_lower_learning_rate_after_a_step_that_is_not_finite(
    config, tmp_path
):
    workdir = str(tmp_path / "run")
    config.runtime.update(steps_per_call=1, log_every_steps=1, checkpoint_every_steps=1)
    config.schedule.length.steps = 10
    config.optimizer.learning_rate = 1e12
    with pytest.raises(
        FloatingPointError, match=r"learning_rate.* same command with .* goes on"
    ) as stop:
        training.train(config, workdir)
    step = int(re.search(r"step (\d+)", str(stop.value)).group(1))
    config.optimizer.update(learning_rate=1e-9, momentum=0.8)
    with pytest.raises(
        ValueError,
        match=r"another config: optimizer\.momentum was 0\.9, is 0\.8\. Choo",
    ):
        training.train(config, workdir)
    config.optimizer.update(momentum=0.9, clip_norm=1e-6)
    # What had been saved before that step may be beyond help.
    for name in checkpoints(workdir):
        shutil.rmtree(os.path.join(workdir, "checkpoints", name))
    assert training.train(config, workdir)["steps"] == 14
    content = run_folder.read_json(os.path.join(workdir, "config.json"))
    assert content["config"]["optimizer"]["learning_rate"] == 1e-9
    (change,) = content["changes"]
    assert change["not_finite_step"] == step
    assert change["changed"] == [
        "optimizer.clip_norm was 0.0, is 1e-06",
        "optimizer.learning_rate was 1000000000000.0, is 1e-09",
    ]
    config.optimizer.learning_rate = 2e-9  # the run is past that step
    with pytest.raises(ValueError, match=r"another config: optimizer\.learning_rate"):
        training.train(config, workdir)


def test_a_run_from_before_a_key_was_made_goes_on_with_its_default(config, tmp_path):
    workdir = str(tmp_path / "run")
    config.schedule.length.steps = 4
    results = training.train(config, workdir)
    path = os.path.join(workdir, "config.json")
    content = run_folder.read_json(path)
    for key in ("sources", "epoch_of", "clips_per_item", "mixup"):
        del content["config"]["data"][key]
    del content["config"]["loss"]["clips"]
    run_folder.write_json(path, content)
    assert training.train(config, workdir) == results
    config.data.mixup = 0.5
    with pytest.raises(ValueError, match=r"data\.mixup was 0\.0, is 0\.5"):
        training.train(config, workdir)
