"""What reads a finished run looks at flow where the run did."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from experiments.evaluate import evaluate
from experiments.find_duplicates import find_duplicates
from experiments.visualize import visualize
from spl_tf import clips, training
from spl_tf.analysis import overlays
from spl_tf.analysis.grad_cam import grad_cam
from spl_tf.inference.export import export
from spl_tf.inference.feature_extraction import extract_features
from spl_tf.inference.scores import Scores
from spl_tf.models import feature_model
from spl_tf.runs import run_folder
from tests.conftest import write_dataset
from tests.flow_clips import FLOW, flow_dataset, smooth_flow
from tests.training.finished_run import decode, softmax, textured_clip, write_run

SIZE, CENTRE = (20, 36), (2, 10)
CORNERS = ((0, 0), (0, 20), (4, 0), (4, 20), CENTRE)
COUNT = 9


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "flow", "abc", modality="flow")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return flow_dataset(tmp_path_factory.mktemp("clips") / "flow", COUNT)


def looks(number, frames=(2, 4), corners=(CENTRE,), flips=(False,)):
    """Views of a clip's flow, uint8 [V, T, 16, 16, 2], cut out of what was stored."""
    flow = smooth_flow(number, 8, SIZE)[list(frames), :, :, :2]
    crops = []
    for flip in flips:
        for top, left in corners:
            crop = flow[:, top : top + 16, left : left + 16]
            if flip:
                crop = np.stack(
                    [255 - crop[:, :, ::-1, 0], crop[:, :, ::-1, 1]], axis=-1
                )
            crops.append(crop)
    return np.stack(crops)


def probabilities(run, **how):
    _, _, model = run_folder.load_run(run)
    found = []
    for number in range(COUNT):
        logits = model(looks(number, **how).astype(np.float32) / 255)
        found.append(softmax(logits.numpy()).mean(axis=0))
    return np.array(found)


@pytest.mark.parametrize(
    ("num_crops", "how"),
    [(1, {}), (10, {"corners": CORNERS, "flips": (False, True)})],
)
def test_evaluation_looks_at_flow(run, dataset, tmp_path, num_crops, how):
    directory = str(tmp_path / "out")
    evaluate(run, dataset.directory, directory, num_crops=num_crops, strategy="one")
    scores = Scores.load(f"{directory}/predictions.npz")
    expected = probabilities(run, **how)
    np.testing.assert_allclose(scores.probabilities, expected, atol=1e-5)
    assert expected.std(axis=0).max() > 1e-3


def test_all_positions_of_flow_can_be_classified(run, dataset, tmp_path):
    report = evaluate(
        run,
        dataset.directory,
        str(tmp_path / "out"),
        fully_convolutional=True,
        crop_size=20,
        strategy="one",
    )
    assert report.results["clips"] == COUNT


def test_a_probe_reads_features_of_flow(run, dataset, tmp_path):
    report = evaluate(
        run,
        dataset.directory,
        str(tmp_path / "out"),
        protocol="linear",
        train_dataset=dataset.directory,
        strategy="one",
    )
    assert report.results["settings"]["linear"]["train_clips"] == COUNT


def test_features_are_those_of_flow(run, dataset, tmp_path):
    found = extract_features(run, dataset.directory, str(tmp_path / "out.npz"))
    network = feature_model(run_folder.load_run(run)[2])
    expected = [network(looks(n).astype(np.float32) / 255)[0] for n in range(COUNT)]
    np.testing.assert_allclose(found.features, expected, rtol=1e-4, atol=1e-5)


def test_a_teacher_of_flow_labels_clips_and_leaves_their_flow(run, dataset, tmp_path):
    output = str(tmp_path / "labelled")
    training.predict(run, dataset.directory, output, strategy="one", top_k=3)
    labelled = clips.ClipDataset(output)
    with labelled.reader() as ours, dataset.reader() as theirs:
        for row, expected in enumerate(probabilities(run)):
            clip = clips.parse_clip(ours.read(row))
            assert list(clip.teacher_index) == np.argsort(-expected).tolist()
            found = np.array(clip.teacher_confidence)
            np.testing.assert_allclose(found, np.sort(expected)[::-1], atol=1e-5)
            flow = [
                tf.train.SequenceExample.FromString(each.read(row)).feature_lists
                for each in (ours, theirs)
            ]
            assert flow[0].feature_list[FLOW] == flow[1].feature_list[FLOW]


def test_an_exported_model_takes_flow(run, tmp_path):
    export(run, str(tmp_path / "served"))
    served = tf.saved_model.load(str(tmp_path / "served"))
    found = served.serve(tf.constant(looks(3)))["all_probabilities"]
    np.testing.assert_allclose(found[0], probabilities(run)[3], atol=1e-5)


def test_heat_of_flow_is_shown_over_frames(run, dataset, tmp_path):
    chosen = ["video1@0-1000000"]
    (pictures,) = visualize(
        run, dataset.directory, chosen, tmp_path, explain="prediction"
    )
    share = probabilities(run)[1]
    expected = f"{'abc'[share.argmax()]} {share.max():.0%}"
    assert pictures.caption.prediction == expected
    _, _, model = run_folder.load_run(run)
    pixels = looks(1).astype(np.float32) / 255
    heat = grad_cam(model, pixels, [int(share.argmax())], None, "global")[0]
    frames = decode(textured_clip(1, 1, "abc"))[[2, 4], 2:18, 10:26]
    by_hand = tmp_path / "by_hand.png"
    overlays.draw_strip(frames, heat, pictures.caption, by_hand)
    found, drawn = (
        np.asarray(Image.open(path).convert("RGB"), float)
        for path in (pictures.strip, by_hand)
    )
    assert np.abs(found - drawn).mean() < 1


def test_clips_without_flow_name_what_adds_it(run, tmp_path):
    plain = write_dataset(tmp_path / "d", [textured_clip(0, 0, "abc")], list("abc"), 1)
    for act in (
        lambda: evaluate(run, plain.directory, str(tmp_path / "e"), strategy="one"),
        lambda: training.predict(run, plain.directory, str(tmp_path / "p")),
        lambda: visualize(run, plain.directory, 1, tmp_path / "v"),
    ):
        with pytest.raises(
            (ValueError, tf.errors.OpError),
            match=r"video0@0-1000000' has no optical flow.*add_flow --input_dir",
        ):
            act()


def test_frames_are_not_compared_by_a_network_of_flow(run, dataset, tmp_path):
    with pytest.raises(ValueError, match="sees 'flow', and single frames"):
        find_duplicates(
            dataset.directory, dataset.directory, str(tmp_path / "d"), checkpoint=run
        )


def test_runs_from_before_there_was_flow_see_frames(run, dataset, tmp_path):
    old, new = (write_run(tmp_path / name, "abc") for name in ("old", "new"))
    path = pathlib.Path(old, "config.json")
    content = json.loads(path.read_text())
    for key in ("modality", "strides"):
        del content["config"]["data"][key]
    del content["config"]["loss"]["clip_weight"]
    path.write_text(json.dumps(content))
    outputs = [str(tmp_path / name) for name in ("one", "two", "three")]
    training.predict([old, new], dataset.directory, outputs[0], strategy="one")
    training.predict(new, dataset.directory, outputs[1], strategy="one")
    found = [clips.ClipDataset(each).index for each in outputs[:2]]
    np.testing.assert_array_equal(found[0].teacher, found[1].teacher)
    with pytest.raises(ValueError, match=r"data\.modality rgb and flow"):
        training.predict([old, run], dataset.directory, outputs[2])
