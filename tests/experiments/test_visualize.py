"""The command, on runs whose predictions are known."""

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

from experiments.visualize import visualize
from spl_tf import training
from spl_tf.labels import ConfusionMatrix, build_label_map
from spl_tf.runs import checkpoints, run_folder
from tests import warm_python
from tests.conftest import jpeg, make_clip, write_dataset

NAMES = ["baking cookies", "abseiling", "tying a knot"]


def finished_run(workdir, output_names, best, label_map=""):
    """A run's folder as training leaves it; the model always says output `best`.

    Its probability is that of a logit of 2 among zeros.
    """
    config = training.default_config()
    config.model.name = "r3d_tiny_g"
    config.data.update(num_frames=4, stride=2, crop_size=16, label_map=str(label_map))
    run_folder.claim_workdir(str(workdir), config, label_names=list(output_names))
    keras.utils.set_random_seed(0)
    model = run_folder.build_from_config(config, len(output_names))
    kernel, bias = model.get_layer("classifier").get_weights()
    bias[best] = 2
    model.get_layer("classifier").set_weights([0 * kernel, bias])
    checkpoints.save_weights(str(workdir), model)
    return str(workdir)


def web_clip(number, label, teacher=()):
    """Ten frames; frame t is grey level 20 * t + number."""
    clip = make_clip(number, label, frames=10, teacher=teacher, names=NAMES)
    images = [np.full((32, 40, 3), 20 * t + number, np.uint8) for t in range(10)]
    return dataclasses.replace(clip, frames=tuple(map(jpeg, images)))


@pytest.fixture
def web(tmp_path):
    """Clips 0 to 5; the teacher agrees on 0 and 1 and gives 5 a rare pair."""
    teachers = [[0], [1, 0], [1], [1], [1], [2]]
    labels = [0, 1, 0, 0, 0, 1]
    all_clips = [
        web_clip(n, label, teacher)
        for n, (label, teacher) in enumerate(zip(labels, teachers, strict=True))
    ]
    return write_dataset(tmp_path / "web", all_clips, NAMES)


@pytest.fixture
def label_map(tmp_path):
    """SPL-D with one cell: baking cookies ~ abseiling is label 3."""
    confusion = ConfusionMatrix(NAMES)
    confusion.update([0, 1, 0, 0, 0, 1], [0, 1, 1, 1, 1, 2])
    built = build_label_map(confusion, "spl_d", 4)
    built.save(tmp_path / "map")
    return tmp_path / "map"


@pytest.fixture
def spl_run(tmp_path, label_map):
    names = [*NAMES, "baking cookies ~ abseiling"]
    return finished_run(tmp_path / "run", names, 1, label_map)


def captions(*arguments, **options):
    return [pictures.caption for pictures in visualize(*arguments, **options)]


def test_a_clip_is_shown_with_its_labels_and_what_the_model_says(
    spl_run, web, tmp_path
):
    chosen = ["video2@0-1000000", "video0@0-1000000"]
    shown = visualize(spl_run, web.directory, chosen, tmp_path / "out")
    # Shards hold the even clips, then the odd ones.
    assert [pictures.row for pictures in shown] == [1, 0]
    assert dataclasses.asdict(shown[0].caption) == {
        "clip_id": "video2@0-1000000",
        "label": "baking cookies",
        "teacher": "abseiling 100%",
        "spl_label": "baking cookies ~ abseiling",
        # e^2 / (e^2 + 3) and 1 / (e^2 + 3)
        "prediction": "abseiling 71%",
        "explained": "baking cookies ~ abseiling (SPL label, 10%)",
        "label_kind": "weak",
    }
    assert shown[1].caption.spl_label == "baking cookies"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "000000_video0@0-1000000.png",
        "000000_video0@0-1000000.webp",
        "000001_video2@0-1000000.png",
        "000001_video2@0-1000000.webp",
    ]
    with Image.open(shown[0].animation) as picture:
        assert (picture.format, picture.n_frames) == ("WEBP", 4)
        picture.load()
        # 8 frames a second at a stride of 2.
        assert picture.info["duration"] == 250
    # The strip shows the central frames at the run's stride: 1, 3, 5, 7 of clip 2.
    pixels = np.asarray(Image.open(shown[0].strip).convert("L"))
    row = pixels[-14 - 128 - 6 - 64, 14 + 64 :: 128 + 6][:4]
    np.testing.assert_allclose(row, [22, 62, 102, 142], atol=1)


def test_a_discarded_clip_is_explained_by_its_prediction(spl_run, web, tmp_path):
    (caption,) = captions(spl_run, web.directory, ["video5@0-1000000"], tmp_path)
    assert caption.spl_label == "discarded"
    assert caption.explained == "abseiling (prediction, 71%)"


def test_the_prediction_can_be_explained_for_all(spl_run, web, tmp_path):
    (caption,) = captions(
        spl_run, web.directory, ["video2@0-1000000"], tmp_path, explain="prediction"
    )
    assert caption.spl_label == "baking cookies ~ abseiling"
    assert caption.explained == "abseiling (prediction, 71%)"


def test_a_run_on_plain_labels_explains_the_record_s_own(web, tmp_path):
    run = finished_run(tmp_path / "teacher", NAMES, 2)
    (caption,) = captions(run, web.directory, ["video2@0-1000000"], tmp_path)
    assert caption.spl_label is None
    assert caption.prediction == "tying a knot 79%"
    assert caption.explained == "baking cookies (label, 11%)"


def test_a_run_on_other_classes_explains_its_prediction(web, tmp_path):
    run = finished_run(tmp_path / "other", ["red", "green"], 0)
    (caption,) = captions(run, web.directory, ["video2@0-1000000"], tmp_path)
    assert caption.explained == "red (prediction, 88%)"


def test_without_a_teacher_s_predictions_there_is_no_teacher_and_no_spl_label(
    spl_run, tmp_path
):
    plain = write_dataset(tmp_path / "plain", [web_clip(0, 0)], NAMES, 1)
    (caption,) = captions(spl_run, plain.directory, 1, tmp_path)
    assert caption.teacher is None
    assert caption.spl_label is None
    assert caption.explained == "abseiling (prediction, 71%)"


def test_clips_are_drawn_at_random_by_the_seed_alone(spl_run, web, tmp_path):
    def rows(count, seed):
        shown = visualize(spl_run, web.directory, count, tmp_path, seed=seed)
        return [pictures.row for pictures in shown]

    first = rows(2, 0)
    assert rows(2, 0) == first
    assert len(first) == 2
    assert any(rows(2, seed) != first for seed in (1, 2, 3))
    assert rows(100, 0) == [*range(6)]


def test_file_names_hold_no_letters_that_mean_something_else(spl_run, tmp_path):
    clip = dataclasses.replace(web_clip(0, 0), id="../a b/żółw$" + 300 * "x" + "@0-1")
    dataset = write_dataset(tmp_path / "odd", [clip], NAMES, 1)
    (shown,) = visualize(spl_run, dataset.directory, 1, tmp_path / "out")
    assert shown.strip.name == f"000000_{76 * 'x'}@0-1.png"
    assert shown.strip.exists()


def test_unknown_clips_are_named(spl_run, web, tmp_path):
    with pytest.raises(ValueError, match="no clip 'nowhere@0-1', 'video9' among its 6"):
        visualize(
            spl_run,
            web.directory,
            ["video9", "video1@0-1000000", "nowhere@0-1"],
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_a_label_map_of_other_classes_or_of_another_run_is_refused(
    spl_run, web, label_map, tmp_path
):
    other = write_dataset(tmp_path / "d", [web_clip(0, 0)], NAMES[::-1], 1)
    with pytest.raises(ValueError, match=r"label map's classes are 3.*the dataset's 3"):
        visualize(spl_run, other.directory, 1, tmp_path)
    run = finished_run(tmp_path / "teacher", NAMES, 0)
    with pytest.raises(ValueError, match=r"label map's labels are 4.*the run's 3"):
        visualize(run, web.directory, 1, tmp_path, label_map_dir=str(label_map))


def test_a_label_map_that_is_gone_can_be_named(spl_run, web, label_map, tmp_path):
    moved = label_map.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"no label map at .*map; name the one"):
        visualize(spl_run, web.directory, 1, tmp_path)
    (caption,) = captions(
        spl_run, web.directory, ["video2@0-1000000"], tmp_path, str(moved)
    )
    assert caption.spl_label == "baking cookies ~ abseiling"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": (b"no JPEG",) * 10}, "'video0@0-1000000': frame 1 cannot be dec"),
        ({"teacher_index": (7,)}, "'video0@0-1000000' has class 7, expected 0 to 2"),
    ],
)
def test_a_clip_that_cannot_be_shown_is_named(spl_run, tmp_path, change, message):
    clip = dataclasses.replace(web_clip(0, 0, [1]), **change)
    dataset = write_dataset(tmp_path / "bad", [clip], NAMES, 1)
    with pytest.raises(ValueError, match=message):
        visualize(spl_run, dataset.directory, 1, tmp_path)


def test_frames_smaller_than_the_model_s_input_are_named(spl_run, tmp_path):
    clip = make_clip(0, 0, frames=10, size=(12, 20), names=NAMES)
    dataset = write_dataset(tmp_path / "small", [clip], NAMES, 1)
    with pytest.raises(
        ValueError, match=r"frame 1 is 12 x 20, smaller than .* 16 x 16"
    ):
        visualize(spl_run, dataset.directory, 1, tmp_path)


def test_the_command_draws_or_says_in_one_line_what_is_wrong(spl_run, web, tmp_path):
    def command(clips):
        flags = [f"--checkpoint={spl_run}", f"--dataset={web.directory}"]
        flags += [f"--clips={clips}", f"--output_dir={tmp_path / 'out'}"]
        return warm_python.run("-m", "experiments.visualize", *flags, "--format=gif")

    done = command(2)
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    assert len(files) == 4
    for path in files:
        with Image.open(path) as picture:
            assert picture.format in ("GIF", "PNG")
    failed = command("video1@0-1000000,missing")
    assert failed.returncode == 1
    assert "error: " in failed.stderr
    assert "no clip 'missing'" in failed.stderr
    assert "Traceback" not in failed.stderr
