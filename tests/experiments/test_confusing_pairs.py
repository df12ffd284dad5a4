import csv

import numpy as np
import pytest

from experiments.confusing_pairs import confusing_pairs
from spl_tf.inference.scores import Scores
from tests import warm_python

NAMES = ("a, b", "c", "d")


def write_scores(path, labels, predictions):
    count = len(labels)
    Scores(
        rows=np.arange(count),
        ids=np.array([f"clip {n}" for n in range(count)]),
        labels=np.array(labels, np.int32),
        probabilities=np.eye(3, dtype=np.float32)[predictions],
        class_names=NAMES,
    ).save(path)
    return str(path)


def test_the_command_lists_the_largest_changes_first(tmp_path):
    labels = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    before = write_scores(tmp_path / "a.npz", labels, [1, 1, 0, 0, 0, 1, 1, 1, 2, 2])
    after = write_scores(tmp_path / "b.npz", labels, [0, 0, 0, 0, 0, 1, 1, 2, 2, 2])
    output = tmp_path / "new" / "pairs.csv"
    flags = [f"--before={before}", f"--after={after}", f"--output={output}"]
    done = warm_python.run("-m", "experiments.confusing_pairs", *flags, "--shown=1")
    assert done.returncode == 0, done.stderr[-2000:]
    with open(output, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["first"], row["second"]) for row in rows] == [
        ("a, b", "c"),
        ("c", "d"),
    ]
    # 3 of 8 clips of the two were taken for the other, then 1 of 7; and 0, then 1/5.
    found = [[float(row[key]) for key in ("before", "after", "change")] for row in rows]
    expected = [[3 / 8, 1 / 7, 1 / 7 - 3 / 8], [0, 1 / 5, 1 / 5]]
    np.testing.assert_allclose(found, expected)
    assert "2 pairs changed" in done.stdout
    assert " 37.5%   14.3%  -23.2%  a, b / c" in done.stdout
    assert "c / d" not in done.stdout


def test_evaluations_of_other_clips_are_refused(tmp_path):
    before = write_scores(tmp_path / "a.npz", [0, 1], [0, 1])
    after = write_scores(tmp_path / "b.npz", [0, 1, 2], [0, 1, 1])
    with pytest.raises(ValueError, match=r"clip 'clip 2' of .*b\.npz is not in"):
        confusing_pairs(before, after, str(tmp_path / "pairs.csv"))
    assert not (tmp_path / "pairs.csv").exists()
