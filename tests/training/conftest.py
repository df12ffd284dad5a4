import pytest

from spl_tf import training
from tests.conftest import make_clip, write_dataset


def write_target(directory):
    """18 clips of 3 classes that differ in brightness."""
    all_clips = []
    for label in range(3):
        for n in range(6):
            clip = make_clip(10 * label + n, label, names="abc")
            all_clips.append(clip)
    return write_dataset(directory, all_clips, "abc", label_kind="clean")


@pytest.fixture
def target(tmp_path):
    return write_target(tmp_path / "target")


def small_config(target):
    """A training of 40 steps, of a small network."""
    config = training.default_config()
    config.model.name = "r3d_tiny_g"
    config.model.dropout = 0.0
    config.data.update(
        train=target.directory,
        validation=target.directory,
        num_frames=2,
        stride=2,
        crop_size=16,
        batch_size=4,
    )
    config.augmentation.update(brightness=0.05, contrast=0.1, saturation=0.0, hue=0.0)
    config.optimizer.update(learning_rate=0.05, reference_batch_size=4)
    config.schedule.warmup.update(steps=4, epochs=0.0)
    config.schedule.length.update(steps=36, epochs=0.0)
    config.runtime.update(
        steps_per_call=5, log_every_steps=10, checkpoint_every_steps=10, strategy="one"
    )
    return config


@pytest.fixture
def config(target):
    return small_config(target)
