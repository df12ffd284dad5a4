"""Training on optical flow, and what its configuration must not ask for."""

import os

import numpy as np
import pytest

from spl_tf import training
from spl_tf.models.inflation import load_inflated
from spl_tf.runs import run_folder
from spl_tf.training.clip_rules import CLIP_KINDS
from spl_tf.training.config import default_source
from tests.conftest import write_dataset
from tests.flow_clips import flow_dataset, png, with_flow, write_records
from tests.training import run_files
from tests.training.conftest import small_config
from tests.training.finished_run import textured_clip, write_run
from tests.training.teachers import TWO_D


@pytest.fixture
def flow_config(tmp_path):
    config = small_config(flow_dataset(tmp_path / "clips", 6))
    config.data.update(modality="flow", batch_size=2)
    config.augmentation.update(brightness=0.0, contrast=0.0)
    config.schedule.warmup.steps = 0
    config.schedule.length.steps = 5
    return config


@pytest.mark.parametrize(("network", "crop"), [({}, 16), (TWO_D, 32)])
def test_networks_train_on_flow(flow_config, tmp_path, network, crop):
    flow_config.model.update(network)
    flow_config.data.update(crop_size=crop, short_side=(crop, 40), test_short_side=crop)
    results = training.train(flow_config, str(tmp_path / "run"))
    assert 0 <= results["top_1"] <= 1
    (line,) = run_files.lines(tmp_path / "run")
    assert np.isfinite(line["loss"])
    _, _, model = run_folder.load_run(str(tmp_path / "run"))
    assert model.input_shape == (None, 2, crop, crop, 2)


def still(clip):
    """The clip's record, with flow of zero everywhere."""
    image = np.full((clip.height, clip.width, 3), 128, np.uint8)
    return clip, with_flow(clip, [png(image)] * len(clip.frames))


def test_clips_that_stand_still_or_are_one_frame_give_finite_losses(
    flow_config, tmp_path
):
    clips = [textured_clip(n, n % 3, "abc", frames=1 + n % 2 * 7) for n in range(6)]
    dataset = write_records(tmp_path / "still", map(still, clips), list("abc"))
    flow_config.data.update(train=dataset.directory, validation="")
    training.train(flow_config, str(tmp_path / "run"))
    (line,) = run_files.lines(tmp_path / "run")
    assert np.isfinite([line["loss"], line["gradient_norm"]]).all()


@pytest.mark.parametrize("key", ["train", "validation"])
def test_clips_without_flow_are_refused_before_the_workdir_is_claimed(
    flow_config, tmp_path, key
):
    clips = [textured_clip(n, n % 3, "abc") for n in range(3)]
    plain = write_dataset(tmp_path / "plain", clips, list("abc"), label_kind="clean")
    flow_config.data[key] = plain.directory
    message = rf"{plain.directory}: clip 'video0@0-1000000' has no optical flow.*"
    with pytest.raises(ValueError, match=message + "add_flow --input_dir"):
        training.train(flow_config, str(tmp_path / "run"))
    assert not os.path.exists(tmp_path / "run" / "config.json")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data.modality", "depth", r"data\.modality is 'depth', expected one of"),
        ("augmentation.hue", 0.2, r"augmentation\.hue is 0\.2.*no colours"),
        (
            "model.normalization",
            ((0.5,) * 3, (0.5,) * 3),
            "has 3 means.*of which there are 2",
        ),
    ],
)
def test_flow_has_no_colours(flow_config, key, value, message):
    training.check_config(flow_config)
    flow_config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match=message):
        training.check_config(flow_config)


@pytest.mark.parametrize("kind", CLIP_KINDS[1:])
def test_single_images_have_no_flow(flow_config, tmp_path, kind):
    source = default_source()
    source.dataset = flow_config.data.train
    source.clips.kind = kind
    if kind == "snippets":
        flow_config.data.sampling = "segments"
    if kind == "perspective":
        source.clips.motion = str(tmp_path)
    with flow_config.unlocked():
        flow_config.data.train = ""
        flow_config.data.sources.web = source
    with pytest.raises(ValueError, match=rf"web\.clips\.kind is '{kind}'.*'flow'"):
        training.check_config(flow_config)


def test_flow_starts_from_a_network_of_frames_by_the_mean_of_its_first_kernel(
    flow_config, tmp_path
):
    rgb = write_run(tmp_path / "rgb", list("abc"))
    start = run_files.weights(rgb)
    flow_config.init.checkpoint = rgb
    with pytest.raises(ValueError, match=r"sees 'rgb'.*modality is 'flow'.*inflate"):
        training.train(flow_config, str(tmp_path / "run"))
    model = run_folder.build_from_config(flow_config, 3)
    load_inflated(os.path.join(rgb, "weights.npz"), model)
    first = next(layer for layer in model.layers if layer.weights)
    kernel = start[f"{first.name}/0"].mean(axis=-2)
    for channel in range(2):
        found = first.get_weights()[0][..., channel, :]
        np.testing.assert_allclose(found, kernel, rtol=1e-6)
