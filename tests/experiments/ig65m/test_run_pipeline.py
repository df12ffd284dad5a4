"""From rendered posts to the table, at a tiny size."""

import collections
import csv
import json
import os

import numpy as np
import pytest

from experiments.ig65m.configs import studies
from experiments.ig65m.results import (
    LINEAR,
    curves,
    format_table,
    half_of,
    log_linear_fit,
)
from experiments.pipeline.choice import Choice
from experiments.pipeline.registry import make_stages
from experiments.pipeline.runner import describe_plan, run_pipeline
from spl_tf.clips import ClipDataset
from tests.experiments.ig65m.small import small_config
from tests.experiments.pipelines import reasons

ROWS = ("scratch", "verb_noun", "r3d_frames")
RATE = 0.02  # the only one that is tried, not that of the recipe


def make_config():
    config = small_config()
    frames = studies.get_config("frames").rows.r3d_frames
    frames.changes.pretrain.schedule = config.pretrain.schedule
    config.rows.r3d_frames = frames
    config.strategies = ROWS
    config.tuning.update(learning_rates=(RATE,), held_out=0.5)
    config.tables = (
        {
            "title": "A table",
            "text": "Of some rows.",
            "rows": ROWS,
            "reference": "scratch",
            "paper": {
                "source": "Table 9",
                "rows": {"scratch": {"top_1": 0.123}, "verb_noun": {"linear": 0.456}},
            },
            "figure": "videos",
        },
        {
            "title": "Bars",
            "text": "",
            "rows": ROWS,
            "reference": "scratch",
            "paper": {},
            "figure": "bars",
        },
    )
    config.report = True
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = make_config()
    workdir = str(tmp_path_factory.mktemp("ig65m") / "run")
    return config, workdir, run_pipeline(config, workdir, threads=1)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_stage_is_done_and_up_to_date_afterwards(finished):
    config, workdir, results = finished
    names = [stage.name for stage in make_stages(config, [0])]
    assert sorted(reasons(results, "done")) == sorted(names)
    again = run_pipeline(config, workdir, threads=1)
    assert sorted(reasons(again, "skipped")) == sorted(names)
    assert again["rows"] == results["rows"]
    assert "0 of " in describe_plan(config, workdir)


def test_the_plan_of_a_fresh_workdir_knows_no_videos_yet(tmp_path):
    plan = describe_plan(make_config(), str(tmp_path / "run"))
    assert "seed_0/convert/verb_noun" in plan


def test_labels_are_those_of_hashtags_and_posts_are_counted(finished):
    _, workdir, results = finished
    spaces = {space["space"]: space for space in results["seeds"][0]["spaces"]}
    assert set(spaces) == {"target", "verb_noun"}
    for name, space in spaces.items():
        folder = f"{workdir}/seed_0/spaces/{name}"
        counts = collections.Counter()
        for row in rows_of(f"{folder}/manifest.csv"):
            more = (row.get("more_labels") or "").split("|")
            counts.update(filter(None, [row["label"], *more]))
        assert space["of_label"] == sorted(counts.values(), reverse=True)
        left_out = collections.Counter(
            row["reason"] for row in rows_of(f"{folder}/left_out.csv")
        )
        assert space["left_out"] == left_out
        with open(f"{workdir}/seed_0/world/posts.jsonl", "rb") as file:
            assert space["posts"] == len(file.readlines())


def test_a_subset_is_of_its_space_and_what_is_trained_on(finished):
    config, workdir, results = finished
    chosen = rows_of(f"{workdir}/seed_0/subsets/verb_noun/manifest.csv")
    assert len(chosen) == config.subsets.verb_noun.num_videos
    known = rows_of(f"{workdir}/seed_0/spaces/verb_noun/manifest.csv")
    assert {row["video"] for row in chosen} <= {row["video"] for row in known}
    clips = ClipDataset(f"{workdir}/seed_0/clips/posts_verb_noun")
    row = results["rows"][1]
    assert row["videos"] == len(clips) <= len(chosen)
    with open(f"{workdir}/seed_0/spaces/verb_noun/classes.txt") as file:
        assert clips.info.class_names == file.read().splitlines()
    assert row["labels"] == len(clips.info.class_names)
    with open(f"{workdir}/{row['pretrained']}/config.json") as file:
        source = json.load(file)["config"]["data"]["sources"]["posts"]
    assert source["labels"]["kind"] == "one_of"


def test_a_rate_is_searched_for_where_there_is_a_pretraining(finished):
    _, workdir, results = finished
    scratch, *pretrained = results["rows"]
    assert scratch["learning_rate"] is None
    for row in pretrained:
        assert row["learning_rate"] == RATE
        assert row["run"].endswith("/winner")
        assert os.path.exists(f"{workdir}/{row['run']}/weights.npz")


def test_an_inflated_row_starts_from_the_frames_network(finished):
    _, workdir, results = finished
    row = results["rows"][2]
    with open(f"{workdir}/{row['run']}/config.json") as file:
        config = json.load(file)["config"]
    assert config["init"]["inflate"].endswith("r3d_frames_pretrain/weights.npz")
    assert config["model"]["name"] == "r3d_18"
    with np.load(f"{workdir}/{row['pretrained']}/weights.npz") as arrays:
        assert arrays["stem/0"].shape[0] == 1


def test_the_table_has_both_measures_of_every_row(finished):
    _, workdir, results = finished
    assert [row["strategy"] for row in results["rows"]] == list(ROWS)
    assert [bool(row[LINEAR]) for row in results["rows"]] == [False, True, True]
    text = format_table(results)
    for name in ROWS:
        assert f"\n{name} " in text
    with open(os.path.join(workdir, "report", "index.html")) as file:
        page = file.read()
    assert "verb_noun fine-tuned" not in page  # the paper says nothing of it
    assert "scratch fine-tuned 12.3 %; verb_noun linear classifier 45.6 %" in page
    for chart in ("figure-0", "figure-1", "cumulative", "accuracy-3"):
        assert f'data-chart="{chart}"' in page
    for reason in ("broken", "no hashtag"):
        assert reason in page or reason not in str(results["seeds"])


def test_chosen_rows_take_their_own_spaces_along():
    stages = make_stages(small_config(), [0])
    chosen = Choice(rows=("noun",)).of(stages)
    own = ("make_queries/noun", "make_subset/noun", "convert/noun", "noun/pretrain")
    assert {f"seed_0/{name}" for name in own} <= chosen
    assert not [name for name in chosen if "verb" in name or "target_100" in name]


def test_a_log_linear_fit_is_what_least_squares_give():
    sizes, values = [10, 100, 1000], [0.5, 0.6, 0.9]
    slope, start = log_linear_fit(sizes, values)
    # Deviations of the logarithms are -1, 0, 1.
    assert slope == pytest.approx((0.9 - 0.5) / 2)
    assert start + 2 * slope == pytest.approx(np.mean(values))
    assert log_linear_fit([10, 10], [0.1, 0.2]) is None


def test_curves_are_by_sampling_and_ascending():
    rows = [
        {
            "strategy": name,
            "seed": seed,
            "space": "target",
            "sampling": sampling,
            "videos": videos,
            "finetuned": {"top_1": share, "mAP": 0.0},
            "linear": None,
        }
        for name, sampling, videos, share in (
            ("more", "random", 200, 0.7),
            ("few", "random", 100, 0.6),
            ("tail", "tail_preserving", 100, 0.8),
        )
        for seed in (0, 1)
    ]
    table = {"rows": ["more", "few", "tail"], "figure": "videos"}
    found = curves(table, {"rows": rows, "metric": "top_1"})
    assert found == {
        ("finetuned", "random"): [(100, [0.6, 0.6]), (200, [0.7, 0.7])],
        ("finetuned", "tail_preserving"): [(100, [0.8, 0.8])],
    }


def test_half_of_the_videos_have_a_share_of_the_labels():
    assert half_of([5, 3, 1, 1]) == 1 / 4
    assert half_of([4, 3, 2, 1]) == 2 / 4
