"""The whole path, from rendered video files to the table, at a tiny size."""

import json
import os

import av
import numpy as np
import pytest

from experiments.configs import synthetic
from experiments.run_pipeline import format_table, run_pipeline
from spl_tf.clips import ClipDataset
from spl_tf.labels import STRATEGIES, LabelMap


@pytest.fixture(scope="module")
def config():
    config = synthetic.get_config()
    config.strategies = ("none", "agreement", "spl_b")
    config.world.update(
        target_clips_per_class=2, validation_clips_per_class=2, web_videos_per_class=2
    )
    config.conversion.num_shards = 2
    for phase in ("pretrain", "finetune", "scratch"):
        config[phase].data.batch_size = 8
        config[phase].schedule.warmup.steps = 2
        config[phase].schedule.length.steps = 8
        config[phase].runtime.update(
            steps_per_call=5, log_every_steps=5, checkpoint_every_steps=5
        )
    return config


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    workdir = str(tmp_path_factory.mktemp("pipeline") / "run")
    return workdir, run_pipeline(config, workdir)


def test_the_videos_are_real_files(finished):
    workdir, _ = finished
    folder = os.path.join(workdir, "world", "videos", "web")
    name = sorted(os.listdir(folder))[0]
    with av.open(os.path.join(folder, name)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in container.decode(video=0)) == 48


def test_every_web_segment_is_a_clip_with_a_teacher(finished):
    workdir, _ = finished
    web = ClipDataset(os.path.join(workdir, "clips", "web_teacher"))
    assert len(web) == 12 * 2 * 6
    assert (web.index.teacher >= 0).all()
    assert (web.index.frames == 8).all()


def test_the_table_agrees_with_the_files_it_is_made_from(finished):
    workdir, results = finished
    web = ClipDataset(os.path.join(workdir, "clips", "web_teacher"))
    agree = int((web.index.label == web.index.teacher).sum())
    assert results["noise_ratio"] == pytest.approx(1 - agree / len(web))
    rows = {row["strategy"]: row for row in results["rows"]}
    assert list(rows) == ["none", "agreement", "spl_b"]
    assert (rows["none"]["labels"], rows["none"]["clips"]) == (0, 0)
    assert (rows["agreement"]["labels"], rows["agreement"]["clips"]) == (12, agree)
    assert (rows["spl_b"]["labels"], rows["spl_b"]["clips"]) == (24, len(web))
    for strategy in rows:
        with open(os.path.join(workdir, "runs", strategy, "results.json")) as file:
            assert json.load(file)["top_1"] == rows[strategy]["top_1"]
    with open(os.path.join(workdir, "results.json")) as file:
        assert json.load(file) == results
    with open(os.path.join(workdir, "confusion.png"), "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_the_saved_label_map_labels_the_clips(finished):
    workdir, _ = finished
    label_map = LabelMap.load(os.path.join(workdir, "labels", "spl_b", "label_map"))
    assert label_map.strategy in STRATEGIES
    web = ClipDataset(os.path.join(workdir, "clips", "web_teacher"))
    labels = label_map.lookup(web.index.label, web.index.teacher)
    agree = web.index.label == web.index.teacher
    expected = np.where(agree, web.index.label, 12 + web.index.label)
    assert labels.tolist() == expected.tolist()


def test_a_finished_run_changes_nothing_and_another_config_is_refused(finished, config):
    workdir, results = finished
    paths = [
        os.path.join(folder, name)
        for folder, _, names in os.walk(os.path.join(workdir, "clips"))
        for name in names
    ]
    before = [os.path.getmtime(path) for path in paths]
    assert run_pipeline(config, workdir) == results
    assert [os.path.getmtime(path) for path in paths] == before
    other = config.copy_and_resolve_references()
    other.seed = 5
    with pytest.raises(ValueError, match="seed was 0, is 5"):
        run_pipeline(other, workdir)


def test_the_printed_table_has_a_line_per_strategy(finished):
    _, results = finished
    lines = format_table(results).splitlines()
    assert lines[0].startswith(f"noise ratio {results['noise_ratio']:.1%}")
    for line, row in zip(lines[-3:], results["rows"], strict=True):
        cells = line.split()
        assert cells[0] == row["strategy"]
        assert cells[-2] == f"{row['top_1']:.1%}"


def test_an_unknown_strategy_is_refused_before_any_work(config, tmp_path):
    other = config.copy_and_resolve_references()
    other.strategies = ("none", "spl_x")
    with pytest.raises(ValueError, match=r"has \['spl_x'\], known are"):
        run_pipeline(other, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
