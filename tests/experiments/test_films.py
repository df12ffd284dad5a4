"""Clips of a training's sources, as a page shows them."""

import io

import numpy as np
from PIL import Image

from experiments.reporting.films import motion_films, training_films
from spl_tf import training
from spl_tf.motion import CameraMotion, MotionLaw
from spl_tf.training.config import default_source
from tests.conftest import make_clip, write_dataset
from tests.motion.test_homographies import MOTIONS, video


def pixels(films):
    with Image.open(io.BytesIO(films.sprite.webp)) as picture:
        array = np.asarray(picture.convert("L")).astype(int)
    rows, columns = len(films.clips), films.sprite.frames
    return array.reshape(rows, films.sprite.height, columns, films.sprite.width)


def test_each_source_is_shown_as_it_is_trained_on(tmp_path):
    images = [
        make_clip(3 * n, n % 3, teacher=[(n + 1) % 3], frames=1, names="abc")
        for n in range(4)
    ]
    videos = [make_clip(4 * n, n % 3, names="abc") for n in range(6)]
    config = training.default_config()
    config.data.update(num_frames=8, stride=1, crop_size=16, batch_size=4)
    for name, all_clips in (("target", videos), ("web", images)):
        source = default_source()
        source.dataset = write_dataset(tmp_path / name, all_clips, "abc").directory
        with config.data.unlocked():
            config.data.sources[name] = source
    config.data.sources.web.clips.kind = "still"
    config.data.sources.web.labels.kind = "teacher"
    target, web = training_films(config, shown=6)
    assert (target.title, len(target.clips), target.text) == ("target", 6, "")
    assert web.text == "Each clip is made of one image: still."
    # All four, labelled as the teacher says, and each as bright as its image.
    shown = pixels(web)
    for row, clip in enumerate(web.clips):
        number = int(clip.clip_id.partition("@")[0].removeprefix("video")) // 3
        assert clip.label == "abc"[(number % 3 + 1) % 3]
        assert abs(shown[row] - 24 * number).max() <= 4
    assert len({clip.clip_id for clip in web.clips}) == 4
    # A video's frames get brighter.
    brightness = pixels(target).mean(axis=(1, 3))
    assert (np.diff(brightness, axis=1) >= -1).mean() > 0.9


def test_moved_frames_are_shown_beside_videos(tmp_path):
    clips = [video(n, n % 2, [MOTIONS["pan"]] * 5) for n in range(3)]
    dataset = write_dataset(tmp_path / "videos", clips, "ab")
    mean = np.array(MOTIONS["pan"], float)
    law = MotionLaw(mean, np.eye(8) * 1e-10)
    size = (clips[0].height, clips[0].width)
    motion = CameraMotion(law, [law] * 2, "ab", np.full(2, 9), 1, 8.0, size, 5)
    filmed, moved = motion_films(motion, dataset)
    assert [each.clip_id for each in filmed.clips] == [
        each.clip_id for each in moved.clips
    ]
    first, second = pixels(filmed), pixels(moved)
    assert np.abs(first[:, :, 0] - second[:, :, 0]).mean() < 3
    # Where the camera goes is not in the first frame.
    width = first.shape[-1] // 2
    inside = np.abs(first[..., :width] - second[..., :width]).mean()
    assert inside < np.abs(first[:, :, :1] - second)[:, :, -1].mean()
