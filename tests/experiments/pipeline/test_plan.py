"""What the pipeline decides from configs alone, and from files that are not videos."""

import dataclasses
import json
import os

import numpy as np
import pytest
from absl import app
from PIL import Image

from experiments.pipeline.actions import size_of
from experiments.pipeline.choice import Choice
from experiments.pipeline.fingerprints import Fingerprints, describe_changes, flatten
from experiments.pipeline.registry import make_stages
from experiments.pipeline.runner import describe_plan, is_unfinished, run_pipeline
from experiments.run_pipeline import parse_seeds
from spl_tf.clips import ClipDataset
from spl_tf.labels import LabelMap
from tests.experiments.pipelines import reasons, small_config


@pytest.mark.parametrize("act", [run_pipeline, describe_plan])
def test_a_workdir_that_cannot_be_the_experiments_is_refused(act, tmp_path):
    config, path = small_config("none"), tmp_path / "config.json"
    with pytest.raises(ValueError, match="workdir is gs://bucket/run, expected a"):
        act(config, "gs://bucket/run")
    path.write_text(json.dumps({"config": {}, "label_names": ["a", "b"]}))
    with pytest.raises(ValueError, match="is the workdir of a training run"):
        act(config, str(tmp_path))
    path.write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        act(config, str(tmp_path))
    assert os.listdir(tmp_path) == ["config.json"]


def test_seeds_that_are_no_numbers_are_refused():
    assert parse_seeds(["0", "12"]) == (0, 12)
    with pytest.raises(app.UsageError, match="--seeds: 'a' is no number"):
        parse_seeds(["0", "a"])


def test_a_choice_of_nothing_is_refused(tmp_path):
    config = small_config("none", "spl_b")
    with pytest.raises(ValueError, match="no stage is called 'pre-train'"):
        run_pipeline(config, str(tmp_path / "run"), stages=["pre-train"])
    with pytest.raises(ValueError, match="row 'weak' is none of the config's"):
        run_pipeline(config, str(tmp_path / "run"), rows=["weak"])


def digest(stage, name):
    """What a stage's fingerprint says about one of its inputs."""
    only = dataclasses.replace(stage, inputs={name: stage.inputs[name]})
    return Fingerprints("").of(only, {})[f"inputs.{name}"]


def stage_of(config, name):
    return next(stage for stage in make_stages(config, [0]) if stage.name == name)


def test_the_files_that_a_recipe_names_are_compared_by_content(tmp_path):
    weights, counts, run = (tmp_path / name for name in ("a.h5", "confusion", "run"))
    counts.mkdir()
    run.mkdir()

    def write(number):
        weights.write_bytes(b"%d" % number)
        (counts / "counts.npz").write_bytes(b"%d" % number)
        np.savez(run / "weights.npz", kernel=np.float32(number))

    config = small_config("none", "spl_b")
    config.pretrain.init.inflate = str(weights)
    config.pretrain.loss.transition = str(counts)
    config.scratch.init.checkpoint = str(run)
    pretrain = stage_of(config, "seed_0/spl_b/pretrain")
    read = [(pretrain, "inflate"), (pretrain, "transition")]
    read.append((stage_of(config, "seed_0/teacher"), "checkpoint"))
    found = []
    for number in (1, 2, 1):
        write(number)
        found.append([digest(*each) for each in read])
    assert found[0] == found[2]
    assert all(one != two for one, two in zip(*found[:2], strict=True))
    (counts / "counts.npz").rename(counts / "other.npz")
    assert digest(pretrain, "transition") != found[2][1]

    finetune = stage_of(config, "seed_0/spl_b/finetune")
    assert finetune.inputs["checkpoint"].path == "seed_0/runs/spl_b_pretrain"
    (run / "weights.npz").write_bytes((run / "weights.npz").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"weights\.npz cannot be read .*remove"):
        digest(*read[2])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (
            Choice(stages=("pretrain",)),
            ["seed_0/spl_b/pretrain", "seed_1/spl_b/pretrain"],
        ),
        (Choice(stages=("seed_1/spl_b/*",), seeds=(1,)), 4),
        # Of no other row, so without web clips and what the teacher says of them.
        (
            Choice(rows=("none",), seeds=(0,)),
            [
                "seed_0/convert_target_train",
                "seed_0/convert_target_val",
                "seed_0/none/evaluate",
                "seed_0/render",
                "seed_0/teacher",
            ],
        ),
        (Choice(rows=("spl_b",), seeds=(0,)), 10),
        (Choice(), 22),
    ],
)
def test_stages_are_chosen_by_name_pattern_row_and_seed(choice, expected):
    stages = make_stages(small_config("none", "spl_b"), [0, 1])
    chosen = choice.of(stages)
    if isinstance(expected, int):
        assert len(chosen) == expected
    else:
        assert sorted(chosen) == expected


def test_changes_are_named_from_what_to_what():
    former = flatten({"a": {"b": 1, "c": [1, 2]}, "d": "x"}, "settings.")
    current = former | {"settings.a.b": 2, "settings.e": True}
    assert describe_changes(former, former) == ""
    assert describe_changes(former, current) == (
        "settings.a.b was 1, is 2; settings.e was absent, is True"
    )
    digests = {"inputs.train": "0123456789abcdef"}, {"inputs.train": "fedcba9876543210"}
    assert describe_changes(*digests) == "inputs.train changed (01234567 to fedcba98)"


def write_images(folder, names, per_class, rng):
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            grey = rng.integers(0, 60, (32, 32, 3)) + 90 * label
            image = Image.fromarray(grey.astype(np.uint8))
            image.save(folder / name / f"{number}.png")


def image_config(folder):
    """An experiment of folders of images, without a world."""
    (folder / "classes.txt").write_text("black\nwhite\n")
    config = small_config("none", "spl_m:3")
    config.world = None
    config.conversion = {"num_shards": 1, "short_side": 0}
    config.data.classes = str(folder / "classes.txt")
    for split, count in (("target_train", 8), ("target_val", 4), ("web", 8)):
        rng = np.random.default_rng(count)
        write_images(folder / split, ["black", "white"], count, rng)
        config.data[split].update(kind="images", root=str(folder / split))
    for phase in ("scratch", "pretrain", "finetune"):
        config[phase].data.update(num_frames=1, stride=1)
    return config


def test_another_image_in_a_folder_is_noticed(tmp_path):
    convert = stage_of(image_config(tmp_path), "convert_web")
    former, path = digest(convert, "images"), tmp_path / "web/black/0.png"
    path.rename(path.with_name("new.png"))
    assert digest(convert, "images") != former
    path.with_name("new.png").rename(path)
    assert digest(convert, "images") == former
    path.write_bytes(path.read_bytes() + b"0")
    assert digest(convert, "images") != former


def test_the_same_manifest_in_another_folder_names_other_files(tmp_path):
    config = image_config(tmp_path)
    for root, expected in (("", tmp_path / "a"), (str(tmp_path), tmp_path)):
        config.data.web.update(manifest=str(tmp_path / "a/web.csv"), root=root)
        convert = stage_of(config, "convert_web")
        assert convert.settings["root"] == str(expected)


def test_a_dry_run_says_what_cannot_run_and_does_not_plan_on_it(tmp_path):
    config = image_config(tmp_path)
    (tmp_path / "web.csv").write_bytes(b"video,label\n\xff.png,black\n")
    config.data.web.manifest = str(tmp_path / "web.csv")
    lines = describe_plan(config, str(tmp_path / "run")).splitlines()
    blocked = dict(line.split(" cannot run: ") for line in lines if " cannot " in line)
    rows = ("build_labels", "pretrain", "finetune", "evaluate")
    after = ["seed_0/predict", *(f"seed_0/spl_m_3/{name}" for name in rows)]
    assert list(blocked) == ["convert_web", *after]
    assert "web.csv, line 2: not UTF-8" in blocked["convert_web"]
    assert blocked["seed_0/predict"] == "it needs convert_web, which is failed"
    assert any(line.startswith("4 of 10 stages would run") for line in lines)


def test_the_disk_that_a_dry_run_tells_is_what_a_conversion_takes(
    finished_pipeline, tmp_path
):
    world = os.path.join(finished_pipeline.workdir, "seed_0/world")
    config = small_config("weak")
    config.world = None
    config.data.classes = os.path.join(world, "classes.txt")
    for split in ("target_train", "target_val", "web"):
        config.data[split].manifest = os.path.join(world, f"{split}.csv")
    # The videos have 0.8 s and 24 x 24 pixels, which grow to 100 x 100.
    config.conversion.update(clip_seconds=10.0, short_side=100)
    workdir = str(tmp_path / "run")
    lines = describe_plan(config, workdir).splitlines()
    told = next(line for line in lines if line.startswith("convert_web "))
    amount, unit = told.split()[-2:]
    run_pipeline(config, workdir, stages=["convert_web"])
    written = size_of(os.path.join(workdir, "clips/web"))
    assert 0.5 < float(amount) * {"kB": 1e3, "MB": 1e6}[unit] / written < 2


def test_chosen_stages_that_cannot_run_are_unfinished_and_others_are_not(tmp_path):
    config, lines = small_config("none", "spl_b"), []
    results = run_pipeline(
        config, str(tmp_path / "run"), stages=["evaluate"], echo=lines.append
    )
    unfinished = [each["stage"] for each in results["stages"] if is_unfinished(each)]
    assert unfinished == ["seed_0/none/evaluate", "seed_0/spl_b/evaluate"]
    assert [line.split(" did not run: ")[0] for line in lines] == unfinished


def test_images_on_disk_go_the_same_way_and_are_converted_once_for_all_seeds(tmp_path):
    config = image_config(tmp_path)
    config.seeds = (0, 1)
    workdir = str(tmp_path / "run")
    results = run_pipeline(config, workdir, stages=["convert_*", "seed_0/*"])
    done = list(reasons(results, "done"))
    shared = ["convert_target_train", "convert_web", "convert_target_val"]
    assert [name for name in done if not name.startswith("seed_0/")] == shared
    assert not reasons(results, "failed")
    none, spl_m = results["rows"]
    assert (none["seed"], spl_m["seed"], spl_m["strategy"]) == (0, 0, "spl_m:3")
    label_map = LabelMap.load(os.path.join(workdir, spl_m["label_map"]))
    assert (label_map.strategy, label_map.requested_num_labels) == ("spl_m", 3)
    assert spl_m["labels"] == label_map.num_labels
    for seed in results["seeds"]:
        assert seed["web"] == "clips/web"
        assert seed["world"] is None
    web = ClipDataset(os.path.join(workdir, "clips/web"))
    assert (len(web), set(web.index.frames)) == (16, {1})


def test_a_path_that_is_spelled_otherwise_is_no_change():
    former = {"settings.init.inflate": os.path.abspath("weights/a.npz")}
    current = {"settings.init.inflate": "./weights//a.npz"}
    assert describe_changes(former, current) == ""
    assert describe_changes({"inputs.a": "b/"}, {"inputs.a": "b"}) != ""


def test_a_conversion_runs_again_when_its_files_were_replaced(tmp_path):
    config, workdir = image_config(tmp_path), str(tmp_path / "run")
    run_pipeline(config, workdir, stages=["convert_web"], echo=print)
    image = tmp_path / "web/black/0.png"
    content, before = image.read_bytes(), image.stat().st_mtime_ns

    def planned():
        text = describe_plan(config, workdir, stages=["convert_web"])
        return "".join(line for line in text.splitlines() if "convert_web" in line)

    config.data.web.root = os.path.relpath(tmp_path / "web") + "/"
    assert planned() == ""
    image.write_bytes(content)  # the same bytes, at another time
    os.utime(image, ns=(before, before + 1))
    assert "size or time of source files changed: black/0.png" in planned()
    image.unlink()
    image.with_name("1.png").replace(image)
    assert "inputs.images changed" in planned()
