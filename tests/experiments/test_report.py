"""The report of workdirs whose content is known."""

import base64
import html.parser
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from experiments.report import build_report
from experiments.spl.reporting.gather import gather
from tests import warm_python
from tests.experiments.report_workdir import (
    NAMES,
    PAIRS,
    QUOTES,
    SCRIPT,
    write_json,
    write_workdir,
)
from tests.training.finished_run import write_run


class Page(html.parser.HTMLParser):
    """What a browser sees: elements, and the text of those that hold data or text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.data, self.text = [], {}, []
        self._id = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag in ("script", "style"):
            self._id = attributes.get("id", tag)

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._id = None

    def handle_data(self, text):
        if self._id is None:
            self.text.append(text)
        else:
            self.data[self._id] = self.data.get(self._id, "") + text

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def read_page(workdir):
    path = build_report(str(workdir))
    return Page(pathlib.Path(path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workdir of two seeds; tests do not change it."""
    workdir = tmp_path_factory.mktemp("report") / "run"
    workdir.mkdir()
    write_workdir(workdir)
    return workdir


@pytest.fixture(scope="module")
def page(finished):
    return read_page(finished)


@pytest.fixture
def copied(finished, tmp_path):
    return pathlib.Path(shutil.copytree(finished, tmp_path / "run"))


def change_results(workdir, change):
    path = workdir / "results.json"
    results = json.loads(path.read_text())
    change(results)
    write_json(path, results)


def test_names_are_text_wherever_they_stand(page):
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    # The data and the page's own program, and nothing that a name brought.
    assert [s.get("id") for s in scripts] == ["points", "explorer", "pictures", None]
    assert not [tag for tag, attrs in page.elements if attrs.get("src") == "x"]
    for name in (SCRIPT, QUOTES):
        assert name in page.words
    assert json.loads(page.data["explorer"])["classes"] == NAMES
    assert "<img src=x>.mp4" in page.words
    titles = {attrs.get("title") for _, attrs in page.elements}
    assert "video5<b>@0-1" in titles


def test_the_page_loads_nothing(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, value)
    policy = next(a["content"] for _, a in page.elements if "http-equiv" in a)
    assert "default-src 'none'" in policy


def test_the_table_has_means_errors_and_paired_differences(page):
    # Standard error of two values: half their distance.
    assert "79.0 ± 4.0" in page.words
    # 75 - 50 and 83 - 54: 27 ± 2, and spl_b ahead in both.
    assert "+27.0 ± 2.0 2 of 2" in page.words
    assert "+18.0 ± 3.0 2 of 2" in page.words
    assert "Means over 2 seeds ± standard error" in page.words
    assert "84.3" in page.words
    assert "Table 1 & others" in page.words
    # Means over the seeds of pretrain + finetune + evaluate.
    assert "13 s" in page.words
    assert "noise ratio" in page.words
    assert "33.3 %" in page.words  # 5 of 15 clips


def test_one_seed_has_no_error_estimate(tmp_path):
    write_workdir(tmp_path, [3])
    words = read_page(tmp_path).words
    assert "there is no estimate of the error" in words
    assert "75.0 " in words
    assert "±" not in words


def test_the_matrix_and_its_clips_are_those_of_the_dataset(finished, page):
    explorer = json.loads(page.data["explorer"])
    cells = {pair: PAIRS.count(pair) for pair in set(PAIRS)}
    columns = [unpack(explorer[name]) for name in ("weak", "teacher", "count")]
    assert {(w, t): n for w, t, n in zip(*columns, strict=True)} == cells
    spl_b = next(s for s in explorer["strategies"] if s["name"] == "spl_b")
    names = [spl_b["names"][label] for label in unpack(spl_b["label"])]
    assert names[0] == "tying a knot"  # (0, 0)
    assert names[1] == "tying a knot ~ other"  # (0, 1)
    pictures = json.loads(page.data["pictures"])
    shown = {(cell["weak"], cell["teacher"]): cell for cell in pictures}
    assert shown.keys() == cells.keys()
    ids = [clip_id for clip_id, _ in shown[0, 1]["clips"]]
    assert sorted(ids) == [f"video{n}<b>@0-1" for n in (5, 6, 7, 8)]
    assert "All 15 clips can be viewed" in page.words


def unpack(packed):
    kind = {"Int8": "<i1", "Int16": "<i2", "Int32": "<i4"}[packed["type"]]
    return np.frombuffer(base64.b64decode(packed["data"]), kind).tolist()


def test_curves_counts_and_heat_come_from_the_runs(finished):
    content = gather(finished)
    assert not content.missing
    curve = next(c for c in content.learning if c.strategy == "weak")
    assert (curve.phase, curve.seed) == ("pretrain", 3)
    # The cut-off last line of a killed run is no part of it.
    assert curve.steps.tolist() == [10, 20, 30]
    assert curve.loss.tolist() == [0.2, 0.1, pytest.approx(2 / 30)]
    counts = {entry.strategy: entry for entry in content.counts}
    assert counts["none"].seeds == 2
    # 20 clips under each seed: 10 and 11 hits.
    assert counts["none"].confusion.counts[0].tolist() == [21, 19, 0]
    labels = [(strip.weak, strip.teacher, strip.label) for strip in content.heat]
    assert labels == [
        (NAMES[0], SCRIPT, "tying a knot ~ other"),
        (SCRIPT, QUOTES, f"{SCRIPT} ~ other"),
    ]


def test_confusions_are_compared_with_and_without_pre_training(page):
    # none: 19 of 40 taken for class 1, spl_b: 8 of 40 (15 and 17 hits).
    assert "48 % → 20 %" in page.words


def test_what_failed_stages_did_not_write_is_named(copied):
    def fail(results):
        rows = [r for r in results["rows"] if r["strategy"] == "weak"]
        rows[0].update(top_1=None, evaluation=None, finetune=None)
        results["rows"].remove(rows[1])
        failed = {"state": "failed", "reason": "exit code 1", "seconds": 2.0}
        log = "logs/seed_4/pretrain_weak.log"
        results["stages"].append({"stage": "seed_4/pretrain_weak", "log": log} | failed)

    change_results(copied, fail)
    shutil.rmtree(copied / "seed_3" / "runs" / "spl_b_pretrain")
    shutil.rmtree(copied / "seed_3" / "clips" / "target_val")
    words = read_page(copied).words
    assert "weak: no result of seed 3, 4" in words
    assert "predictions of weak, seed 3: not there" in words
    assert (
        "weights of the pre-trained network: not there "
        "(seed_3/runs/spl_b_pretrain/weights.npz)"
    ) in words
    assert "seed_3/clips/target_val" in words
    assert "seed_4/pretrain_weak failed: exit code 1; see logs/seed_4" in words
    assert "79.0 ± 4.0" in words


def test_what_is_still_to_run_is_said_once_and_is_no_fault(tmp_path):
    write_workdir(tmp_path, [3])

    def begin(results):
        results["rows"].clear()
        names = ("predict", "none/evaluate", "spl_b/evaluate")
        waiting = {"state": "not run", "reason": "not chosen", "seconds": 0.0}
        results["stages"] += [
            {"stage": f"seed_3/{n}", "log": None} | waiting for n in names
        ]

    change_results(tmp_path, begin)
    shutil.rmtree(tmp_path / "seed_3" / "clips" / "web_teacher")
    page = read_page(tmp_path)
    assert not gather(tmp_path).missing
    assert page.words.count("Not run yet: 3 of 4 stages.") == 1
    sections = [attrs.get("id") for tag, attrs in page.elements if tag == "section"]
    assert sections == [None, "results", "data", "run"]
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    assert links[1:] == ["#results", "#data", "#run"]
    # After a failure, which may be why it is not there, it is named.
    change_results(tmp_path, lambda r: r["stages"][-1].update(state="failed"))
    words = read_page(tmp_path).words
    assert words.count("web clips with teacher, seed 3: not there") == 1
    assert "Not run yet" not in words


def test_a_prediction_or_run_that_is_half_done_counts_as_not_there(copied):
    for seed in (3, 4):
        (copied / f"seed_{seed}" / "clips" / "web_teacher" / "dataset.json").unlink()
    words = read_page(copied).words
    assert "web clips with teacher, seed 3: not there" in words
    assert "79.0 ± 4.0" in words


def test_a_network_of_other_labels_is_not_explained(copied):
    run = copied / "seed_3" / "runs" / "spl_b_pretrain"
    shutil.rmtree(run)
    write_run(run, ["a", "b"])
    content = gather(copied)
    assert content.heat == []
    assert "another label map" in content.missing["heat"][0]


def test_a_run_that_has_just_begun_has_a_page(tmp_path):
    results = {"title": "New", "strategies": ["none", "spl_b"], "seeds": [], "rows": []}
    write_json(tmp_path / "results.json", results)
    words = read_page(tmp_path).words
    assert "No model has been evaluated yet" in words


def test_a_folder_without_results_is_refused_and_a_damaged_file_named(copied, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"results.json does not exist: .*nothing"
    ):
        build_report(str(tmp_path / "nothing"))
    log = copied / "seed_3" / "runs" / "weak" / "metrics.jsonl"
    log.write_text("{}\n")
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 1 is damaged"):
        build_report(str(copied))


def test_the_command_prints_the_page_s_path(copied):
    done = warm_python.run("-m", "experiments.report", f"--workdir={copied}")
    assert done.returncode == 0, done.stderr
    path = pathlib.Path(done.stdout.split()[-1])
    assert path == copied / "report" / "index.html"
    assert path.stat().st_size > 10_000
    assert os.listdir(path.parent) == ["index.html"]
