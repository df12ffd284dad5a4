"""What configs of the experiment decide, and which are refused."""

import pathlib

import pytest

from experiments.ig65m.config import (
    check_config,
    chosen_subsets,
    default_config,
    parse_row,
    parse_subset,
    recipe,
)
from experiments.ig65m.configs import studies, synthetic
from experiments.pipeline.registry import make_stages
from experiments.pipeline.runner import run_pipeline
from experiments.synthetic import render
from experiments.synthetic.render import TARGET_TRAIN, TARGET_VAL
from tests.experiments.ig65m.small import shrink, small_config


def changed(**changes):
    """A config with some keys changed; dots are written as two underscores."""
    config = small_config("scratch", "noun")
    config.update_from_flattened_dict(
        {key.replace("__", "."): value for key, value in changes.items()}
    )
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ("nothing",)}, "'nothing' is none of config.rows"),
        ({"strategies": ()}, "config.strategies is empty"),
        ({"rows__noun__subset": "all"}, "'all' is none of config.subsets"),
        ({"subsets__noun__space": "adverb"}, "'adverb' is none of config.spaces"),
        (
            {"subsets__noun__sampling": "even"},
            "subsets.noun: sampling is 'even'",
        ),
        ({"spaces__noun__classes": ""}, "config.spaces.noun needs classes, or verbs"),
        ({"metric": "top_5"}, "config.metric is 'top_5', not one of"),
        ({"posts__min_videos": 0}, "config.posts.min_videos is 0, expected 1 or more"),
        ({"posts__files": ("a.csv",)}, "config.world is set, and so is config.posts"),
        ({"tuning__learning_rates": (0.1, 0.1)}, "rates is .*, expected different"),
        ({"tuning__held_out": 1.0}, "config.tuning.held_out is 1.0"),
        ({"linear__strength": -1.0}, "config.linear.strength is -1.0, below 0"),
        ({"pretrain__data__train": "clips"}, "config.pretrain .* names 'clips'"),
        ({"world": render.world_config("fa")}, "has no posts; expected world 'hasht"),
    ],
)
def test_a_wrong_config_is_refused_before_any_work(changes, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError, KeyError), match=message):
        run_pipeline(changed(**changes), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"share": 0.2}, "config.rows.x.share is unknown"),
        ({"inflate": True}, "config.rows.x.inflate is of pre-training"),
        ({"changes": {"tune": {}}}, "config.rows.x.changes.tune is unknown"),
        ({"changes": {"scratch": {"data": {"size": 1}}}}, "changes.scratch: .*size"),
    ],
)
def test_a_wrong_row_is_refused(row, message):
    config = small_config("scratch")
    config.rows.x = row
    config.strategies = ("scratch", "x")
    with pytest.raises(ValueError, match=message):
        check_config(config)


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ({"share": 0.5}, "config.subsets.noun.share is unknown"),
        ({"num_labels": "3,6"}, r"num_labels is \[3, 6\], expected one number"),
        ({"like": "target_100", "num_labels": "3"}, "like is 'target_100'"),
    ],
)
def test_a_wrong_subset_is_refused(subset, message):
    config = small_config("noun")
    config.subsets.noun = {"space": "noun"} | subset
    with pytest.raises(ValueError, match=message):
        check_config(config)


def test_pretraining_draws_a_label_of_a_video_and_evens_classes_out():
    config = synthetic.get_config()
    settings = recipe(config, "pretrain", parse_row(config, "noun"), seed=7)
    (source,) = settings.data.sources.values()
    assert source.labels.kind == "one_of"
    assert not source.labels.redraw
    assert source.resampling.power == 0.5
    assert settings.seed == 7


def test_all_rows_learn_in_as_many_steps():
    config = synthetic.get_config()
    steps = set()
    for name in config.strategies:
        row = parse_row(config, name)
        schedules = [recipe(config, phase, row, 0).schedule for phase in row.phases]
        steps.add(sum(s.warmup.steps + s.length.steps for s in schedules))
    assert steps == {synthetic.STEPS + synthetic.FINETUNING}


@pytest.mark.parametrize("name", ["", *studies.STUDIES])
def test_studies_are_valid_and_on_the_first_seeds(name):
    config = studies.get_config(name)
    check_config(config)
    assert config.seeds == (10, 11, 12)
    for table in config.tables:
        assert set(table["paper"].get("rows", {})) <= set(table["rows"])


def test_an_unknown_study_is_refused():
    with pytest.raises(ValueError, match="'strides', expected one of sampling"):
        studies.get_config("strides")


def test_what_a_subset_is_like_is_chosen_before_it():
    names = [subset.name for subset in chosen_subsets(studies.get_config("length"))]
    assert names.index("long") < names.index("short")
    config = small_config("noun")
    config.subsets.noun.like = "target_100"
    config.subsets.noun.num_videos = 0
    config.subsets.noun.sampling = "random"
    assert [subset.name for subset in chosen_subsets(config)] == ["target_100", "noun"]
    stages = {stage.name: stage for stage in make_stages(config, [0])}
    assert "seed_0/convert/target_100" not in stages
    found = stages["seed_0/make_subset/noun"].inputs["like"].path
    assert found == "seed_0/subsets/target_100/manifest.csv"


def real_config(folder):
    """Posts and a target set of the user's own, in a folder."""
    config = default_config()
    config.data.classes = str(folder / "classes.txt")
    for split in (TARGET_TRAIN, TARGET_VAL):
        config.data[split].manifest = str(folder / f"{split}.csv")
        config.data[split].root = str(folder)
    config.posts.files = (str(folder / "posts.csv"), str(folder / "more.jsonl"))
    config.posts.root = str(folder)
    config.spaces.target.classes = str(folder / "classes.txt")
    config.spaces.sports = {
        "manifest": str(folder / "sports.csv"),
        "classes": str(folder / "sports.txt"),
    }
    config.subsets.all = {"space": "target"}
    config.subsets.some = {"space": "target", "num_videos": 100}
    config.subsets.sports = {"space": "sports"}
    config.rows.update({name: {"subset": name} for name in ("all", "some", "sports")})
    config.strategies = ("scratch", "all", "some", "sports")
    return config


def test_posts_of_the_user_are_labelled_and_converted_once_for_all_seeds(tmp_path):
    config = real_config(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no .*classes\.txt"):
        check_config(config)
    for name in ("classes.txt", "posts.csv", "more.jsonl", "sports.csv", "sports.txt"):
        (tmp_path / name).touch()
    for split in (TARGET_TRAIN, TARGET_VAL):
        pathlib.Path(config.data[split].manifest).touch()
    check_config(config)
    names = [stage.name for stage in make_stages(config, [3, 4])]
    assert [n for n in names if not n.startswith("seed_")] == [
        "convert_target_train",
        "convert_target_val",
        "make_queries/target",
        "make_manifest/target",
        "make_subset/some",
        "convert/all",
        "convert/some",
        "convert/sports",
        "report",
    ]
    stages = {stage.name: stage for stage in make_stages(config, [3])}
    posts = stages["make_manifest/target"].inputs
    assert posts["posts1"].path == str(tmp_path / "more.jsonl")
    assert stages["convert/sports"].settings["root"] == str(tmp_path)
    assert stages["convert/all"].inputs["manifest"].path == (
        "spaces/target/manifest.csv"
    )
    assert parse_subset(config, "all").is_whole


@pytest.mark.slow
def test_tiny_studies_have_all_rows(tmp_path):
    config = shrink(studies.get_config())
    config.world.posts = 600
    for name, settings in config.subsets.items():
        if "labels" in name or "long" in name:
            settings.update({"num_videos": 4} if settings.get("num_videos") else {})
    results = run_pipeline(config, str(tmp_path / "run"), threads=1)
    assert [row["strategy"] for row in results["rows"]] == list(config.strategies)
