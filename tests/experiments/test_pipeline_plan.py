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
from experiments.pipeline.config import check_config, parse_row
from experiments.pipeline.fingerprints import Fingerprints, describe_changes, flatten
from experiments.pipeline.results import format_table
from experiments.pipeline.runner import describe_plan, is_unfinished, run_pipeline
from experiments.pipeline.stages import make_stages, needs
from experiments.run_pipeline import parse_seeds
from spl_tf.clips import ClipDataset
from spl_tf.labels import LabelMap
from tests.experiments.pipelines import reasons, small_config


def changed(**changes):
    """A config with some keys changed; dots are written as two underscores."""
    config = small_config("none", "spl_b")
    config.update_from_flattened_dict(
        {key.replace("__", "."): value for key, value in changes.items()}
    )
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ("none", "spl_x")}, "'spl_x' is no strategy; known are"),
        ({"strategies": ("weak:3",)}, "only spl_m and spl_d take a number"),
        ({"seeds": (1, 1)}, r"config.seeds is \(1, 1\), expected different"),
        ({"seeds": (1, 2**33)}, r"8589934592\), expected different .* 0 to 4294967295"),
        ({"pretrain__model__name": "r3d"}, "config.pretrain: config.model.name is"),
        ({"finetune__data__train": "clips"}, "config.finetune.data names 'clips'"),
        ({"evaluate__protocol": "linear"}, "config.evaluate.protocol is 'linear'"),
        ({"predict__num_crops": 2}, "config.predict.num_crops is 2"),
        ({"conversion__jpeg_quality": 0}, "config.conversion.*jpeg_quality is 0"),
        ({"world__crf": 99}, "crf: got 99"),
        ({"data__classes": "a.txt"}, "config.world is set, and so is config.data"),
        ({"data__web__kind": "images"}, "config.data.web.kind is 'images', expected"),
        ({"conversion": {"exclude_ids": "no.txt"}}, "exclude_ids in .*: there is no"),
        ({"finetune__init__inflate": "imagenet"}, "config.finetune.init: checkpoint"),
        (
            {"pretrain_from_teacher": True, "pretrain__init__inflate": "imagenet"},
            "config.pretrain.init: .* config.pretrain_from_teacher is set",
        ),
    ],
)
def test_a_wrong_config_is_refused_before_any_work(changes, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_pipeline(changed(**changes), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


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


def test_an_unknown_key_is_refused():
    config = small_config("none")
    config.stratgies = ("none",)
    with pytest.raises(ValueError, match=r"config\.stratgies is unknown"):
        check_config(config)


def test_a_choice_of_nothing_is_refused(tmp_path):
    config = small_config("none", "spl_b")
    with pytest.raises(ValueError, match="no stage is called 'pre-train'"):
        run_pipeline(config, str(tmp_path / "run"), stages=["pre-train"])
    with pytest.raises(ValueError, match="strategy 'weak' is none of the config's"):
        run_pipeline(config, str(tmp_path / "run"), strategies=["weak"])


def names(stages):
    return [stage.name for stage in stages]


def test_the_teacher_is_the_row_none_or_has_a_recipe_of_its_own():
    config = small_config("none")
    assert "seed_0/none/scratch" not in names(make_stages(config, [0]))
    config.teacher = config.scratch.copy_and_resolve_references()
    config.teacher.schedule.length.steps = 3
    stages = {stage.name: stage for stage in make_stages(config, [0])}
    assert stages["seed_0/teacher"].settings["schedule"]["length"]["steps"] == 3
    assert stages["seed_0/none/scratch"].settings["schedule"]["length"]["steps"] == 6
    assert needs(list(stages.values()))["seed_0/none/evaluate"] == [
        "seed_0/convert_target_val",
        "seed_0/none/scratch",
    ]


def test_pretraining_can_start_from_the_teacher():
    config = small_config("weak")
    config.pretrain_from_teacher = True
    check_config(config)
    stages = {stage.name: stage for stage in make_stages(config, [0])}
    start = stages["seed_0/weak/pretrain"].inputs["checkpoint"]
    assert (start.kind, start.path) == ("weights", "seed_0/runs/none")
    needed = needs(list(stages.values()))["seed_0/weak/pretrain"]
    assert "seed_0/teacher" in needed


def test_rows_share_data_and_teacher_and_differ_in_what_they_change():
    config = small_config("weak", "data_parameters", "spl_m:36")
    config.curve = ("spl_m:36", "spl_m:14")
    loss = {"loss": {"name": "data_parameters"}}
    config.variants.data_parameters = {"labels": "weak", "pretrain": loss}
    check_config(config)
    stages = {stage.name: stage for stage in make_stages(config, [4, 5])}
    assert sum(name.endswith("/teacher") for name in stages) == 2
    assert sum(name.endswith("/pretrain") for name in stages) == 2 * 4
    weak = stages["seed_4/weak/pretrain"].settings
    other = stages["seed_4/data_parameters/pretrain"].settings
    assert (weak["loss"]["name"], other["loss"]["name"]) == (
        "cross_entropy",
        "data_parameters",
    )
    assert weak["seed"] == other["seed"] == 4  # the same initial weights
    built = stages["seed_5/spl_m_36/build_labels"]
    assert built.settings == {"strategy": "spl_m", "num_labels": 36}
    assert parse_row(config, "spl_m:14").num_labels == 14


def test_two_rows_of_one_folder_are_refused():
    config = small_config("none", "spl_m:36", "spl_m_36")
    config.variants.spl_m_36 = {"labels": "weak"}
    message = "rows 'spl_m:36' and 'spl_m_36' would both be seed_0/spl_m_36/"
    with pytest.raises(ValueError, match=message):
        make_stages(config, [0, 1])


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
        (Choice(rows=("none",), seeds=(0,)), 7),
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


def test_the_table_of_several_seeds_has_means_and_standard_errors():
    row = {"labels": 24, "clips": 10, "kept": 1.0, "top_5": 1.0, "probe_top_1": None}
    rows = [
        {"seed": seed, "strategy": "spl_b", "top_1": share} | row
        for seed, share in enumerate((0.8, 0.9, 0.7, 0.6))
    ]
    results = {
        "strategies": ["spl_b", "weak"],
        "seeds": [{"noise_ratio": 0.5}, {"noise_ratio": None}],
        "rows": rows,
    }
    *_, header, line = format_table(results).splitlines()
    assert header.split()[-1] == "seeds"
    # Standard deviation of n - 1, over the square root of n.
    error = np.std([80, 90, 70, 60], ddof=1) / 2
    assert f"75.0 ± {error:.1f}%" in line
    assert line.split()[-1] == "4"


def test_the_table_of_several_seeds_has_differences_seed_by_seed():
    row = {"labels": 24, "clips": 10, "kept": 1.0, "top_5": 1.0, "probe_top_1": None}
    shares = {"weak": {3: 0.5, 4: 0.8, 5: 0.1}, "spl_b": {5: 0.2, 4: 0.7, 3: 0.9}}
    results = {
        "strategies": ["none", "weak", "spl_b"],
        "seeds": [{"noise_ratio": None}],
        "rows": [
            {"seed": seed, "strategy": name, "top_1": share} | row
            for name, by_seed in shares.items()
            for seed, share in by_seed.items()
        ],
    }
    header, weak, spl_b = format_table(results).splitlines()
    assert "spl_b ahead by" in header
    gaps = [40, -10, 10]
    error = np.std(gaps, ddof=1) / np.sqrt(3)
    assert f"+{np.mean(gaps):.1f} ± {error:.1f} (2 of 3)" in weak
    assert "of 3)" not in spl_b


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
