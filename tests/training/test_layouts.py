"""The same mathematics on any layout of replicas and accumulated batches.

Two processes are in `test_multi_worker.py`.
"""

import os
import shutil

import pytest

from spl_tf import training
from spl_tf.runs import run_folder
from spl_tf.training.config import default_source
from tests.training.run_files import (
    TRAIN_ON_TWO,
    assert_nearly_same_run,
    lines,
    start,
)

# Batch normalisation by its moving statistics, as in a network without it.
FROZEN = """
import spl_tf.models.layers as layers
call = layers.BatchNorm.call
layers.BatchNorm.call = lambda self, x, training=None, mask=None: call(self, x, False)
"""


@pytest.fixture
def whole(config):
    """Steps of 8 clips, however they are laid out; rounding grows slowly."""
    config.optimizer.learning_rate = 0.01
    config.model.synchronized_batch_norm = True
    config.data.update(batch_size=0, global_batch_size=8)
    config.schedule.length.steps = 16
    return config


def run(config, workdir, script):
    process = start(config, workdir, script)
    _, printed = process.communicate(timeout=240)
    assert process.returncode == 0, printed[-2000:]


def test_two_replicas_train_as_one_which_can_go_on_with_their_run(whole, tmp_path):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    results = training.train(whole, one)
    peak = max(line["learning_rate"] for line in lines(one))
    assert 0.01 < peak < 2 * 0.01  # for 8 clips: twice the rate that is for 4

    whole.runtime.strategy = "mirrored"
    run(whole, two, TRAIN_ON_TWO)
    assert_nearly_same_run(one, two)
    top_1 = run_folder.read_results(two)["top_1"]
    assert top_1 == pytest.approx(results["top_1"], abs=0.06)  # but for a clip

    former = lines(two)
    for name in ("results.json", "weights.npz", "checkpoints/000000020"):
        path = os.path.join(two, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    whole.runtime.strategy = "one"
    training.train(whole, two)
    assert lines(two)[0] == former[0]
    assert lines(two)[1] != former[1]  # it was trained again, with other rounding
    assert_nearly_same_run(one, two)


def test_accumulated_batches_make_the_step_of_one_large_batch(whole, tmp_path):
    # Each has batch statistics of its own, so they are left out here.
    whole.optimizer.update(clip_norm=1.0, moving_average=0.5)
    large, parts = str(tmp_path / "large"), str(tmp_path / "parts")
    whole.runtime.strategy = "mirrored"
    run(whole, large, FROZEN + TRAIN_ON_TWO)
    whole.runtime.strategy = "one"
    whole.optimizer.accumulation_steps = 2
    run(whole, parts, FROZEN + TRAIN_ON_TWO)
    assert_nearly_same_run(large, parts)


@pytest.mark.parametrize("forward", ["per_source", "step_per_source"])
def test_two_replicas_pass_each_source_as_one_does(forward, whole, tmp_path):
    for name in ("first", "second"):
        source = default_source()
        source.dataset = whole.data.train
        with whole.data.unlocked():
            whole.data.sources[name] = source
    whole.data.update(train="", forward=forward)
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    training.train(whole, one)
    whole.runtime.strategy = "mirrored"
    run(whole, two, TRAIN_ON_TWO)
    assert_nearly_same_run(one, two)


def test_a_batch_that_does_not_divide_over_its_parts_is_refused(whole, tmp_path):
    whole.optimizer.accumulation_steps = 3
    with pytest.raises(
        ValueError,
        match=r"global_batch_size is 8, expected a multiple of 3: 1 replicas x .* 3",
    ):
        training.train(whole, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_with_other_steps(whole, tmp_path):
    whole.schedule.length.steps = 6
    training.train(whole, str(tmp_path / "run"))
    whole.data.global_batch_size = 4
    whole.runtime.keep_checkpoints = 5  # which would make no difference
    with pytest.raises(
        ValueError, match=r"config: data\.global_batch_size was 8, is 4; clips_per_step"
    ) as refusal:
        training.train(whole, str(tmp_path / "run"))
    assert "runtime" not in str(refusal.value)
