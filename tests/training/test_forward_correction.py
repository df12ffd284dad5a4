"""The transition matrix of a training run, and a run with it."""

import numpy as np
import pytest

from spl_tf import training
from spl_tf.labels import ConfusionMatrix
from spl_tf.training.objectives import read_transition
from tests.training.run_files import lines


@pytest.fixture
def noisy_config(config, web_dataset):
    """Trains on 23 clips of 3 classes, most of whose labels are not their teacher's."""
    config.data.update(train=web_dataset.directory, validation="")
    config.loss.name = "forward_correction"
    config.schedule.length.steps = 6
    return config


def test_it_is_counted_from_the_clips_own_labels_and_teacher(web_dataset):
    expected = np.zeros((3, 3))
    for n in range(23):
        expected[(n // 3) % 3, n % 3] += 1  # row: the teacher's class, see conftest
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(read_transition("", web_dataset, 3), expected, rtol=1e-6)


def test_or_read_from_a_file_of_counted_pairs(web_dataset, tmp_path):
    confusion = ConfusionMatrix(["a", "b", "c"])
    confusion.update([0, 1, 1, 2], [0, 0, 1, 2])
    confusion.save(tmp_path / "pairs")
    found = read_transition(str(tmp_path / "pairs"), web_dataset, 3)
    np.testing.assert_allclose(found, [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    ConfusionMatrix(["a", "b", "d"]).save(tmp_path / "other")
    with pytest.raises(ValueError, match="or their names differ"):
        read_transition(str(tmp_path / "other"), web_dataset, 3)


def test_a_run_takes_its_losses_after_the_transition(noisy_config, tmp_path):
    other = noisy_config.copy_and_resolve_references()
    other.loss.name = "cross_entropy"
    for name, settings in (("forward", noisy_config), ("plain", other)):
        training.train(settings, str(tmp_path / name))
    forward, plain = (lines(tmp_path / name)[0] for name in ("forward", "plain"))
    assert np.isfinite(forward["loss"])
    # Near-even transitions leave nothing to learn: each label costs about log 3.
    assert abs(forward["loss"] - np.log(3)) < abs(plain["loss"] - np.log(3))
    assert forward["gradient_norm"] < plain["gradient_norm"]


def test_labels_that_it_cannot_explain_are_refused_before_the_run(
    noisy_config, target, web_dataset, tmp_path
):
    workdir = tmp_path / "run"
    with pytest.raises(ValueError, match=r"with 6 labels, but .* has 3 classes"):
        read_transition("", web_dataset, 6)
    noisy_config.data.train = target.directory
    with pytest.raises(ValueError, match="have no teacher predictions; name a"):
        training.train(noisy_config, str(workdir))
    noisy_config.loss.transition = str(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"loss\.transition: there is no"):
        training.train(noisy_config, str(workdir))
    noisy_config.loss.update(name="anchor", transition=str(tmp_path))
    with pytest.raises(ValueError, match="'anchor' has no use for it"):
        training.train(noisy_config, str(workdir))
    assert not workdir.exists()
