"""What a filter keeps, from a dataset's folder to the files that tell it."""

import csv
import json
import logging
import xml.etree.ElementTree as ElementTree

import pytest

from experiments.filter_clips import filter_clips, read_kept
from tests import warm_python
from tests.conftest import make_clip, write_dataset

NAMES = ["a", "b, <c>", "c"]
# Label and teacher's first choice, the same for 2 of 4, none of 3 and 2 of 2 clips.
PAIRS = [(0, 0), (0, 0), (0, 1), (0, 2), (1, 0), (1, 0), (1, 2), (2, 2), (2, 2)]


@pytest.fixture
def web(tmp_path):
    all_clips = [
        make_clip(n, label, teacher=[teacher, (teacher + 1) % 3], names=NAMES)
        for n, (label, teacher) in enumerate(PAIRS)
    ]
    return write_dataset(tmp_path / "web", all_clips, NAMES).directory


def test_the_command_counts_draws_and_warns_of_a_class_that_is_emptied(web, tmp_path):
    output = tmp_path / "new" / "filter"
    flags = [f"--dataset={web}", f"--output_dir={output}", "--agreement", "--shown=2"]
    done = warm_python.run("-m", "experiments.filter_clips", *flags)
    assert done.returncode == 0, done.stderr[-2000:]
    with open(output / "classes.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["class", "before", "after"],
            ["a", "4", "2"],
            ["b, <c>", "3", "0"],
            ["c", "2", "2"],
        ]
    results = json.loads((output / "results.json").read_text())
    assert results["filter"]["agreement"] is True
    assert (results["clips"], results["kept"]) == (9, 4)
    assert results["share"] == pytest.approx(4 / 9)
    assert results["balance"]["before"]["largest_to_median"] == pytest.approx(4 / 3)
    assert results["balance"]["after"]["effective_classes"] == pytest.approx(2)
    assert results["emptied"] == ["b, <c>"]
    assert "keeps no clip of 1 classes" in done.stderr
    assert ": b, <c>" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["3", "0", "0.0%", "b,", "<c>"]
    assert "... and 1 classes that lose fewer" in lines
    assert [line.split() for line in lines if line.endswith("all")] == [
        ["9", "4", "44.4%", "all"]
    ]
    assert read_kept(str(output)).counts == {
        "a": (4, 2),
        "b, <c>": (3, 0),
        "c": (2, 2),
    }


def test_the_picture_is_a_file_of_its_own(web, tmp_path):
    filter_clips(web, str(tmp_path), {"agreement": True})
    text = (tmp_path / "classes.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    style = root[0].text
    for name in ("--ink", "--dropped", "--diagonal", "--off", "--rule"):
        assert f"var({name})" in text
        assert f"{name}: #" in style
    words = {"".join(each.itertext()).strip() for each in root.iter()}
    assert {"a", "b, <c>", "c", "found", "kept", "kept, sorted"} <= words


def test_clips_can_be_of_the_class_that_the_teacher_sees(web, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    ids = tmp_path / "ids.csv"
    ids.write_text("video2\nvideo8\n")  # the only one that is seen as b
    rules = {"exclude_ids": str(ids)}
    kept = filter_clips(web, str(tmp_path / "out"), rules, "teacher")
    assert kept.counts == {"a": (4, 4), "b, <c>": (1, 0), "c": (4, 3)}
    assert "b, <c>" in caplog.text


def test_what_cannot_be_filtered_is_refused(web, tmp_path):
    out = tmp_path / "out"
    wrong = [make_clip(n, n, teacher=[2], names=NAMES) for n in range(2)]
    folder = write_dataset(tmp_path / "wrong", wrong, NAMES).directory
    with pytest.raises(ValueError, match="the filter keeps none of 2 clips"):
        filter_clips(folder, str(out), {"agreement": True})
    plain = [make_clip(n, n, names=NAMES) for n in range(3)]
    folder = write_dataset(tmp_path / "plain", plain, NAMES).directory
    for rules, labels in (({"agreement": True}, "record"), ({}, "teacher")):
        with pytest.raises(ValueError, match="3 clips without a teacher prediction"):
            filter_clips(folder, str(out), rules, labels)
    with pytest.raises(ValueError, match="min_confidence is 2"):
        filter_clips(web, str(out), {"min_confidence": 2})
    assert not out.exists()
