"""The command, on runs and clips whose results are known by other means."""

import csv
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from experiments.evaluate import (
    evaluate,
    evaluate_again,
    evaluate_fused,
    summary,
)
from spl_tf.inference.scores import Scores
from tests import warm_python
from tests.conftest import write_dataset
from tests.training.finished_run import textured_clip, write_run
from tests.training.teachers import contents

NAMES = ["abseiling", "Background", "tying a knot"]


def write_clips(directory, count=7, first=0, names=NAMES):
    all_clips = [textured_clip(n, n % 3, names) for n in range(first, first + count)]
    return write_dataset(directory, all_clips, names, 1, "clean").directory


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", NAMES)


@pytest.fixture
def dataset(tmp_path):
    return write_clips(tmp_path / "clips")


def command(*arguments):
    return warm_python.run("-m", "experiments.evaluate", *arguments)


def test_labels_that_are_no_classes_are_refused_before_the_model_is_opened(tmp_path):
    wrong = [textured_clip(n, 0, NAMES) for n in range(3)]
    wrong[1] = dataclasses.replace(wrong[1], label_index=-1)
    folder = write_dataset(tmp_path / "wrong", wrong, NAMES, 1).directory
    with pytest.raises(ValueError, match=r"row 1: its label is -1, .* \(1 such rows"):
        evaluate("no run", folder, str(tmp_path / "output"))


def test_the_command_evaluates_and_says_what_it_found(run, dataset, tmp_path):
    output = tmp_path / "output"
    done = command(
        f"--checkpoint={run}",
        f"--dataset={dataset}",
        f"--output_dir={output}",
        "--num_clips=2",
        "--num_crops=3",
        "--exclude_classes=Background",
        "--batch_size=3",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    files = ["confusion.png", "per_class.csv", "predictions.npz", "results.json"]
    assert sorted(os.listdir(output)) == files

    scores = Scores.load(output / "predictions.npz")
    labels, best = scores.labels, scores.probabilities.argmax(axis=1)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    precision = [
        metrics.average_precision_score(labels == label, scores.probabilities[:, label])
        for label in range(3)
    ]
    results = json.loads((output / "results.json").read_text())
    assert results["clips"] == 7
    assert results["top_1"] == pytest.approx((labels == best).mean())
    assert results["mAP"] == pytest.approx((precision[0] + precision[2]) / 2)
    assert results["excluded_classes"] == ["Background"]
    fingerprints = [
        results["settings"].pop(name) for name in ("network", "dataset_fingerprint")
    ]
    assert [len(each) for each in fingerprints] == [64, 64]
    assert results["settings"] == {
        "protocol": "views",
        "checkpoint": run,
        "dataset": dataset,
        "num_frames": 2,
        "stride": 2,
        "crop_size": 16,
        "num_clips": 2,
        "short_side": 0,
        "fully_convolutional": False,
        "num_crops": 3,
    }
    with open(output / "per_class.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == NAMES
    for label, row in enumerate(rows):
        assert int(row["clips"]) == (labels == label).sum()
        assert int(row["predicted"]) == (best == label).sum()
        assert float(row["average_precision"]) == pytest.approx(precision[label])
    with Image.open(output / "confusion.png") as picture:
        assert min(picture.size) > 300
    assert f"top-1                {results['top_1']:7.2%}" in done.stdout
    assert "(without Background)" in done.stdout


@pytest.mark.parametrize("protocol", ["views", "linear"])
def test_several_processes_write_what_one_writes(run, tmp_path, protocol):
    all_clips = [textured_clip(n, n % 3, NAMES) for n in range(27)]
    all_clips[5] = dataclasses.replace(all_clips[5], frames=(b"no picture",) * 8)
    dataset = write_dataset(tmp_path / "clips", all_clips, NAMES, 4, "clean").directory
    settings = {"protocol": protocol, "num_crops": 3, "batch_size": 4}
    settings |= {"on_bad_record": "skip"}
    if protocol == "linear":
        settings["train_dataset"] = write_clips(tmp_path / "train", 20, 100)

    def part(worker, output, num_workers=3):
        place = {"worker": worker, "num_workers": num_workers}
        return evaluate(run, dataset, str(output), **settings, **place)

    expected = part(0, tmp_path / "one", 1)
    assert expected.results["settings"]["bad_records_skipped"] == 1
    output = tmp_path / "several"
    assert part(1, output) is None
    assert part(1, output) is None
    assert part(0, output) is None
    assert os.listdir(output) == [".evaluation"]
    settings["num_crops"] = 1
    with pytest.raises(ValueError, match=r"num_crops \(was 3, is 1\)"):
        part(2, tmp_path / "several")
    settings["num_crops"] = 3
    assert part(2, output) == expected
    assert contents(output) == contents(tmp_path / "one")
    # A process that was started again meanwhile.
    assert part(0, output) == expected
    assert contents(output) == contents(tmp_path / "one")


def test_the_command_names_bad_records_or_says_how_many_it_skipped(run, tmp_path):
    all_clips = [textured_clip(n, n % 3, NAMES) for n in range(5)]
    all_clips[1] = dataclasses.replace(all_clips[1], frames=(b"no picture",) * 8)
    write_dataset(tmp_path / "clips", all_clips, NAMES, 1, "clean")
    arguments = [f"--checkpoint={run}", f"--dataset={tmp_path / 'clips'}"]
    arguments += [f"--output_dir={tmp_path / 'output'}"]
    done = command(*arguments)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "row 1" in line]
    assert line.startswith(f"error: {tmp_path / 'clips'}/clips.tfrecord-00000-of-00001")
    assert "Traceback" not in done.stderr
    done = command(*arguments, "--on_bad_record=skip")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("4 clips, 3 classes, bad records skipped: 1\n")
    results = json.loads((tmp_path / "output" / "results.json").read_text())
    assert results["settings"]["bad_records_skipped"] == 1


def test_predictions_are_measured_again_without_model_and_dataset(
    run, dataset, tmp_path
):
    first = evaluate(run, dataset, str(tmp_path / "first"))
    shutil.rmtree(run)
    shutil.rmtree(dataset)
    predictions = str(tmp_path / "first" / "predictions.npz")
    again = evaluate_again(predictions, str(tmp_path / "again"))
    assert again == first
    for name in ("results.json", "per_class.csv"):
        former, found = (tmp_path / part / name for part in ("first", "again"))
        assert found.read_bytes() == former.read_bytes()
    without = evaluate_again(predictions, str(tmp_path / "again"), ["Background"])
    precision = [result.average_precision for result in first.classes]
    assert without.results["mAP"] == pytest.approx((precision[0] + precision[2]) / 2)


def test_the_command_measures_the_mean_of_several_predictions(run, dataset, tmp_path):
    other = write_run(tmp_path / "other", NAMES, seed=1)
    for name, workdir in (("a", run), ("c", other)):
        evaluate(workdir, dataset, str(tmp_path / name))
    paths = [str(tmp_path / name / "predictions.npz") for name in ("a", "c")]
    output = tmp_path / "fused"
    done = command(
        f"--predictions={','.join(paths)}",
        "--weights=1,0.5",
        "--exclude_classes=Background",
        f"--output_dir={output}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    files = ["confusion.png", "per_class.csv", "predictions.npz", "results.json"]
    assert sorted(os.listdir(output)) == files
    first, second = map(Scores.load, paths)
    mean = (2 * first.probabilities + second.probabilities) / 3
    found = Scores.load(output / "predictions.npz")
    np.testing.assert_allclose(found.probabilities, mean, rtol=1e-5)
    results = json.loads((output / "results.json").read_text())
    expected = metrics.accuracy_score(first.labels, mean.argmax(axis=1))
    assert results["top_1"] == pytest.approx(expected)
    assert results["excluded_classes"] == ["Background"]
    weights = [part["weight"] for part in results["settings"]["fusion"]]
    assert weights == [1.0, 0.5]
    with pytest.raises(ValueError, match="cannot leave out none"):
        evaluate_fused([paths[1], paths[1]], str(tmp_path / "no"), (), ["none"])
    assert not os.path.exists(tmp_path / "no")


def test_the_paper_s_protocol_takes_64_frames_at_stride_4(run, dataset, tmp_path):
    report = evaluate(run, dataset, str(tmp_path / "output"), "paper")
    settings = report.results["settings"]
    assert (settings["num_frames"], settings["stride"]) == (64, 4)


def test_a_linear_classifier_serves_a_run_on_other_labels(dataset, tmp_path):
    run = write_run(tmp_path / "spl", [f"label {n}" for n in range(5)])
    # Learning the very clips that are scored: each of them is recognised.
    report = evaluate(
        run, dataset, str(tmp_path / "output"), "linear", train_dataset=dataset
    )
    assert report.results["top_1"] == 1.0
    linear = report.results["settings"]["linear"]
    assert (linear["train_clips"], linear["train_dataset"]) == (7, dataset)
    shares = {float(k): v for k, v in linear["held_out_top_1"].items()}
    assert len(shares) == 6
    assert shares[linear["strength"]] == max(shares.values())
    assert f"of strength {linear['strength']:g}, trained on 7 clips" in summary(report)


def test_the_linear_classifier_s_strength_can_be_given(run, dataset, tmp_path):
    output = tmp_path / "output"
    flags = ["--protocol=linear", f"--train_dataset={dataset}", "--strength=0.5"]
    flags += [f"--checkpoint={run}", f"--dataset={dataset}", f"--output_dir={output}"]
    done = command(*flags)
    assert done.returncode == 0, done.stderr[-2000:]
    linear = json.loads((output / "results.json").read_text())["settings"]["linear"]
    assert linear["strength"] == 0.5
    assert list(linear["held_out_top_1"]) == ["0.5"]
    with pytest.raises(
        ValueError, match=r"strength is 0\.5, and protocol views has no"
    ):
        evaluate(run, dataset, str(output), strength=0.5)


def test_the_summary_shows_the_least_accurate_classes_first(tmp_path):
    names = tuple(f"class {n:02}" for n in range(20))
    labels = np.repeat(np.arange(20, dtype=np.int32), 4)
    # Class n is recognised in n % 5 of 4 clips, else taken for the next one.
    hits = np.tile(np.arange(4), 20) < labels % 5
    best = np.where(hits, labels, (labels + 1) % 20)
    scores = Scores(
        rows=np.arange(80),
        ids=np.array([f"clip {n}" for n in range(80)]),
        labels=labels,
        probabilities=np.eye(20, dtype=np.float32)[best],
        class_names=names,
    )
    scores.save(tmp_path / "predictions.npz")
    report = evaluate_again(tmp_path / "predictions.npz", str(tmp_path))
    lines = summary(report).splitlines()
    assert lines[0] == "80 clips, 20 classes"
    worst = [line.split("  ")[0] for line in lines[-10:]]
    assert worst[:5] == ["class 00", "class 05", "class 10", "class 15", "class 01"]
    assert lines[-10].endswith("class 01 (4)")


def test_what_does_not_fit_is_refused_before_anything_is_written(
    run, dataset, tmp_path
):
    output = str(tmp_path / "output")
    other = write_clips(tmp_path / "other", names=["tying a knot", *NAMES[:2]])
    with pytest.raises(ValueError, match="names and order must be the same"):
        evaluate(run, other, output)
    with pytest.raises(ValueError, match="cannot leave out background"):
        evaluate(run, dataset, output, exclude_classes=["background"])
    with pytest.raises(ValueError, match="protocol paper has one view"):
        evaluate(run, dataset, output, "paper", num_clips=10)
    with pytest.raises(ValueError, match="linear needs a train_dataset"):
        evaluate(run, dataset, output, "linear")
    with pytest.raises(
        ValueError, match=r"num_crops is 2, expected one of \(1, 3, 10\)"
    ):
        evaluate(run, dataset, output, num_crops=2)
    with pytest.raises(FileNotFoundError):
        evaluate_again(str(tmp_path / "none.npz"), output)
    assert not os.path.exists(output)


def test_flags_that_contradict_each_other_are_refused(run, tmp_path):
    done = command(
        f"--checkpoint={run}",
        "--predictions=some.npz",
        f"--output_dir={tmp_path / 'output'}",
    )
    assert done.returncode == 1
    assert "--predictions leaves no use for --checkpoint" in done.stderr + done.stdout
