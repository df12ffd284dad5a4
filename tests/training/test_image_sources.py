"""Training on images beside videos."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from spl_tf import data, training
from spl_tf.motion import CameraMotion, MotionLaw
from spl_tf.training.config import default_source
from spl_tf.training.source_inputs import open_sources
from tests.conftest import make_clip, write_dataset
from tests.training.run_files import lines


@pytest.fixture
def motion(tmp_path):
    """Camera motion at stride 2, 8 frames per second, as the videos here have them."""
    path = str(tmp_path / "motion.npz")
    mean = np.array([1, 0, 0.01, 0, 1, 0, 0, 0.0])
    law = MotionLaw(mean, np.eye(8) * 1e-4)
    CameraMotion(law, [law] * 3, "abc", np.full(3, 50), 2, 8.0, (32, 40), 2).save(path)
    return path


@pytest.fixture
def config(config, motion, tmp_path):
    """Two videos and two images in each batch; images are as bright as the videos."""
    clips = [
        make_clip(10 * (n % 3) + n // 3, n % 3, frames=1, names="abc")
        for n in range(12)
    ]
    images = write_dataset(tmp_path / "images", clips, "abc")
    for name, directory in (("target", config.data.train), ("web", images.directory)):
        source = default_source()
        source.dataset = directory
        with config.data.unlocked():
            config.data.sources[name] = source
    config.data.sources.web.clips.update(
        kind="perspective", motion=motion, by_class=True
    )
    config.data.train = ""
    return config


def test_images_and_videos_train_one_network(config, tmp_path):
    results = training.train(config, str(tmp_path / "run"))
    assert results["top_1"] > 0.9
    assert results["clips"] == 36
    logged = lines(tmp_path / "run")
    assert logged[-1]["loss_web"] < logged[0]["loss_web"]


def test_a_run_from_before_images_were_clips_goes_on(config, tmp_path):
    config.data.sources.web.clips = default_source().clips
    config.data.validation = ""
    config.schedule.length.steps = 5
    workdir = tmp_path / "run"
    first = training.train(config, str(workdir))
    content = json.loads((workdir / "config.json").read_text())
    for source in content["config"]["data"]["sources"].values():
        del source["clips"]
    (workdir / "config.json").write_text(json.dumps(content))
    (workdir / "results.json").unlink()
    again = training.train(config, str(workdir))
    assert again["steps"] == first["steps"]
    config.data.sources.web.clips.kind = "still"
    with pytest.raises(ValueError, match=r"clips\.kind"):
        training.train(config, str(workdir))


def test_an_epoch_has_each_untrimmed_video_once(config, tmp_path, caplog):
    # The teacher is sure of every second clip of a video, and of none of the last one.
    clips = [
        dataclasses.replace(
            make_clip(10 * label + part, label, names="abc", teacher=[label]),
            id=f"video{label}-{number}@{part}",
            media_id=f"video{label}-{number}",
            teacher_confidence=[0.9 if part % 2 and number < 3 else 0.2],
        )
        for label in range(3)
        for number in range(4)
        for part in range(6)
    ]
    dataset = write_dataset(tmp_path / "untrimmed", clips, "abc")
    source = default_source()
    source.update(dataset=dataset.directory, one_per_video=True)
    source.filter.min_confidence = 0.5
    config.data.sources.web = source
    config.data.epoch_of = "web"
    with caplog.at_level("INFO", logger="absl"):
        opened = open_sources(config, 4)
    assert opened.clips[1] == 9
    assert "9 of the 12 videos of source 'web' have a clip" in caplog.text
    assert training.train(config, str(tmp_path / "run"))["clips"] == 18


def test_a_motion_file_of_another_stride_or_of_other_classes_is_refused(config, motion):
    config.data.strides = (2, 4)
    with pytest.raises(ValueError, match=r"'perspective'.*one stride.*are \(2, 4\)"):
        training.check_config(config)
    config.data.update(strides=(), stride=3)
    with pytest.raises(ValueError, match=r"sources\.web: .*stride 2.*stride is 3"):
        open_sources(config, 4)
    config.data.stride = 2
    other = dataclasses.replace(CameraMotion.load(motion), class_names="bac")
    other.save(motion)
    with pytest.raises(ValueError, match=r"by_class: .*b, a, c.*expected the labels"):
        open_sources(config, 4)
    config.data.sources.web.clips.by_class = False
    assert isinstance(open_sources(config, 4).inputs[1].image_clips, data.ImageClips)


def test_a_motion_file_of_another_frame_rate_is_refused(config, motion):
    dataclasses.replace(CameraMotion.load(motion), frame_rate=25.0).save(motion)
    with pytest.raises(
        ValueError, match=r"web\.clips\.motion: .*25 frames per.* the 8 .*'target'"
    ):
        open_sources(config, 4)
    # Records of another tool may say no rate; images that stay frames have none.
    dataclasses.replace(CameraMotion.load(motion), frame_rate=0.0).save(motion)
    open_sources(config, 4)


def test_a_motion_file_of_frames_of_another_shape_is_refused(config, motion, caplog):
    fitted = CameraMotion.load(motion)
    # Any size of the same shape will do: the videos have 32 x 40.
    dataclasses.replace(fitted, size=(256, 320)).save(motion)
    open_sources(config, 4)
    assert not caplog.records
    dataclasses.replace(fitted, size=(256, 455)).save(motion)
    with pytest.raises(
        ValueError,
        match=r"web\.clips\.motion: .*256 x 455.*32 x 40, of source 'target'",
    ):
        open_sources(config, 4)
    # Images may be of any shape; that it is another one is told.
    images = [make_clip(n, n % 3, frames=1, size=(40, 32), names="abc") for n in (0, 1)]
    web = config.data.sources.web
    web.dataset = write_dataset(
        pathlib.Path(web.dataset).parent / "tall", images, "abc"
    ).directory
    fitted.save(motion)
    open_sources(config, 4)
    (message,) = (each.getMessage() for each in caplog.records)
    assert "of 2 clips, the first with 40 x 32, of source 'web'" in message


def test_one_image_source_may_stay_still_beside_a_moved_one(config):
    other = default_source()
    other.dataset = config.data.sources.web.dataset
    with config.data.unlocked():
        config.data.sources.copies = other
    assert open_sources(config, 3).sizes == [1, 1, 1]


def test_a_damaged_motion_file_is_refused(config, motion):
    with np.load(motion) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    content["mean"][0, 2] = np.nan
    np.savez(motion, **content)
    with pytest.raises(ValueError, match=r"motion\.npz: .*not finite.*fit_camera_mot"):
        open_sources(config, 4)
    np.savez(motion, **content | {"mean": np.zeros((1, 3))})
    with pytest.raises(ValueError, match=r"sources\.web: .*motion\.npz"):
        open_sources(config, 4)
    with open(motion, "wb") as file:
        file.write(b"PK")
    with pytest.raises(ValueError, match=r"motion\.npz"):
        open_sources(config, 4)
