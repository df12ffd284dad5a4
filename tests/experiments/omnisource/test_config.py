"""What configs of the experiment decide, and which are refused."""

import numpy as np
import pytest

from experiments.omnisource.config import check_config, parse_row, recipe
from experiments.omnisource.configs import synthetic
from experiments.pipeline.registry import make_stages
from experiments.pipeline.runner import run_pipeline
from experiments.pipeline.stages import needs
from tests.experiments.omnisource.small import small_config

IMAGES, SHORT, UNTRIMMED = "web_images", "web_short", "web_untrimmed"


def changed(**changes):
    """A config with some keys changed; dots are written as two underscores."""
    config = small_config("target", "all")
    config.update_from_flattened_dict(
        {key.replace("__", "."): value for key, value in changes.items()}
    )
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ("nothing",)}, "'nothing', which is none of config.rows"),
        ({"rows__all__sources": ("web",)}, "config.rows.all.sources.web is unknown"),
        ({"rows__all__target_share": 0.0}, "config.target_share of row 'all' is 0.0"),
        ({"sources__web_short__share": 0.0}, "web_short.share is 0.0, expected more"),
        ({"sources__web_short__share": 0.3}, "'all': 8 target clips .* a whole number"),
        ({"sources__web_short__teacher": "he"}, "'he' is none of config.teachers"),
        ({"teachers__video_teacher__model__name": "x"}, "config.teachers.video_teach"),
        ({"sources__web_images__clips__kind": "x"}, "web_images.clips.kind is 'x'"),
        ({"sources__web_short__filter__exclude_ids": "a"}, "config.duplicates and"),
        (
            {"duplicates__checkpoint": "he"},
            "config.duplicates.checkpoint: 'he' is none",
        ),
        ({"duplicates__threshold": 2.0}, "config.duplicates has threshold 2.0"),
        ({"camera_motion__num_frames": 1}, "config.camera_motion is .* expected 2"),
        ({"predict__classes": "all"}, "config.predict.classes is 'all'"),
        ({"train__data__train": "clips"}, "config.rows.target.data names 'clips'"),
        ({"data__web_images__kind": "videos"}, "web_images.kind is 'videos', expected"),
    ],
)
def test_a_wrong_config_is_refused_before_any_work(changes, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError, KeyError), match=message):
        run_pipeline(changed(**changes), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"source": ()}, r"config.rows.x.source is unknown"),
        (
            {"sources": (IMAGES,), "changes": {SHORT: {}}},
            "changes.web_short is unknown",
        ),
        (
            {"sources": (IMAGES,), "changes": {IMAGES: {"clip": 1}}},
            r"web_images\.clip is unknown; is clips meant",
        ),
        ({"train": {"data": {"size": 1}}}, "config.rows.x.train: .*size"),
        ({"start": "he"}, "config.rows.x.start: 'he' is none of config.teachers"),
    ],
)
def test_a_wrong_row_is_refused(row, message):
    config = small_config("target")
    config.rows.x = row
    config.strategies = ("target", "x")
    with pytest.raises(ValueError, match=message):
        check_config(config)


def test_a_teacher_that_is_no_finished_run_is_refused(tmp_path):
    config = small_config("all")
    config.teachers = {"image_teacher": str(tmp_path), "video_teacher": str(tmp_path)}
    with pytest.raises(FileNotFoundError, match=r"image_teacher: .* no weights.npz"):
        check_config(config)


def test_sources_come_on_top_of_the_target_clips_of_a_batch():
    """At 2:1:1:1 a batch of 16 target clips has 40, and takes that larger a step."""
    config = synthetic.get_config()
    batches = {
        name: recipe(config, parse_row(config, name), seed=1).data
        for name in ("target", "images", "all")
    }
    assert [data.batch_size for data in batches.values()] == [16, 24, 40]
    shares = {name: source.share for name, source in batches["all"].sources.items()}
    assert shares == {"target": 2.0, IMAGES: 1.0, SHORT: 1.0, UNTRIMMED: 1.0}
    assert batches["all"].epoch_of == "target"
    assert not batches["target"].sources


def test_rows_change_sources_and_the_recipe():
    config = synthetic.get_config()
    config.rows.x = {
        "sources": (IMAGES, SHORT),
        "changes": {
            "every": {"filter": {"min_confidence": 0.5}},
            IMAGES: {"filter": {"min_confidence": 0.7}, "share": 2.0},
        },
        "train": {"data": {"mixup": 0.2}},
    }
    settings = recipe(config, parse_row(config, "x"), seed=3)
    assert (settings.seed, settings.data.mixup, settings.data.batch_size) == (
        3,
        0.2,
        40,
    )
    confidences = {
        name: source.filter.min_confidence
        for name, source in settings.data.sources.items()
    }
    assert confidences == {"target": 0.0, IMAGES: 0.7, SHORT: 0.5}
    assert config.sources[IMAGES].filter.min_confidence == 0.0


def test_stages_are_those_that_the_rows_need():
    config = small_config("target")
    assert [stage.name for stage in make_stages(config, [0])] == [
        "seed_0/render",
        "seed_0/convert_target_train",
        "seed_0/convert_target_val",
        "seed_0/target/train",
        "seed_0/target/evaluate",
    ]
    config.strategies = ("target", "images")
    config.sources[IMAGES].clips.kind = "perspective"
    stages = {stage.name: stage for stage in make_stages(config, [0])}
    assert not any(name for name in stages if "web_short" in name or "video" in name)
    needed = needs(list(stages.values()))
    assert needed["seed_0/images/train"] == [
        "seed_0/convert_target_train",
        "seed_0/find_duplicates/web_images",
        "seed_0/fit_camera_motion",
        "seed_0/predict/web_images_by_image_teacher",
    ]
    assert stages["seed_0/images/train"].row == "images"


def test_rows_of_other_teachers_get_predictions_of_their_own():
    config = small_config("short", "by_image_teacher")
    changes = {SHORT: {"teacher": "image_teacher"}}
    config.rows.by_image_teacher = {"sources": (SHORT,), "changes": changes}
    stages = {stage.name: stage for stage in make_stages(config, [0])}
    inputs = {
        row: stages[f"seed_0/{row}/train"].inputs["data.sources.web_short.dataset"].path
        for row in config.strategies
    }
    assert inputs == {
        "short": "seed_0/clips/web_short_by_video_teacher",
        "by_image_teacher": "seed_0/clips/web_short_by_image_teacher",
    }
    assert set(inputs.values()) <= {stage.output for stage in stages.values()}


def test_one_seed_has_the_same_start_in_all_rows():
    config = synthetic.get_config()
    seeds = [
        recipe(config, parse_row(config, row), 7).seed for row in config.strategies
    ]
    assert np.unique(seeds).tolist() == [7]
