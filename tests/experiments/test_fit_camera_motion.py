"""The file of camera motion and its sheet, from a dataset's folder."""

import numpy as np
import pytest
from PIL import Image

from experiments.fit_camera_motion import fit
from spl_tf.clips.jpeg import decode_jpeg
from spl_tf.motion import CameraMotion
from tests import warm_python
from tests.conftest import write_dataset
from tests.motion.test_homographies import MOTIONS, SIZE, video


def run(directory, output, *flags):
    flags = [f"--dataset={directory}", f"--output={output}", *flags]
    return warm_python.run("-m", "experiments.fit_camera_motion", *flags)


def test_a_dataset_gives_a_file_and_a_sheet(tmp_path):
    clips = [video(n, n % 2, [MOTIONS["pan"]] * 5) for n in range(4)]
    dataset = write_dataset(tmp_path / "videos", clips, "ab")
    output = tmp_path / "motion.npz"
    done = run(dataset.directory, output, "--num_frames=6", "--stride=2")
    assert done.returncode == 0, done.stderr
    assert "20 pairs of frames at stride 2 and 8 frames per second" in done.stdout
    motion = CameraMotion.load(output)
    np.testing.assert_allclose(motion.overall.mean, MOTIONS["pan"], atol=0.01)
    sheet = np.asarray(Image.open(tmp_path / "motion.png"))
    height = 200 * SIZE[0] // SIZE[1]
    # Of each clip two lines, of 6 frames each.
    assert sheet.shape == (4 * (2 * (height + 4) + 20) + 4, 6 * 204 + 4, 3)
    cells = sheet[20:][:height, 4:204], sheet[24 + height :][:height, 4:204]
    firsts = [decode_jpeg(clip.frames[0]) for clip in clips]
    small = [
        np.asarray(Image.fromarray(each).resize((200, height))).astype(int)
        for each in firsts
    ]
    for cell in cells:
        assert min(np.abs(cell - each).mean() for each in small) < 8
    # As the motion is the same in all clips, so are the lines.
    last = sheet[20:][:height, -204:-4], sheet[24 + height :][:height, -204:-4]
    inner = [each[height // 2 :, : 200 // 2].astype(int) for each in last]
    assert np.abs(inner[0] - inner[1]).mean() < 20
    assert np.abs(inner[0] - cells[0][height // 2 :, : 200 // 2]).mean() > 25


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"motion\.csv', expected a name that ends"):
        fit(str(tmp_path), str(tmp_path / "motion.csv"), 4, 2, 0, 0)
