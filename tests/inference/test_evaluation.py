import dataclasses
import json

import numpy as np
import pytest
from ml_collections import config_dict
from sklearn import metrics

from spl_tf import data, training
from spl_tf.inference import evaluation
from spl_tf.inference.evaluation import Views
from spl_tf.inference.scores import Scores, measure
from spl_tf.runs import run_folder
from tests import warm_python
from tests.conftest import write_dataset
from tests.training.finished_run import decode, softmax, textured_clip, write_run
from tests.training.run_files import clusters

NAMES = ["abseiling", "Background", "a, b", "never seen"]


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", NAMES)


def textured_clips(count=7):
    return [textured_clip(n, n % 3, NAMES) for n in range(count)]


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "clips", textured_clips(), NAMES, 1, "clean")


def random_scores(rng, count=40):
    """Of 7 classes, the last 4 of which have no clips."""
    return Scores(
        rows=np.arange(count),
        ids=np.array([f"clip {n}" for n in range(count)]),
        labels=rng.integers(0, 3, count, np.int32),
        probabilities=rng.dirichlet(np.ones(7), count).astype(np.float32),
        class_names=(*NAMES, "d", "e", "f"),
        settings={"protocol": "views"},
    )


# Clips have 8 frames of 20 x 36 pixels; crops are 16 x 16.
CENTRE, LEFT, RIGHT = (2, 10), (2, 0), (2, 20)
SEGMENTS = config_dict.create(num_frames=2, stride=1, sampling="segments", crop_size=16)


@pytest.mark.parametrize(
    ("views", "frames", "corners"),
    [
        (Views(data.ClipSampling(2, 2), 16), [[2, 4]], [CENTRE]),
        (
            Views(data.ClipSampling(2, 2), 16, num_clips=2, num_crops=3),
            [[0, 2], [4, 6]],
            [LEFT, CENTRE, RIGHT],
        ),
        # The middle frame of each of five segments, of a model trained with two.
        (
            Views.of(SEGMENTS, num_frames=5, num_crops=10),
            [[0, 2, 4, 5, 7]],
            [(0, 0), (0, 20), (4, 0), (4, 20), CENTRE],
        ),
        # 64 frames of a model that was trained with 2.
        (Views(data.PAPER_EVALUATION, 16), [[0, 4] * 32], [CENTRE]),
    ],
    ids=["centre", "views", "ten crops of segments", "paper"],
)
def test_the_probabilities_of_a_clip_are_the_mean_over_its_views(
    run, dataset, views, frames, corners
):
    strategy = training.make_strategy("one")
    _, _, model = evaluation.open_run(run, strategy)
    scores = evaluation.score(model, strategy, dataset, views, batch_size=3)

    for row, clip in enumerate(textured_clips()):
        images = decode(clip)
        looks = [
            images[chosen, top : top + 16, left : left + 16]
            for chosen in frames
            for top, left in corners
        ]
        if views.num_crops == 10:
            looks += [look[:, :, ::-1] for look in looks]
        logits = model(np.stack(looks).astype(np.float32) / 255).numpy()
        expected = softmax(logits).mean(axis=0)
        np.testing.assert_allclose(scores.probabilities[row], expected, atol=1e-5)
    assert scores.rows.tolist() == list(range(7))
    assert scores.ids.tolist() == [clip.id for clip in textured_clips()]
    assert scores.labels.tolist() == [n % 3 for n in range(7)]
    assert scores.class_names == tuple(NAMES)
    # The clips are not all alike to the model.
    assert scores.probabilities.std(axis=0).max() > 1e-3


# Two replicas need logical devices that are set up before TensorFlow starts.
MIRRORED = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
devices = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, devices)
from spl_tf import data
from spl_tf.clips import ClipDataset
from spl_tf.inference import evaluation
from spl_tf.training import make_strategy
run, directory, output = sys.argv[1:]
strategy = make_strategy("mirrored")
assert strategy.num_replicas_in_sync == 2
_, _, model = evaluation.open_run(run, strategy)
dataset, sampling = ClipDataset(directory), data.ClipSampling(2, 2)
views = evaluation.Views(sampling, 16, num_clips=2)
evaluation.score(model, strategy, dataset, views, 3).save(output)
views = evaluation.Views(sampling, 16)
found = evaluation.evaluate(model, strategy, dataset, views, 5)
print(json.dumps([found.metrics, found.confusion.tolist()]))
"""


def assert_same_results(found, run, dataset):
    """Metrics and confusion counts are those of all clips in one batch."""
    strategy = training.make_strategy("one")
    _, _, model = evaluation.open_run(run, strategy)
    views = Views(data.ClipSampling(2, 2), 16)
    scores = evaluation.score(model, strategy, dataset, views, len(dataset))
    best = scores.probabilities.argmax(axis=1)
    assert 0 < (best == scores.labels).sum() < len(dataset)
    metrics_found, confusion = found
    assert metrics_found == pytest.approx(measure(scores).metrics)
    assert metrics_found["clips"] == len(dataset)
    expected = metrics.confusion_matrix(scores.labels, best, labels=range(len(NAMES)))
    assert confusion == expected.tolist()


def test_two_replicas_count_every_clip_once_with_padded_batches(run, tmp_path):
    # 13 clips in steps of 2 x 3: the last batch of one replica is padding but for one
    # clip, that of the other all padding.
    dataset = write_dataset(tmp_path / "clips", textured_clips(13), NAMES, 2, "clean")
    output = str(tmp_path / "two.npz")
    done = warm_python.run("-c", MIRRORED, run, dataset.directory, output)
    assert done.returncode == 0, done.stderr[-2000:]
    two = Scores.load(output)

    strategy = training.make_strategy("one")
    _, _, model = evaluation.open_run(run, strategy)
    sampling = data.ClipSampling(2, 2)
    views = Views(sampling, 16, num_clips=2)
    one = evaluation.score(model, strategy, dataset, views, 13)
    np.testing.assert_array_equal(two.rows, np.arange(13))
    np.testing.assert_array_equal(two.ids, one.ids)
    np.testing.assert_array_equal(two.labels, one.labels)
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=1e-5)

    assert_same_results(json.loads(done.stdout), run, dataset)


PROCESS = """
import json, sys
from spl_tf.inference import evaluation
from spl_tf.training import make_strategy
strategy = make_strategy("multi_worker")
from spl_tf import data
from spl_tf.clips import ClipDataset
from spl_tf.data.decoding import ClipLoader
decoded, load = [], ClipLoader.load
def counting_load(self, row, *rest):
    decoded.append(int(row))
    return load(self, row, *rest)
ClipLoader.load = counting_load
_, _, model = evaluation.open_run(sys.argv[1], strategy)
dataset, sampling = ClipDataset(sys.argv[2]), data.ClipSampling(2, 2)
views = evaluation.Views(sampling, 16)
found = evaluation.evaluate(model, strategy, dataset, views, 3)
print(json.dumps([sorted(set(decoded)), [found.metrics, found.confusion.tolist()]]))
"""


def test_each_of_two_processes_has_the_results_of_all_clips_for_half_of_the_work(
    run, tmp_path
):
    # 11 clips in steps of 2 x 3: the last batch of one process is padded.
    dataset = write_dataset(tmp_path / "clips", textured_clips(11), NAMES, 2, "clean")
    processes = [
        warm_python.WarmProcess(
            *("-c", PROCESS, run, dataset.directory), environment={"TF_CONFIG": cluster}
        )
        for cluster in clusters(2)
    ]
    try:
        outputs = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    first, second = map(json.loads, outputs)
    assert first[0] == [0, 1, 2, 6, 7, 8]
    assert set(second[0]) - {0} == {3, 4, 5, 9, 10}  # padded with some clip
    assert first[1] == second[1]
    assert_same_results(first[1], run, dataset)


def test_metrics_are_those_of_scikit_learn():
    scores = random_scores(np.random.default_rng(0))
    found = measure(scores, exclude=["Background"])
    labels, probabilities = scores.labels, scores.probabilities
    best = probabilities.argmax(axis=1)
    precision = [
        metrics.average_precision_score(labels == label, probabilities[:, label])
        for label in range(3)
    ]
    assert found.metrics == pytest.approx(
        {
            "clips": 40,
            "top_1": metrics.accuracy_score(labels, best),
            "top_5": metrics.top_k_accuracy_score(
                labels, probabilities, k=5, labels=range(7)
            ),
            "mean_class_accuracy": metrics.recall_score(
                labels, best, labels=range(3), average="macro"
            ),
            # Without the background, and the classes that have no clips.
            "mAP": (precision[0] + precision[2]) / 2,
        }
    )
    confusion = metrics.confusion_matrix(labels, best, labels=range(7))
    np.testing.assert_array_equal(found.confusion, confusion)


def test_the_class_table_says_what_a_class_is_taken_for():
    choices = [0, 0, 2, 2, 1, 1, 2, 0]
    labels = np.array([0, 0, 0, 0, 0, 1, 2, 2], np.int32)
    probabilities = np.eye(7, dtype=np.float32)[choices]
    scores = dataclasses.replace(
        random_scores(np.random.default_rng(0), 8),
        labels=labels,
        probabilities=probabilities,
    )
    first, second, third, fourth, *_ = measure(scores).classes
    assert (first.name, first.clips, first.predicted) == ("abseiling", 5, 3)
    assert (first.accuracy, first.taken_for, first.times) == (0.4, "a, b", 2)
    assert (second.accuracy, second.taken_for, second.times) == (1.0, "", 0)
    assert (third.accuracy, third.taken_for, third.times) == (0.5, "abseiling", 1)
    assert (fourth.clips, fourth.accuracy, fourth.average_precision) == (0, None, None)


def test_scores_that_are_saved_come_back_without_pickles(tmp_path):
    scores = random_scores(np.random.default_rng(0))
    scores.save(tmp_path / "predictions.npz")
    back = Scores.load(tmp_path / "predictions.npz")
    for field in ("rows", "ids", "labels", "probabilities"):
        former, found = getattr(scores, field), getattr(back, field)
        np.testing.assert_array_equal(found, former)
        assert found.dtype == former.dtype
    assert (back.class_names, back.settings) == (scores.class_names, scores.settings)
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as file:
        assert file["class_names"].tolist() == [*NAMES, "d", "e", "f"]
        assert file["probabilities"].dtype == np.float32


def test_damaged_or_foreign_predictions_are_refused(tmp_path):
    scores = random_scores(np.random.default_rng(0))
    path = tmp_path / "predictions.npz"
    dataclasses.replace(scores, labels=scores.labels[1:]).save(path)
    with pytest.raises(ValueError, match=r"predictions\.npz has arrays .* expected"):
        Scores.load(path)
    scores.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"predictions\.npz is not a complete"):
        Scores.load(path)
    np.savez(path, probabilities=scores.probabilities)
    with pytest.raises(ValueError, match="not a scores of spl_tf"):
        Scores.load(path)


def test_a_model_for_any_size_gives_the_logits_of_the_one_it_was_made_from(run):
    _, _, fixed = run_folder.load_run(run)
    _, _, model = evaluation.open_run(run, training.make_strategy("one"))
    clip = np.random.default_rng(0).uniform(-1, 1, (2, 2, 16, 16, 3))
    np.testing.assert_allclose(model(clip), fixed(clip), atol=1e-6)
    assert model(np.zeros((1, 5, 20, 24, 3))).shape == (1, 4)
    with pytest.raises(ValueError, match="expected axis -1"):
        model(np.zeros((1, 5, 20, 24, 1)))


def bad_clip(number):
    """A clip with a frame that does not decode."""
    clip = textured_clip(number, number % 3, NAMES)
    frames = (*clip.frames[:2], clip.frames[2][:-9], *clip.frames[3:])
    return dataclasses.replace(clip, frames=frames)


def test_bad_records_are_named_or_skipped(run, tmp_path):
    devices = training.make_strategy("one")
    _, _, model = evaluation.open_run(run, devices)
    views = Views(data.ClipSampling(2, 2), 16)
    whole = write_dataset(tmp_path / "whole", textured_clips(), NAMES, 1, "clean")
    expected = evaluation.score(model, devices, whole, views, 3)
    mixed = [bad_clip(n) if n in (2, 6) else c for n, c in enumerate(textured_clips())]
    mixed = write_dataset(tmp_path / "mixed", mixed, NAMES, 1, "clean")

    def score(dataset, **options):
        skipping = dataclasses.replace(views, **options)
        return evaluation.score(model, devices, dataset, skipping, 3)

    with pytest.raises(data.BadRecordError, match=r"^.*row 2.*frame 2 does not decode"):
        score(mixed)
    found = score(mixed, on_bad_record="skip", max_bad_records=2)
    assert found.rows.tolist() == [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(found.labels, expected.labels[found.rows])
    np.testing.assert_array_equal(found.ids, expected.ids[found.rows])
    np.testing.assert_allclose(
        found.probabilities, expected.probabilities[found.rows], rtol=1e-5
    )
    with pytest.raises(data.BadRecordError, match="more than 1 bad records"):
        score(mixed, on_bad_record="skip", max_bad_records=1)
    with pytest.raises(ValueError, match="on_bad_record is 'ignore'"):
        score(mixed, on_bad_record="ignore")
    bad = write_dataset(tmp_path / "bad", [bad_clip(n) for n in range(4)], NAMES, 1)
    with pytest.raises(data.BadRecordError, match=r"all 4 clips of .*bad are bad"):
        score(bad, on_bad_record="skip")
    views = dataclasses.replace(views, on_bad_record="skip")
    result = evaluation.evaluate(model, devices, mixed, views, 3)
    assert result.metrics["clips"] == 5
