"""The configs of the paper's experiments: all load, and tiny ones run."""

import csv
import importlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.pipeline.runner import run_pipeline
from experiments.spl.config import SPLITS, check_config
from experiments.spl.configs import controlled_noisy_web_labels, phases, pipelines
from spl_tf import training
from spl_tf.clips import ClipDataset
from spl_tf.labels import LabelMap
from tests.experiments.pipelines import reasons
from tests.training.run_files import ROOT

WITH_WEB = ("kinetics200", "soccernet", "clothing1m")
DATASETS = (*WITH_WEB, "hmdb51", "ucf101")
TFDS_IMAGES = "controlled_noisy_web_labels"
STRATEGIES = (*phases.PRETRAININGS, "spl_m:24", "spl_b,anchor", "weak,anchor")


def get_config(dataset, name, *argument):
    module = importlib.import_module(f"experiments.spl.configs.{dataset}.{name}")
    return module.get_config(*argument)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of the commands; makes what a config reads there."""
    monkeypatch.chdir(tmp_path)

    def make_folders(*paths):
        for path in filter(None, paths):
            pathlib.Path(path).mkdir(parents=True, exist_ok=True)

    return make_folders


def check_training(config, place):
    """Checks a config whose data and start are there."""
    data = config.data
    place(data.train, data.validation, data.label_map, config.init.checkpoint)
    training.check_config(config)


@pytest.mark.parametrize("smoke", ["", ",smoke"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_strategy_of_every_dataset_has_valid_configs(dataset, smoke, place):
    extra = ("forward_correction",) if dataset == "clothing1m" else ()
    for strategy in (*STRATEGIES, *extra):
        pretrain = get_config(dataset, "pretrain", strategy + smoke)
        finetune = get_config(dataset, "finetune", strategy + smoke)
        check_training(pretrain, place)
        check_training(finetune, place)
        folder = strategy.replace(":", "_").replace(",", "_")
        assert finetune.init.checkpoint.endswith(f"/seed_0/runs/{folder}_pretrain")
        labels = {"data_parameters": "weak", "forward_correction": "weak"}
        labels = labels.get(strategy, folder.removesuffix("_anchor"))
        assert pretrain.data.label_map.endswith(f"/labels/{labels}/label_map")
        assert ("_smoke/" in pretrain.data.train) == bool(smoke)
    teacher = get_config(dataset, "teacher", smoke)
    check_training(teacher, place)
    assert teacher == get_config(dataset, "finetune", phases.IMAGENET + smoke)


@pytest.mark.parametrize("dataset", DATASETS)
def test_pipelines_have_valid_configs_and_the_papers_rows(dataset, place):
    for argument in ("", "smoke", "anchor,smoke"):
        if dataset not in WITH_WEB and "anchor" in argument:
            continue
        config = get_config(dataset, "pipeline", argument)
        for row in config.variants.values():
            place(row.get("scratch", {}).get("init", {}).get("checkpoint"))
        if config.world is None:
            with pytest.raises(FileNotFoundError, match=r"classes\.txt"):
                check_config(config)
            make_data_files(config)
        check_config(config)
        assert set(config.paper.rows) <= set(config.strategies)
        assert ("spl_b_anchor" in config.strategies) == ("anchor" in argument)


def make_data_files(config):
    os.makedirs(os.path.dirname(config.data.classes), exist_ok=True)
    splits = (config.data[name].manifest for name in SPLITS)
    for path in filter(None, (config.data.classes, *splits)):
        pathlib.Path(path).touch()
    for name in SPLITS:
        if config.data[name].root:
            pathlib.Path(config.data[name].root).mkdir(exist_ok=True)


@pytest.mark.parametrize("argument", ["", "0", "80", "20,smoke"])
def test_controlled_noisy_web_labels_has_valid_configs(argument):
    config = controlled_noisy_web_labels.get_config(argument)
    check_config(config)
    if "smoke" not in argument:
        assert config.data.web.split == ("train_00" if argument == "0" else "train_80")


def test_pretraining_and_pipeline_have_the_same_recipe():
    config = get_config("kinetics200", "pipeline", "")
    single = get_config("kinetics200", "pretrain", "data_parameters")
    assert single.loss.name == "data_parameters"
    for name in ("model", "augmentation", "optimizer", "schedule", "init"):
        assert single[name] == config.pretrain[name]


def test_the_papers_schedules_are_those_of_section_4_2():
    # lr(e) = 0.04 + 0.36 e / 10 for e < 10, else 0.2 (1 + cos(pi (e - 10) / 150)).
    settings = get_config("kinetics200", "pretrain", "spl_b")
    peak, start = settings.optimizer.learning_rate, settings.schedule.warmup_start
    schedule = training.WarmupSchedule(peak, start * peak, 100, 1500, "cosine")
    for epoch, expected in ((0, 0.04), (5, 0.22), (10, 0.4), (85, 0.2), (160, 0.0)):
        assert float(schedule(10 * epoch)) == pytest.approx(expected, abs=1e-6)
    assert settings.schedule.warmup.epochs == 10
    assert settings.schedule.length.epochs == 150
    finetune = get_config("kinetics200", "finetune", "spl_b")
    assert finetune.schedule.length.epochs == 60
    soccer = get_config("soccernet", "finetune", "spl")
    assert soccer.optimizer.learning_rate == 0.005
    assert soccer.schedule.length.epochs == 20


@pytest.mark.parametrize(
    ("dataset", "name", "argument", "message"),
    [
        ("kinetics200", "pretrain", "imagenet", "'imagenet' has no pre-training"),
        ("kinetics200", "pretrain", "", "name the labels to pre-train on"),
        ("kinetics200", "pretrain", "spl_x", "'spl_x' is no strategy"),
        ("kinetics200", "pretrain", "spl_b,weak", "expected one choice"),
        ("kinetics200", "pretrain", "data_parameters,anchor", "a loss of its own"),
        ("kinetics200", "teacher", "anchor", "the teacher has only smoke"),
        ("kinetics200", "pipeline", "spl_b", "takes no 'spl_b'"),
        ("hmdb51", "pipeline", "anchor", "hmdb51 has none"),
    ],
)
def test_impossible_arguments_are_refused(dataset, name, argument, message):
    with pytest.raises(ValueError, match=message):
        get_config(dataset, name, argument)
    with pytest.raises(ValueError, match="the noise is '70' %"):
        controlled_noisy_web_labels.get_config("70")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder in which the smoke runs of all datasets are made, once."""
    return tmp_path_factory.mktemp("paper")


def run_smoke(runs, dataset, **choice):
    """Runs, or continues, a dataset's smoke run with all or some of its rows."""
    if dataset == TFDS_IMAGES:
        config = controlled_noisy_web_labels.get_config("80,smoke")
    else:
        config = get_config(dataset, "pipeline", "smoke")
    for row in config.variants.values():
        if "scratch" in row:
            start = runs / row.scratch.init.checkpoint
            row.scratch.init.checkpoint = str(start)
    workdir = str(runs / pipelines.workdir_of(dataset, {pipelines.SMOKE}))
    results = run_pipeline(config, workdir, jobs=2, threads=1, **choice)
    assert not reasons(results, "failed")
    return config, workdir, results


def test_the_smoke_run_of_kinetics_goes_from_videos_to_the_report(runs):
    config, workdir, results = run_smoke(runs, "kinetics200", rows=["spl_b"])
    (row,) = results["rows"]
    assert (row["strategy"], row["labels"], row["clips"]) == ("spl_b", 24, 46)
    assert set(results["paper"]["rows"]) < set(config.strategies)
    page = pathlib.Path(workdir, "report/index.html").read_text()
    assert "84.3 / 95.7" in page
    assert "Table 1" in page


@pytest.mark.slow
@pytest.mark.parametrize("dataset", [*DATASETS, TFDS_IMAGES])
def test_all_rows_of_the_smoke_runs(runs, dataset):
    transfers = dataset in ("hmdb51", "ucf101")
    if transfers:
        run_smoke(runs, "kinetics200", rows=["spl_b"])
    config, workdir, results = run_smoke(runs, dataset)
    assert [row["strategy"] for row in results["rows"]] == list(config.strategies)
    if dataset in ("clothing1m", TFDS_IMAGES):
        web = ClipDataset(os.path.join(workdir, results["seeds"][0]["web"]))
        assert set(web.index.frames) == {1}
    if transfers:
        assert not os.path.exists(os.path.join(workdir, "seed_0/clips/web"))


@pytest.mark.slow
def test_single_trainings_take_over_from_the_pipeline(runs):
    run_smoke(runs, "kinetics200", rows=["spl_b"])
    configs = ROOT / "experiments/spl/configs"
    for name, workdir in (
        ("kinetics200/pretrain.py:spl_b,anchor,smoke", "spl_b_anchor_pretrain"),
        ("kinetics200/finetune.py:spl_b,anchor,smoke", "spl_b_anchor"),
    ):
        workdir = f"runs/kinetics200_smoke/seed_0/runs/{workdir}"
        flags = [f"--config={configs}/{name}", f"--workdir={workdir}"]
        done = subprocess.run(
            [sys.executable, "-m", "experiments.train", *flags],
            cwd=runs,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        assert (runs / workdir / "weights.npz").exists()


COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}
NOISE = 1 / 3


def write_images(folder, name, splits, noise=0.0):
    """JPEGs of one colour each; a share of the labels is the next colour's.

    Args:
        folder: Gets `name.csv` and the images in `name/`.
        name: Of the manifest.
        splits: The split of each image.
        noise: That share.
    """
    rng, names = np.random.default_rng(len(name)), list(COLOURS)
    (folder / name).mkdir()
    with open(folder / f"{name}.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "label", "split"])
        for number, split in enumerate(splits):
            truth = number % 3
            is_wrong = number % 30 < 30 * noise
            pixels = rng.normal(COLOURS[names[truth]], 25, (36, 48, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{number}.jpg")
            label = names[(truth + is_wrong) % 3]
            rows.writerow([f"{number}.jpg", label, split])


@pytest.fixture
def image_config(tmp_path):
    """Clothing1M's experiment on images of three colours, a tiny network, 40 steps."""
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in COLOURS))
    config = get_config("clothing1m", "pipeline", "smoke")
    config.world, config.report = None, False
    config.data = get_config("clothing1m", "pipeline", "").data
    config.data.classes = str(tmp_path / "classes.txt")
    config.conversion = {"short_side": 36, "num_shards": 1}
    write_images(tmp_path, "target", ["train"] * 48 + ["test"] * 30)
    write_images(tmp_path, "web", ["noisy_train"] * 90, NOISE)
    for split in SPLITS:
        name = "web" if split == "web" else "target"
        manifest, root = str(tmp_path / f"{name}.csv"), str(tmp_path / name)
        config.data[split].update(manifest=manifest, root=root)
    for phase in ("scratch", "pretrain", "finetune"):
        config[phase].schedule.length.steps = 40
        config[phase].optimizer.learning_rate = 0.05
        config[phase].runtime.update(
            steps_per_call=10, log_every_steps=10, checkpoint_every_steps=40
        )
    return config


def test_noisy_images_go_the_same_way_as_videos(image_config, tmp_path):
    config, workdir = image_config, str(tmp_path / "run")
    results = run_pipeline(config, workdir, rows=["spl"], jobs=2, threads=1)
    assert not reasons(results, "failed")
    # The teacher, trained on clean images, finds the labels that are wrong.
    assert results["seeds"][0]["noise_ratio"] == pytest.approx(NOISE, abs=0.05)
    (spl,) = results["rows"]
    assert (spl["strategy"], spl["labels"]) == ("spl", 9)
    assert spl["top_1"] > 0.7  # 1/3 by chance, and only 40 steps
    label_map = LabelMap.load(os.path.join(workdir, spl["label_map"]))
    assert label_map.lookup([2], [0]).tolist() == [2 * 3 + 0]  # eq. 2
    web = ClipDataset(os.path.join(workdir, "clips/web"))
    assert (len(web), set(web.index.frames)) == (90, {1})
    assert len(ClipDataset(os.path.join(workdir, "clips/target_val"))) == 30
