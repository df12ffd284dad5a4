"""What configs of the experiment decide, and the table."""

import numpy as np
import pytest

from experiments.pipeline.registry import make_stages
from experiments.pipeline.runner import run_pipeline
from experiments.pipeline.stages import needs
from experiments.spl.config import check_config, parse_row
from experiments.spl.results import format_table
from tests.experiments.pipelines import small_config


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


def test_an_unknown_key_is_refused():
    config = small_config("none")
    config.stratgies = ("none",)
    with pytest.raises(ValueError, match=r"config\.stratgies is unknown"):
        check_config(config)


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


def test_a_finished_run_can_be_the_teacher(tmp_path):
    config = small_config("none", "spl_b")
    config.teacher = str(tmp_path / "k400")
    with pytest.raises(FileNotFoundError, match=r"config\.teacher: .*k400 has no wei"):
        check_config(config)
    (tmp_path / "k400").mkdir()
    (tmp_path / "k400" / "weights.npz").touch()
    check_config(config)
    stages = {stage.name: stage for stage in make_stages(config, [0])}
    assert "seed_0/teacher" not in stages
    assert stages["seed_0/predict"].inputs["checkpoint"].path == config.teacher
    assert "seed_0/none/scratch" in stages
    config.predict.classes = "all"
    with pytest.raises(ValueError, match=r"predict\.classes is 'all'"):
        check_config(config)


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
